"""The last lines of a log, and what comes after them: of a file in the workspace, or of a unit's journal.

Contract: `following(place, asked)` is a context that fails at once when there is no such log; inside, the pieces come as they
are written. A file that is rotated away is read to its end before the new one is; one that was cut is read from its start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, errors, regular
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.place import Place
from stead.toolbox.system.contract import LOG_LINES, LogLines, ReadLog
from stead.toolbox.system.services import refusal, unit_name

POLL_SECONDS = 0.2
PIECE = 1 << 16
JOURNAL_BYTES = 64 << 20
"""What is read of a journal for its last lines."""


async def log(place: Place, asked: ReadLog) -> LogLines:
    """The last lines."""
    _check(asked)
    if asked.path:
        return await place.in_thread(_last, place, asked)
    done = await place.programs.run(_journal(asked), cwd=place.root.path, limit=JOURNAL_BYTES)
    if not done.ok:
        raise SteadError(refusal(done.complaint), f"journalctl: {done.complaint}", exit_code=done.code)
    if len(done.stdout) <= CALL_BYTES:
        return LogLines(content=done.stdout)
    end = done.stdout[-CALL_BYTES:]
    return LogLines(content=end[end.find(b"\n") + 1 :], truncated=True)


@contextlib.asynccontextmanager
async def following(place: Place, asked: ReadLog) -> AsyncIterator[AsyncIterator[bytes]]:
    """The last lines and all that follow."""
    _check(asked)
    if asked.path:
        file = await place.in_thread(_File, place, asked)
        try:
            yield _pieces(place, file)
        finally:
            file.close()
        return
    argv = [*_journal(asked), "--follow"]
    async with place.programs.started(argv, cwd=place.root.path) as process:
        assert process.stdout is not None
        yield _printed(process)


async def _printed(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    while piece := await process.stdout.read(PIECE):
        yield piece
    complaint = (await process.stderr.read(PIECE)).decode(errors="replace").strip()
    raise SteadError(refusal(complaint), f"journalctl ended: {complaint}")


async def _pieces(place: Place, file: _File) -> AsyncIterator[bytes]:
    while True:
        if piece := await place.in_thread(file.next):
            yield piece
        else:
            await anyio.sleep(POLL_SECONDS)


class _File:
    """A file that is followed by its name. It is read in a thread, and may be closed meanwhile."""

    def __init__(self, place: Place, asked: ReadLog) -> None:
        self._root = place.root
        self._path = asked.path
        self._lock = threading.Lock()
        self._descriptor = self._open()
        self._offset, _ = _start(self._descriptor, asked.lines)

    def next(self) -> bytes:
        """What is new; nothing when nothing is."""
        with self._lock, errors(self._path):
            if self._descriptor < 0:
                return b""
            piece = os.pread(self._descriptor, PIECE, self._offset)
            self._offset += len(piece)
            if not piece:
                self._look_again()
        return piece

    def close(self) -> None:
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        descriptor = self._root.open(self._path, os.O_RDONLY | QUIET)
        try:
            regular(descriptor, self._path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _look_again(self) -> None:
        """Whether the name is another file's by now, or the file was cut. A name that is gone may come back."""
        try:
            fresh = self._open()
        except SteadError as error:
            if error.code != "not_found":
                raise
            return
        old, new = os.fstat(self._descriptor), os.fstat(fresh)
        if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino):
            os.close(fresh)
            self._offset = 0 if old.st_size < self._offset else self._offset
        elif old.st_size > self._offset:
            os.close(fresh)
        else:
            os.close(self._descriptor)
            self._descriptor, self._offset = fresh, 0


def _last(place: Place, asked: ReadLog) -> LogLines:
    file = place.root.open(asked.path, os.O_RDONLY | QUIET)
    try:
        regular(file, asked.path)
        with errors(asked.path):
            offset, truncated = _start(file, asked.lines)
            return LogLines(content=os.pread(file, CALL_BYTES, offset), truncated=truncated)
    finally:
        os.close(file)


def _start(descriptor: int, lines: int) -> tuple[int, bool]:
    """Where the last lines begin, and whether that many were too long."""
    size = os.fstat(descriptor).st_size
    least = max(0, size - CALL_BYTES)
    content = os.pread(descriptor, size - least, least)
    at = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        at = content.rfind(b"\n", 0, at)
        if at < 0:
            break
    if lines == 0:
        return size, False
    if at >= 0:
        return least + at + 1, False
    first = content.find(b"\n") + 1 if least else 0
    return least + first, least > 0


def _journal(asked: ReadLog) -> list[str]:
    unit = unit_name(asked.unit)
    return ["journalctl", f"--unit={unit}", f"--lines={asked.lines}", "--output=short-iso", "--no-pager", "--quiet"]


def _check(asked: ReadLog) -> None:
    if bool(asked.path) == bool(asked.unit):
        raise SteadError("invalid", "either a path or a unit is needed", field="path")
    if not 0 <= asked.lines <= LOG_LINES:
        raise SteadError("invalid", f"lines: to {LOG_LINES}", field="lines")
