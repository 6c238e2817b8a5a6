"""The methods of the guest protocol 1.0.0, over a toolbox. Params that are not known are refused by name or type.

Contract: `Methods(toolbox, policy).table()` is what an `Rpc` answers, on any system; `ready()` is the notification that it is
there. A command that ends is a result, whatever its exit code (-1 when a signal ended it); one that cannot be started is
-32000, one over its time limit is ended with its whole tree and is -32003.
"""

from __future__ import annotations

import base64
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from stead import __version__
from stead.guest.asked import Toolbox
from stead.guest.rpc import Params, RpcError
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.protocol.guest import COMMAND_FAILED, LINE_BYTES, TIMED_OUT
from stead.toolbox.contract import CALL_BYTES, Exec, ExecResult, ExecState
from stead.toolbox.permits import Policy

if TYPE_CHECKING:
    from stead.toolbox.system.contract import Filesystem

CAPABILITIES = [
    *("system_info", "network_info", "disk_usage", "exec_command", "file_read", "file_write", "shutdown", "reboot"),
]
SYSTEM = {"win32": "windows"}.get(sys.platform, sys.platform)
OUTPUT_BYTES = LINE_BYTES // 3
"""What an answer carries of each output, before escapes."""


def ready() -> bytes:
    """The notification that the guest is there."""
    params = wire.AgentReady(version=__version__, platform=SYSTEM)
    return msgspec.json.encode({"jsonrpc": "2.0", "method": wire.READY, "params": params})


class Methods:
    """Each method by its name."""

    def __init__(self, toolbox: Toolbox, policy: Policy | None = None, *, upgrades: bool = True) -> None:
        self._toolbox = toolbox
        self._capabilities = [*CAPABILITIES, *([wire.UPGRADE] if upgrades else [])]
        most = None if policy is None else policy.max_exec_seconds
        self._exec_seconds = wire.MAX_EXEC_SECONDS if most is None else most

    def table(self) -> Params:
        """For an `Rpc`."""
        return {name: (each.params, getattr(self, name)) for name, each in wire.METHODS.items() if name != wire.UPGRADE}

    async def ping(self, params: wire.Nothing) -> wire.Pong:
        return wire.Pong(pong=True, timestamp=int(time.time()))

    async def get_agent_info(self, params: wire.Nothing) -> wire.AgentInfo:
        return wire.AgentInfo(__version__, wire.VERSION, SYSTEM, self._capabilities)

    async def get_system_info(self, params: wire.Nothing) -> wire.SystemInfo:
        found = await self._toolbox.system.info()
        return wire.SystemInfo(
            os_type=SYSTEM,
            os_name=found.os_name,
            os_version=found.os_version,
            kernel_version=found.kernel,
            hostname=found.hostname,
            architecture=found.architecture,
            cpu_count=found.cpu_count,
            total_memory_kb=found.memory_total_bytes // 1024,
            uptime_seconds=int(found.uptime_seconds),
        )

    async def get_network_info(self, params: wire.Nothing) -> wire.NetworkInfo:
        found = (await self._toolbox.system.network()).interfaces
        return wire.NetworkInfo(
            [wire.Interface(each.name, each.mac, each.ipv4, each.ipv6, each.state, each.mtu) for each in found]
        )

    async def get_disk_usage(self, params: wire.Nothing) -> wire.DiskUsage:
        return wire.DiskUsage([_filesystem(each) for each in (await self._toolbox.system.disks()).filesystems])

    async def shutdown(self, params: wire.Power) -> wire.PowerStarted:
        done = await self._toolbox.system.shutdown(delay=params.timeout_seconds, force=params.force)
        return wire.PowerStarted(initiated=True, message=done.message)

    async def reboot(self, params: wire.Power) -> wire.PowerStarted:
        done = await self._toolbox.system.reboot(delay=params.timeout_seconds, force=params.force)
        return wire.PowerStarted(initiated=True, message=done.message)

    async def exec_command(self, params: wire.ExecCommand) -> dict[str, Any]:
        seconds = params.timeout_seconds
        if seconds == wire.EXEC_SECONDS:
            seconds = min(seconds, self._exec_seconds)
        if not 0 < seconds <= self._exec_seconds:
            raise SteadError("invalid", f"timeout_seconds must be over 0, at most {self._exec_seconds:g}")
        began = time.monotonic()
        result = await self._toolbox.run(
            Exec(
                argv=[params.command, *params.args],
                timeout=seconds,
                cwd="." if params.working_directory is None else params.working_directory,
                log_bytes=CALL_BYTES if params.capture_output else 0,
            )
        )
        status = result.status
        if status.state is ExecState.TIMED_OUT:
            raise _timed_out(seconds, result)
        if status.state not in {ExecState.EXITED, ExecState.SIGNALLED}:
            raise RpcError(COMMAND_FAILED, status.error or f"the command is {status.state}")
        answer = {
            "exit_code": -1 if status.exit_code is None else status.exit_code,
            "execution_time_ms": int((time.monotonic() - began) * 1000),
        }
        if not params.capture_output:
            return answer | {"stdout": "", "stderr": ""}
        return answer | _fitting(result.stdout, result.stderr, truncated=status.truncated or result.clipped)

    async def file_read(self, params: wire.FileRead) -> dict[str, Any]:
        found = await self._toolbox.read(params.path, 0, LINE_BYTES)
        if found.size > len(found.content):
            raise SteadError("too_large", f"a file of {found.size} bytes does not fit one line; use link.upgrade")
        base = params.encoding == "base64"
        content = base64.b64encode(found.content).decode() if base else _text(found.content)
        return {"content": content, "size_bytes": len(found.content), "encoding": params.encoding}

    async def file_write(self, params: wire.FileWrite) -> dict[str, Any]:
        mode = None if params.permissions is None else _mode(params.permissions)
        content = _bytes(params.content) if params.encoding == "base64" else params.content.encode()
        done = await self._toolbox.write(params.path, content, mode=mode, parents=params.create_dirs)
        return {"bytes_written": done.size, "path": params.path}


def _timed_out(seconds: float, result: ExecResult) -> RpcError:
    """The error, with what was printed until then."""
    printed = _fitting(result.stdout, result.stderr, truncated=result.status.truncated or result.clipped)
    return RpcError(TIMED_OUT, f"still running after {seconds:g} s; it was ended", {"code": "timeout"} | printed)


def _filesystem(found: Filesystem) -> wire.Filesystem:
    return wire.Filesystem(
        mount_point=found.mount_point,
        device=found.device,
        fs_type=found.type,
        total_bytes=found.total_bytes,
        used_bytes=found.used_bytes,
        available_bytes=found.available_bytes,
        used_percent=found.used_percent,
    )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SteadError("not_text", "the file is not UTF-8; read it as base64") from None


def _bytes(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise SteadError("invalid", "content is not base64") from None


def _mode(permissions: str) -> int:
    try:
        mode = int(permissions, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise SteadError("invalid", "permissions are octal digits, such as 0644")
    return mode


def _fitting(stdout: bytes, stderr: bytes, *, truncated: bool) -> dict[str, Any]:
    """As much of the output as one line carries."""
    keep = OUTPUT_BYTES
    while True:
        texts = {"stdout": stdout[:keep].decode(errors="replace"), "stderr": stderr[:keep].decode(errors="replace")}
        if len(msgspec.json.encode(texts)) <= LINE_BYTES - 1024:
            break
        keep //= 2
    cut = truncated or len(stdout) > keep or len(stderr) > keep
    return texts | ({"truncated": True} if cut else {})
