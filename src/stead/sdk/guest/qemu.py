"""The bridge to qemu-ga: the same face over the agent that many machines already have.

Contract: `async with Session(path) as session: QemuGuest(session)`. qemu-ga answers one request after the other and knows no
ids, so the session asks one at a time and synchronises (`guest-sync-delimited`) whenever the channel is new or an answer
stayed out. An exec is polled to its end; over its time, or when nobody waits for it any more, it is killed. What qemu-ga cannot
do (a delayed power-off) is refused, never done otherwise.
"""

from __future__ import annotations

import base64
import contextlib
import posixpath
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

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

T = TypeVar("T")

ANSWER_SECONDS = 15.0
KILL_SECONDS = 5.0
"""How long the end of a command that nobody waits for any more may take to be asked for."""
POWER_ANSWER = 2.0
"""How long an error may take when power goes off; qemu-ga says nothing when it works."""
TRIES = 4
FIRST_POLL = 0.005
LONGEST_POLL = 0.25
READ_BYTES = 1 << 20
WRITE_BYTES = 48 << 10
LINE_BYTES = 48 << 20
"""The longest answer: what qemu-ga keeps of a command's output, 16 MiB of each kind, as base64, and room."""
_CODES = {"CommandNotFound": "method_not_found", "CommandDisabled": "refused", "InvalidParameter": "invalid"}
_WORDS = {
    "No such file": "not_found",
    "Permission denied": "permission_denied",
    "No space left": "disk_full",
    "Is a directory": "is_directory",
}
"""What the system said in errors that qemu-ga gives no class of their own."""
_MEMORY = re.compile(r"^MemTotal:\s*(\d{1,18}) kB", re.ASCII | re.MULTILINE)
_UPTIME = re.compile(r"\A(\d{1,18})", re.ASCII)


class _Command(msgspec.Struct):
    name: str
    enabled: bool = True


class _Info(msgspec.Struct):
    version: str
    supported_commands: list[_Command]


class _Processor(msgspec.Struct):
    online: bool = True


class _Host(msgspec.Struct, rename="kebab"):
    host_name: str


class _Address(msgspec.Struct, rename="kebab"):
    ip_address: str
    ip_address_type: str
    prefix: int


class _Interface(msgspec.Struct, rename="kebab"):
    name: str
    hardware_address: str = ""
    ip_addresses: list[_Address] = []


class _Filesystem(msgspec.Struct, rename="kebab"):
    name: str
    mountpoint: str
    type: str
    total_bytes: int = 0
    used_bytes: int = 0


class _Begun(msgspec.Struct):
    pid: int


class _Ended(msgspec.Struct, rename="kebab"):
    exited: bool
    exitcode: int = -1
    signal: int | None = None
    out_data: bytes = b""
    err_data: bytes = b""
    out_truncated: bool = False
    err_truncated: bool = False


class _Wrote(msgspec.Struct):
    count: int


class _Read(msgspec.Struct, rename="kebab"):
    count: int
    buf_b64: bytes
    eof: bool


class Session:
    """One channel to a qemu-ga."""

    def __init__(self, path: str | Path, *, breaker: Breaker | None = None) -> None:
        self._path = Path(path)
        self._turn = anyio.Lock()
        self._stream: Bytes | None = None
        self._buffer = bytearray()
        self._searched = 0
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
        """The wait for others is nothing that is held against qemu-ga."""
        self.breaker.check(time.monotonic())
        await self._wait_for_turn(command, deadline)
        try:
            with self.breaker.attempt(time.monotonic):
                return await self._asked(command, arguments, deadline)
        finally:
            self._turn.release()

    async def _wait_for_turn(self, command: str, deadline: Deadline) -> None:
        with anyio.move_on_after(deadline.left):
            await self._turn.acquire()
            return
        raise SteadError(
            "timeout", f"other requests were answered until the time of {command} was over; it was not asked"
        )

    async def _asked(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """An answer that stays out leaves a channel on which nothing can be told apart any more: it is dropped."""
        sent = False
        with anyio.move_on_after(deadline.left):
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
            while (end := self._buffer.find(b"\n", self._searched)) < 0:
                self._searched = len(self._buffer)
                data = await stream.read(1 << 16)
                if not data:
                    raise SteadError("unavailable", "qemu-ga is gone")
                if self._searched > LINE_BYTES:
                    raise SteadError("unavailable", "qemu-ga gives an answer that does not end")
                self._buffer += data
            line = bytes(self._buffer[:end]).rpartition(b"\xff")[2]
            del self._buffer[: end + 1]
            self._searched = 0
            if (value := decoded(line)) is not None:
                return value

    async def _drop(self) -> None:
        self._buffer.clear()
        self._searched = 0
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
        found = await self._told(_Info, "guest-info")
        names = sorted(each.name for each in found.supported_commands if each.enabled)
        return wire.AgentInfo(found.version, "qemu-ga", (await self._os()).get("id", "unknown"), names)

    async def system(self) -> wire.SystemInfo:
        os = await self._os()
        processors = await self._told(list[_Processor], "guest-get-vcpus")
        host = await self._told(_Host, "guest-get-host-name")
        return wire.SystemInfo(
            os_type="linux" if "kernel-release" in os else os.get("id", "unknown"),
            os_name=os.get("pretty-name", os.get("name", "")),
            os_version=os.get("version-id", ""),
            kernel_version=os.get("kernel-release", ""),
            hostname=host.host_name,
            architecture=os.get("machine", ""),
            cpu_count=sum(1 for each in processors if each.online),
            total_memory_kb=_number(_MEMORY, await self._text("/proc/meminfo")),
            uptime_seconds=_number(_UPTIME, await self._text("/proc/uptime")),
        )

    async def network(self) -> wire.NetworkInfo:
        found = await self._told(list[_Interface], "guest-network-get-interfaces")
        return wire.NetworkInfo([await self._interface(each) for each in found])

    async def disks(self) -> wire.DiskUsage:
        found = await self._told(list[_Filesystem], "guest-get-fsinfo")
        return wire.DiskUsage([_filesystem(each) for each in found if each.total_bytes])

    async def exec(
        self, command: str, args: Sequence[str] = (), *, seconds: float = wire.EXEC_SECONDS, cwd: str | None = None
    ) -> wire.Executed:
        if cwd is not None:
            raise SteadError("refused", "qemu-ga runs programs in a directory of its own; name whole paths instead")
        began = time.monotonic()
        ended = await self._run(command, args, seconds)
        return wire.Executed(
            exit_code=ended.exitcode if ended.signal is None else -1,
            stdout=ended.out_data.decode(errors="replace"),
            stderr=ended.err_data.decode(errors="replace"),
            execution_time_ms=int((time.monotonic() - began) * 1000),
            truncated=ended.out_truncated or ended.err_truncated,
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
                found = await self._told(_Read, "guest-file-read", handle=handle, count=READ_BYTES)
                pieces.append(found.buf_b64)
                if found.eof or not found.count:
                    return b"".join(pieces)

    async def write(self, path: str, content: bytes, *, parents: bool = False, mode: int | None = None) -> int:
        if parents:
            await self._must("mkdir", "-p", "--", posixpath.dirname(path) or ".")
        async with self._opened(path, "w") as handle:
            for start in range(0, len(content), WRITE_BYTES):
                piece = content[start : start + WRITE_BYTES]
                coded = {"handle": handle, "buf-b64": base64.b64encode(piece).decode()}
                if (await self._told(_Wrote, "guest-file-write", **coded)).count != len(piece):
                    raise SteadError("program_failed", f"qemu-ga wrote less of {path[:200]} than it was given")
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

    async def _told(self, kind: type[T], command: str, **arguments: Any) -> T:
        """An answer as it is expected."""
        answer = await self._session.ask(command, arguments)
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise SteadError("malformed", f"qemu-ga's answer to {command}: {error}") from None

    async def _run(self, command: str, args: Sequence[str], seconds: float) -> _Ended:
        """To its end; it is killed over its time, and when its caller goes away."""
        given = {"path": command, "arg": [*args], "capture-output": True}
        pid = (await self._told(_Begun, "guest-exec", **given)).pid
        pause = FIRST_POLL
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                ended = await self._told(_Ended, "guest-exec-status", pid=pid)
                if ended.exited:
                    return ended
                await anyio.sleep(min(pause, max(0.0, until - time.monotonic())))
                pause = min(LONGEST_POLL, pause * 1.5)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(KILL_SECONDS, shield=True), contextlib.suppress(SteadError):
                await self._kill(pid)
            raise
        await self._kill(pid)
        raise SteadError("timeout", f"still running after {seconds:g} s; it was ended")

    async def _kill(self, pid: int) -> None:
        await self._session.ask("guest-exec", {"path": "kill", "arg": ["-KILL", str(pid)]})

    async def _must(self, command: str, *args: str) -> None:
        ended = await self._run(command, args, ANSWER_SECONDS)
        if ended.signal is not None or ended.exitcode != 0:
            raise SteadError("program_failed", f"{command}: {ended.err_data.decode(errors='replace').strip()}")

    @contextlib.asynccontextmanager
    async def _opened(self, path: str, mode: str) -> AsyncIterator[int]:
        """What was written is in the file only when closing it says so."""
        handle = await self._told(int, "guest-file-open", path=path, mode=mode)
        try:
            yield handle
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(SteadError):
                await self._session.ask("guest-file-close", {"handle": handle})
            raise
        await self._session.ask("guest-file-close", {"handle": handle})

    async def _os(self) -> dict[str, str]:
        return await self._told(dict[str, str], "guest-get-osinfo")

    async def _text(self, path: str) -> str:
        """A small file of the system; nothing where there is none."""
        try:
            return (await self.read(path)).decode(errors="replace")
        except SteadError:
            return ""

    async def _interface(self, found: _Interface) -> wire.Interface:
        """qemu-ga tells neither state nor MTU; the system does."""
        addresses = [(each.ip_address_type, f"{each.ip_address}/{each.prefix}") for each in found.ip_addresses]
        mtu = (await self._text(f"/sys/class/net/{found.name}/mtu")).strip()
        return wire.Interface(
            name=found.name,
            mac_address=found.hardware_address,
            ipv4_addresses=[address for kind, address in addresses if kind == "ipv4"],
            ipv6_addresses=[address for kind, address in addresses if kind == "ipv6"],
            state=(await self._text(f"/sys/class/net/{found.name}/operstate")).strip() or "unknown",
            mtu=int(mtu) if mtu.isdecimal() else 0,
        )


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return 0 if found is None else int(found[1])


def _filesystem(found: _Filesystem) -> wire.Filesystem:
    return wire.Filesystem(
        mount_point=found.mountpoint,
        device=found.name,
        fs_type=found.type,
        total_bytes=found.total_bytes,
        used_bytes=found.used_bytes,
        available_bytes=found.total_bytes - found.used_bytes,
        used_percent=round(100 * found.used_bytes / found.total_bytes, 1),
    )


def _repeatable(command: str) -> bool:
    """Whether it only asks; what qemu-ga answers of an exec or a file it answers once."""
    return command in {"guest-ping", "guest-info"} or command.startswith("guest-get-")


def _fault(command: str, error: Any) -> SteadError:
    words = str(error.get("desc", "")) if isinstance(error, dict) else ""
    kind = str(error.get("class", "")) if isinstance(error, dict) else ""
    found = _CODES.get(kind) or next((code for said, code in _WORDS.items() if said in words), "program_failed")
    return SteadError(found, f"{command}: {words}")
