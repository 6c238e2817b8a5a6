"""Hidden files that are there for a moment while a file is replaced: noted before they are made, struck out when they are gone.

Contract: `note(path)` and `strike(note)` around such a file; `take()` gives what a program that was killed in between had noted
in the same file, and forgets it. Notes survive any crash of programs and cost no waiting for a disk. A note that cannot
be kept is no failure: at worst a hidden file stays.
"""

from __future__ import annotations

import contextlib
import os
import threading

LEFTOVERS = "leftovers"
"""The file of the notes in a run directory."""
NOTES = 32
"""How many may be kept at once."""
NOTE_BYTES = 4352
"""A path of the longest kind, and a name."""
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Leftovers:
    """The notes in one file, which is made with the first of them. Threads may share it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._descriptor = -1
        self._opening = threading.Lock()
        self._free = list(range(NOTES))

    def note(self, path: str) -> int:
        """The number of the note, to be struck out with; -1 for none."""
        data = os.fsencode(path) + b"\0"
        if len(data) > NOTE_BYTES:
            return -1
        try:
            number = self._free.pop()
        except IndexError:
            return -1
        try:
            os.pwrite(self._open(), data, number * NOTE_BYTES)
        except OSError:
            self._free.append(number)
            return -1
        return number

    def strike(self, number: int) -> None:
        """The file is gone, or has its name."""
        if number >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, b"\0", number * NOTE_BYTES)
            self._free.append(number)

    def take(self) -> list[str]:
        """The paths that are noted; forgets them."""
        try:
            descriptor = os.open(self._file, _FLAGS)
        except OSError:
            return []
        try:
            data = os.pread(descriptor, NOTES * NOTE_BYTES, 0)
            os.ftruncate(descriptor, 0)
        except OSError:
            return []
        finally:
            os.close(descriptor)
        notes = (data[at : at + NOTE_BYTES].partition(b"\0")[0] for at in range(0, len(data), NOTE_BYTES))
        return [os.fsdecode(note) for note in notes if note]

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        with self._opening:
            if self._descriptor < 0:
                self._descriptor = os.open(self._file, _FLAGS | os.O_CREAT, 0o600)
        return self._descriptor
