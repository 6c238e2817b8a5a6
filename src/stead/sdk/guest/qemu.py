"""The bridge to qemu-ga: the same face over the agent that many machines already have.

Contract: `async with Session(path) as session: QemuGuest(session)`. qemu-ga answers one request after the other and knows no
ids, so the session asks one at a time and synchronises (`guest-sync-delimited`) whenever the channel is new or an answer
stayed out. An exec is polled to its end; over its time it is killed. What qemu-ga cannot do (a delayed power-off) is
refused, never done otherwise.
"""

from __future__ import annotations

import base64
import contextlib
import posixpath
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import msgspec

from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.sdk.guest.greeting import decoded
from stead.transport import unix
from stead.transport.attempts import Deadline, UnansweredError, verdict
from stead.transport.backoff import Backoff
from stead.transport.breaker import Breaker

if TYPE_CHECKING:
    from stead.protocol.connections import Bytes

ANSWER_SECONDS = 15.0
POWER_ANSWER = 2.0
"""How long an error may take when power goes off; qemu-ga says nothing when it works."""
TRIES = 4
FIRST_POLL = 0.005
LONGEST_POLL = 0.25
READ_BYTES = 1 << 20
WRITE_BYTES = 48 << 10
LINE_BYTES = 4 << 20
"""The longest answer: a piece of a file as base64, and room."""
_CODES = {"CommandNotFound": "method_not_found", "CommandDisabled": "refused", "InvalidParameter": "invalid"}


class Session:
    """One channel to a qemu-ga."""

    def __init__(self, path: str | Path, *, breaker: Breaker | None = None) -> None:
        self._path = Path(path)
        self._turn = anyio.Lock()
        self._stream: Bytes | None = None
        self._buffer = bytearray()
        self.breaker = breaker or Breaker()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._drop()

    async def ask(self, command: str, arguments: dict[str, Any] | None = None, seconds: float = ANSWER_SECONDS) -> Any:
        """What qemu-ga returns. A question is asked again when qemu-ga was lost meanwhile; an order only if it was not sent."""
        answer = await self._patiently(command, arguments or {}, Deadline(seconds))
        if "error" in answer:
            raise _fault(command, answer["error"])
        return answer.get("return")

    async def _patiently(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """Some attempts, where another one does no harm."""
        backoff = Backoff(limit=2.0)
        for left in reversed(range(TRIES)):
            try:
                return await self._attempt(command, arguments, deadline)
            except SteadError as error:
                if isinstance(error, UnansweredError) and not _repeatable(command):
                    raise verdict(error, command, repeat=False) from None
                if error.code != "unavailable":
                    raise
                if not left or self.breaker.state == "open":
                    raise SteadError("workspace_unreachable", f"qemu-ga does not answer: {error.message}") from None
            await anyio.sleep(min(backoff.delay(), deadline.left))
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """An answer that stays out leaves a channel on which nothing can be told apart any more: it is dropped."""
        sent = False
        with self.breaker.attempt(time.monotonic):
            with anyio.move_on_after(deadline.left):
                async with self._turn:
                    try:
                        stream = await self._ready()
                        sent = True
                        await self._send(stream, command, arguments)
                        return await self._answer(stream)
                    except BaseException as error:
                        with anyio.CancelScope(shield=True):
                            await self._drop()
                        if sent and isinstance(error, SteadError):
                            raise UnansweredError(error.code, error.message) from None
                        raise
            late = UnansweredError if sent else SteadError
            raise late("timeout", f"qemu-ga did not answer {command} in time")

    async def _ready(self) -> Bytes:
        """A channel on which nothing is left of an earlier client."""
        if self._stream is None:
            self._stream = await unix.connect(self._path)
            await self._synchronise(self._stream)
        return self._stream

    async def _synchronise(self, stream: Bytes) -> None:
        """Passes over whatever an earlier client left on the channel."""
        number = secrets.randbelow(1 << 31)
        await stream.write(b"\xff")
        await self._send(stream, "guest-sync-delimited", {"id": number})
        while True:
            answer = await self._answer(stream)
            if answer.get("return") == number:
                return

    async def _send(self, stream: Bytes, command: str, arguments: dict[str, Any]) -> None:
        request = {"execute": command} | ({"arguments": arguments} if arguments else {})
        await stream.write(msgspec.json.encode(request) + b"\n")

    async def _answer(self, stream: Bytes) -> dict[str, Any]:
        while True:
            while (end := self._buffer.find(b"\n")) < 0:
                data = await stream.read(1 << 16)
                if not data or len(self._buffer) > LINE_BYTES:
                    raise SteadError("unavailable", "qemu-ga is gone")
                self._buffer += data
            line = bytes(self._buffer[:end]).rpartition(b"\xff")[2]
            del self._buffer[: end + 1]
            if (value := decoded(line)) is not None:
                return value

    async def _drop(self) -> None:
        self._buffer.clear()
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.close()


class QemuGuest:
    """A machine with qemu-ga."""

    speaks = "qemu-ga"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ping(self) -> float:
        began = time.monotonic()
        await self._session.ask("guest-ping")
        return time.monotonic() - began

    async def call(self, method: str, params: dict[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        return await self._session.ask(method, params, seconds)

    async def info(self) -> wire.AgentInfo:
        found = await self._session.ask("guest-info")
        names = sorted(each["name"] for each in found["supported_commands"] if each.get("enabled"))
        return wire.AgentInfo(found["version"], "qemu-ga", (await self._os()).get("id", "unknown"), names)

    async def system(self) -> wire.SystemInfo:
        os = await self._os()
        processors = await self._session.ask("guest-get-vcpus")
        host = await self._session.ask("guest-get-host-name")
        memory = dict(line.split(":", 1) for line in (await self._text("/proc/meminfo")).splitlines() if ":" in line)
        uptime = (await self._text("/proc/uptime")).split()
        return wire.SystemInfo(
            os_type="linux" if "kernel-release" in os else os.get("id", "unknown"),
            os_name=os.get("pretty-name", os.get("name", "")),
            os_version=os.get("version-id", ""),
            kernel_version=os.get("kernel-release", ""),
            hostname=host["host-name"],
            architecture=os.get("machine", ""),
            cpu_count=sum(1 for each in processors if each.get("online", True)),
            total_memory_kb=int(memory.get("MemTotal", "0").split()[0]),
            uptime_seconds=int(float(uptime[0])) if uptime else 0,
        )

    async def network(self) -> wire.NetworkInfo:
        found = await self._session.ask("guest-network-get-interfaces")
        return wire.NetworkInfo([await self._interface(each) for each in found])

    async def disks(self) -> wire.DiskUsage:
        found = await self._session.ask("guest-get-fsinfo")
        return wire.DiskUsage([_filesystem(each) for each in found if each.get("total-bytes")])

    async def exec(
        self, command: str, args: Sequence[str] = (), *, seconds: float = wire.EXEC_SECONDS, cwd: str | None = None
    ) -> wire.Executed:
        if cwd is not None:
            raise SteadError("refused", "qemu-ga runs programs in a directory of its own; name whole paths instead")
        began = time.monotonic()
        status = await self._run(command, args, seconds)
        code = status.get("exitcode", -1)
        return wire.Executed(
            exit_code=-1 if "signal" in status else code,
            stdout=base64.b64decode(status.get("out-data", "")).decode(errors="replace"),
            stderr=base64.b64decode(status.get("err-data", "")).decode(errors="replace"),
            execution_time_ms=int((time.monotonic() - began) * 1000),
            truncated=bool(status.get("out-truncated") or status.get("err-truncated")),
        )

    async def read(self, path: str) -> bytes:
        """Once more from its beginning where qemu-ga was lost meanwhile: that changes nothing."""
        try:
            return await self._read(path)
        except SteadError as error:
            if error.code != "outcome_unknown":
                raise
        try:
            return await self._read(path)
        except SteadError as error:
            if error.code != "outcome_unknown":
                raise
            raise SteadError("workspace_unreachable", f"qemu-ga was lost twice while {path[:200]} was read") from None

    async def _read(self, path: str) -> bytes:
        async with self._opened(path, "r") as handle:
            pieces = []
            while True:
                found = await self._session.ask("guest-file-read", {"handle": handle, "count": READ_BYTES})
                pieces.append(base64.b64decode(found["buf-b64"]))
                if found["eof"] or not found["count"]:
                    return b"".join(pieces)

    async def write(self, path: str, content: bytes, *, parents: bool = False, mode: int | None = None) -> int:
        if parents:
            await self._must("mkdir", "-p", "--", posixpath.dirname(path) or ".")
        async with self._opened(path, "w") as handle:
            for start in range(0, len(content), WRITE_BYTES):
                piece = base64.b64encode(content[start : start + WRITE_BYTES]).decode()
                await self._session.ask("guest-file-write", {"handle": handle, "buf-b64": piece})
        if mode is not None:
            await self._must("chmod", f"{mode:o}", "--", path)
        return len(content)

    async def shutdown(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted:
        return await self._power("halt" if force else "powerdown", seconds, "shutdown")

    async def reboot(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted:
        return await self._power("reboot", seconds, "reboot")

    async def _power(self, mode: str, seconds: float, word: str) -> wire.PowerStarted:
        """qemu-ga says nothing when it works, and an error when it does not."""
        if seconds:
            raise SteadError("refused", "qemu-ga powers off at once; ask for no delay")
        try:
            await self._session.ask("guest-shutdown", {"mode": mode}, POWER_ANSWER)
        except SteadError as error:
            if error.code != "outcome_unknown":
                raise
        return wire.PowerStarted(True, f"{word} asked of qemu-ga")

    async def _run(self, command: str, args: Sequence[str], seconds: float) -> dict[str, Any]:
        """To its end; over its time it is killed."""
        given = {"path": command, "arg": [*args], "capture-output": True}
        pid = (await self._session.ask("guest-exec", given))["pid"]
        pause = FIRST_POLL
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status: dict[str, Any] = await self._session.ask("guest-exec-status", {"pid": pid})
            if status["exited"]:
                return status
            await anyio.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(LONGEST_POLL, pause * 1.5)
        await self._session.ask("guest-exec", {"path": "kill", "arg": ["-KILL", str(pid)]})
        raise SteadError("timeout", f"still running after {seconds:g} s; it was ended")

    async def _must(self, command: str, *args: str) -> None:
        status = await self._run(command, args, ANSWER_SECONDS)
        if status.get("exitcode") != 0:
            words = base64.b64decode(status.get("err-data", "")).decode(errors="replace").strip()
            raise SteadError("program_failed", f"{command}: {words}")

    @contextlib.asynccontextmanager
    async def _opened(self, path: str, mode: str) -> Any:
        handle = await self._session.ask("guest-file-open", {"path": path, "mode": mode})
        try:
            yield handle
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(SteadError):
                await self._session.ask("guest-file-close", {"handle": handle})

    async def _os(self) -> dict[str, str]:
        found: dict[str, str] = await self._session.ask("guest-get-osinfo")
        return found

    async def _text(self, path: str) -> str:
        """A small file of the system; nothing where there is none."""
        try:
            return (await self.read(path)).decode(errors="replace")
        except SteadError:
            return ""

    async def _interface(self, found: dict[str, Any]) -> wire.Interface:
        """qemu-ga tells neither state nor MTU; the system does."""
        name = found["name"]
        addresses = [(each["ip-address-type"], f"{each['ip-address']}/{each['prefix']}") for each in _list(found)]
        mtu = (await self._text(f"/sys/class/net/{name}/mtu")).strip()
        return wire.Interface(
            name=name,
            mac_address=found.get("hardware-address", ""),
            ipv4_addresses=[address for kind, address in addresses if kind == "ipv4"],
            ipv6_addresses=[address for kind, address in addresses if kind == "ipv6"],
            state=(await self._text(f"/sys/class/net/{name}/operstate")).strip() or "unknown",
            mtu=int(mtu) if mtu.isdigit() else 0,
        )


def _list(found: dict[str, Any]) -> list[dict[str, Any]]:
    addresses: list[dict[str, Any]] = found.get("ip-addresses", [])
    return addresses


def _filesystem(found: dict[str, Any]) -> wire.Filesystem:
    total, used = found["total-bytes"], found["used-bytes"]
    return wire.Filesystem(
        mount_point=found["mountpoint"],
        device=found["name"],
        fs_type=found["type"],
        total_bytes=total,
        used_bytes=used,
        available_bytes=total - used,
        used_percent=round(100 * used / total, 1),
    )


def _repeatable(command: str) -> bool:
    """Whether it only asks; what qemu-ga answers of an exec or a file it answers once."""
    return command in {"guest-ping", "guest-info"} or command.startswith("guest-get-")


def _fault(command: str, error: Any) -> SteadError:
    words = str(error.get("desc", "")) if isinstance(error, dict) else ""
    kind = str(error.get("class", "")) if isinstance(error, dict) else ""
    code = _CODES.get(kind) or ("not_found" if "No such file" in words else "program_failed")
    return SteadError(code, f"{command}: {words}")
