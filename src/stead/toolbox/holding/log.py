"""One exec's output on disk: records in order, never more than the cap, never half a record.

Contract: `append` keeps what fits and says so in `truncated`; a full disk is the same as a reached cap. `size` is what readers
may read.
"""

from __future__ import annotations

import contextlib
import os

from stead.toolbox import records


class Log:
    """Written by the holder alone; made with the first output."""

    def __init__(self, path: str, cap: int) -> None:
        self._path = path
        self._cap = cap
        self._descriptor = -1
        self.size = 0
        self.output_bytes = 0
        self.truncated = False

    def append(self, channel: int, data: bytes) -> None:
        """Counts all, keeps what fits."""
        self.output_bytes += len(data)
        if self.truncated:
            return
        room = self._cap - self.size - records.HEADER_BYTES
        if len(data) > room:
            self.truncated = True
            data = data[: max(room, 0)]
        if data and not self._keep(records.header(channel, len(data)), data):
            self.truncated = True

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _keep(self, header: bytes, data: bytes) -> bool:
        try:
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o600)
            done = os.pwritev(self._descriptor, [header, data], self.size)
            while done < len(header) + len(data):
                done += os.pwrite(self._descriptor, (header + data)[done:], self.size + done)
        except OSError:
            self._cut()
            return False
        self.size += done
        return True

    def _cut(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
