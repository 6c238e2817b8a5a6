"""The records of execs on disk: `<run>/execs/<exec_id>/{request.json,log,status.json}`.

Contract: `claim` makes the directory (once, ever), `finish` writes the end, `kept` finds what an earlier holder left: an exec
without an end there is `unknown`. Only the newest are kept: `KEPT` finished ones, and `TOTAL_BYTES` of their logs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

Status = dict[str, Any]
"""The fields of `contract.ExecStatus`."""


class Shelf:
    """One directory of records."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def claim(self, exec_id: str, request: Status) -> bool:
        """False when the id was claimed before."""
        try:
            os.mkdir(self._path(exec_id), 0o700)
        except FileExistsError:
            return False
        try:
            _write(self._path(exec_id, "request.json"), request)
        except OSError:
            self.remove(exec_id)
            raise
        return True

    def log(self, exec_id: str) -> str:
        """Where the output goes."""
        return self._path(exec_id, "log")

    def stdin(self, exec_id: str) -> str:
        """The named pipe to its stdin."""
        return self._path(exec_id, "stdin")

    def finish(self, exec_id: str, status: Status) -> None:
        """Writes the end; a reader sees all of it or nothing."""
        part = self._path(exec_id, "status.part")
        _write(part, status)
        os.rename(part, self._path(exec_id, "status.json"))

    def log_bytes(self, exec_id: str) -> int:
        """The size of the log."""
        try:
            return os.stat(self.log(exec_id)).st_size
        except FileNotFoundError:
            return 0

    def remove(self, exec_id: str) -> None:
        """Forgets an exec."""
        path = self._path(exec_id)
        try:
            for name in os.listdir(path):
                os.unlink(f"{path}/{name}")
            os.rmdir(path)
        except OSError:
            return

    def kept(self) -> Iterator[Status]:
        """What earlier holders left, oldest first."""
        found = [self._load(name) for name in os.listdir(self.directory) if name.startswith("ex_")]
        yield from sorted(found, key=lambda status: (status["started"], status["exec_id"]))

    def _load(self, exec_id: str) -> Status:
        ended = _read(self._path(exec_id, "status.json"))
        if ended is not None:
            return {**ended, "exec_id": exec_id}
        begun = _read(self._path(exec_id, "request.json")) or {"exec_id": exec_id, "argv": [], "started": 0.0}
        return {**begun, "state": "unknown", "error": "its holder ended before it did", "exec_id": exec_id}

    def _path(self, exec_id: str, name: str = "") -> str:
        return f"{self.directory}/{exec_id}/{name}" if name else f"{self.directory}/{exec_id}"


def _write(path: str, value: Status) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, json.dumps(value).encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> Status | None:
    try:
        with open(path, "rb") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    whole = (
        isinstance(value, dict) and isinstance(value.get("exec_id"), str) and isinstance(value.get("started"), float)
    )
    return value if whole else None
