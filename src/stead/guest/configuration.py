"""The configuration file of a guest that is started by hand or by systemd: the guest protocol's shape, and ours on top.

Contract: `read(file)` gives a `Configuration`, or raises "invalid" with the reason: a file that does not parse stops the start.
Both shapes of the original are read, the nested one and the flat one. Without a file nothing is restricted but by the system
user; a file restricts to what the protocol's defaults permit unless it says more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from stead.guest.limiter import Limits
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.toolbox.permits import Policy

FILE = Path("/etc/stead/guest.json")
LEVELS = {
    **{name: name.upper() for name in ("debug", "info", "warning", "error")},
    "warn": "WARNING",
    "trace": "DEBUG",
}
"""What a log may say, with its name in Python."""
MEGABYTE = 1 << 20


def temporary() -> str:
    """The folder for temporary files, whether anything can be written there or not."""
    named = (os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))
    usual = "/tmp" if os.name == "posix" else "C:\\Windows\\Temp"  # noqa: S108
    return next((each for each in named if os.path.isabs(each) and os.path.isdir(each)), usual)  # noqa: PTH112, PTH117


READABLE = (temporary(), *(("/var/log", "/etc/hostname", "/etc/os-release") if os.name == "posix" else ()))
CHANGEABLE = (str(Path(temporary()) / "kvmmanager"),)


def rooted(path: str) -> bool:
    """Whether a path may stand in a configuration."""
    return path.startswith("/") and ".." not in path.split("/")


class Security(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The nested part. `null` for a list is no restriction."""

    allowed_read_paths: tuple[str, ...] | None = READABLE
    allowed_write_paths: tuple[str, ...] | None = CHANGEABLE
    command_whitelist: tuple[str, ...] | None = None
    max_file_size_mb: float = 10
    max_command_timeout_seconds: float = wire.MAX_EXEC_SECONDS


class Configuration(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The file. Ours are `root`, `run`, `name`, `environment`, and `machine`: the machine is the guest's alone, and so is its
    power; a guest on a virtio-serial port has that without being told."""

    version: str | int = 1
    log_level: str = "info"
    log_file: str | None = None
    channel_name: str = wire.CHANNEL
    max_message_size_kb: float = wire.LINE_BYTES / 1024
    connection_retry_seconds: float = wire.RETRY_SECONDS
    request_timeout_seconds: float = 30.0
    max_concurrent_requests: int = 10
    max_requests_per_second: float = 100.0
    security: Security | None = None
    root: str = "/"
    run: str = ""
    name: str = ""
    machine: bool = False
    environment: dict[str, str] = {}

    def policy(self) -> Policy | None:
        """What the file permits; None when there is none."""
        if self.security is None:
            return None
        return Policy(
            read_paths=self.security.allowed_read_paths,
            write_paths=self.security.allowed_write_paths,
            programs=self.security.command_whitelist,
            max_file_bytes=int(self.security.max_file_size_mb * MEGABYTE),
            max_exec_seconds=self.security.max_command_timeout_seconds,
        )

    @property
    def level(self) -> str:
        return LEVELS[self.log_level.lower()]

    def limits(self) -> Limits:
        return Limits(
            line_bytes=int(self.max_message_size_kb * 1024),
            concurrent=self.max_concurrent_requests,
            per_second=self.max_requests_per_second,
            seconds=self.request_timeout_seconds,
            exec_seconds=(self.security or Security()).max_command_timeout_seconds,
        )


def read(file: Path, absolute: Callable[[str], bool] = rooted) -> Configuration:
    """The configuration in a file; `absolute` tells what a path of a system is."""
    try:
        fields = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        found = msgspec.convert(_nested(fields), Configuration)
    except OSError as error:
        raise SteadError("invalid", f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SteadError("invalid", f"{file}: {error}") from None
    _check(file, found, absolute)
    return found


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """The flat shape as the nested one; a file always has a security part."""
    flat = {"allowed_read_paths", "allowed_write_paths", "command_whitelist"} & fields.keys()
    odd = {"command_whitelist_enabled", "max_file_size_bytes", "command_timeout_seconds"} & fields.keys()
    if not flat | odd:
        return {"security": {}} | fields
    rest = {key: value for key, value in fields.items() if key not in flat | odd}
    security: dict[str, Any] = {key: fields[key] for key in flat}
    if "command_whitelist_enabled" in fields:
        enabled = msgspec.convert(fields["command_whitelist_enabled"], bool)
        security["command_whitelist"] = (security.get("command_whitelist") or []) if enabled else None
    if "max_file_size_bytes" in fields:
        security["max_file_size_mb"] = msgspec.convert(fields["max_file_size_bytes"], float) / MEGABYTE
    if "command_timeout_seconds" in fields:
        security["max_command_timeout_seconds"] = fields["command_timeout_seconds"]
    return rest | {"security": msgspec.convert(rest.pop("security", {}), dict[str, Any]) | security}


def _check(file: Path, found: Configuration, absolute: Callable[[str], bool]) -> None:
    """What the types do not say."""
    security = found.security or Security()
    numbers = {
        "max_message_size_kb": found.max_message_size_kb,
        "connection_retry_seconds": found.connection_retry_seconds,
        "request_timeout_seconds": found.request_timeout_seconds,
        "max_concurrent_requests": found.max_concurrent_requests,
        "max_requests_per_second": found.max_requests_per_second,
        "max_file_size_mb": security.max_file_size_mb,
        "max_command_timeout_seconds": security.max_command_timeout_seconds,
    }
    if wrong := [name for name, value in numbers.items() if not value > 0]:
        raise SteadError("invalid", f"{file}: {wrong[0]} must be more than 0")
    if found.max_message_size_kb * 1024 > wire.LINE_BYTES:
        raise SteadError("invalid", f"{file}: max_message_size_kb is at most {wire.LINE_BYTES >> 10}")
    if str(found.version).partition(".")[0] != "1":
        raise SteadError("invalid", f"{file}: version {found.version!r} is not known, only 1")
    if found.log_level.lower() not in LEVELS:
        raise SteadError("invalid", f"{file}: log_level is one of {', '.join(LEVELS)}")
    lists = [security.allowed_read_paths, security.allowed_write_paths] if found.security else []
    paths = [path for each in lists for path in each or ()]
    if wrong := [*(path for path in paths if not absolute(path)), *([] if rooted(found.root) else [found.root])]:
        raise SteadError("invalid", f"{file}: {wrong[0]!r} is not an absolute path without `..`")
    policy = found.policy()
    if found.root != "/" and policy is not None and policy.fenced:
        raise SteadError("invalid", f"{file}: a root of its own and allowed paths exclude each other")
