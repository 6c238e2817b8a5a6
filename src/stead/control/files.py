"""Small private files of the server in its data folder: who listens, the machine's own token, the lock.

Contract: `write_private` replaces a file at once, readable by its user only; `Lock` is held by one process a folder and
ends with it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

SERVER = "server.json"
LOCAL_TOKEN = "cli.token"
LOCK = "server.lock"


def write_private(file: Path, text: str) -> None:
    """Replaces the file; nobody ever reads half of it."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_or_empty(file: Path) -> str:
    """The text; empty where there is none."""
    try:
        return file.read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


class Lock:
    """One process a folder."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle: int | None = None

    def take(self) -> bool:
        """False when another process has it."""
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Lets another take it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
