"""One exec's output on disk: records in order, never half a record, in one file or, when it is held, in several.

Contract: a log either keeps the first `cap` bytes, or (`held`) waits for its reader: `room` says how much data it takes now,
`read` what the reader has taken. Then the cap bounds what is unread; of what was read the newest is kept, as long as all
of it stays within the cap and one file. `append` keeps what fits and says so in `truncated`; a full disk is the same as
a reached cap, and `failure` says what was wrong. A log that is `truncated` waits for nobody. Readers may read from `first`
to `size`. `let_go` ends the waiting.

The files: `path` from 0 on, `path.N` from N on; each begins with a record and goes on where the one before ends, so that
whoever has read one to its end knows the name of the next.
"""

from __future__ import annotations

import contextlib
import os

from stead.toolbox import records

FILE_BYTES = 4 << 20
"""The next file of a held log begins with the first record behind so much."""
LEAST_HELD = 1 << 20
"""The least that a held log takes in front of its reader: more than what is under way to the reader and not yet told."""
KEPT_READ = 1 << 20
"""So much is kept of what was read, for a reader that comes back with the place it last knew."""


class Log:
    """Written by the holder alone; made with the first output."""

    def __init__(self, path: str, cap: int, *, held: bool = False) -> None:
        self._path = path
        self.cap = max(cap, LEAST_HELD) if held else cap
        self._descriptor = -1
        self._read = 0
        self.held = held
        self.starts = [0]
        self.size = 0
        self.output_bytes = 0
        self.truncated = False
        self.failure = ""

    @property
    def first(self) -> int:
        """Where the kept output begins."""
        return self.starts[0]

    @property
    def room(self) -> int:
        """How much data may come now; 0 when the reader has to read first."""
        if not self.held or self.truncated:
            return records.DATA_BYTES
        return max(0, min(records.DATA_BYTES, self.cap - (self.size - self._read) - records.HEADER_BYTES))

    def append(self, channel: int, data: bytes) -> None:
        """Counts all, keeps what fits. A held log also keeps what is more than its `room`: the last words of an exec."""
        self.output_bytes += len(data)
        if self.truncated:
            return
        room = len(data) if self.held else self.cap - (self.size - self.first) - records.HEADER_BYTES
        if len(data) > room:
            self.truncated = True
            data = data[: max(room, 0)]
        if data and not self._keep(records.header(channel, len(data)), data):
            self.truncated = True

    def read(self, cursor: int) -> None:
        """The reader has taken all before the cursor."""
        self._read = max(self._read, min(cursor, self.size))
        self._forget_read()

    def let_go(self) -> None:
        """Nobody is waited for any more: as much as the cap allows is kept, the rest is not."""
        self.held = False

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _forget_read(self) -> None:
        """Removes the oldest files that were read, while there is more than the cap."""
        while len(self.starts) > 1 and self.size - self.first > self.cap and self.starts[1] + KEPT_READ <= self._read:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file_of(self._path, self.starts[0]))
            del self.starts[0]

    def _keep(self, header: bytes, data: bytes) -> bool:
        try:
            self._open()
            at = self.size - self.starts[-1]
            done = os.pwritev(self._descriptor, [header, data], at)
            while done < len(header) + len(data):
                done += os.pwrite(self._descriptor, (header + data)[done:], at + done)
        except OSError as error:
            self.failure = error.strerror or str(error)
            self._cut()
            return False
        self.size += done
        self._forget_read()
        return True

    def _open(self) -> None:
        """The file that the next record belongs to."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        if self.held and self.size - self.starts[-1] >= FILE_BYTES:
            self.close()
            self._descriptor = os.open(file_of(self._path, self.size), flags, 0o600)
            self.starts.append(self.size)
        if self._descriptor < 0:
            self._descriptor = os.open(file_of(self._path, self.starts[-1]), flags, 0o600)

    def _cut(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size - self.starts[-1])


def file_of(path: str, start: int) -> str:
    """The file of a log that begins at this place."""
    return f"{path}.{start}" if start else path
