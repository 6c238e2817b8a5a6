"""How far a copy is: a bar on stderr for a person who waits, nothing for a pipe.

Contract: `with Progress(out, what, total) as progress`, then `progress.add(count)` for each piece, or `counted(pieces)`. The
bar appears only when it takes a while, and goes when it is done.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stead.cli.output import Output, safe

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

QUIET_SECONDS = 0.3
"""What is done so soon needs no bar."""


class Progress:
    """One copy's."""

    def __init__(self, out: Output, what: str, total: int | None = None) -> None:
        self.count = 0
        self.total = total
        self._what = what
        self._shown = not out.json and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._bar: Bar | None = None

    def add(self, count: int) -> None:
        """So many bytes more."""
        self.count += count
        if not self._shown:
            return
        if self._bar is None:
            if time.monotonic() - self._began < QUIET_SECONDS:
                return
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(safe(self._what), total=self.total)
        self._bar.update(self._bar.task_ids[0], completed=self.count)

    async def counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same pieces."""
        async for piece in pieces:
            yield piece
            self.add(len(piece))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Bar:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
