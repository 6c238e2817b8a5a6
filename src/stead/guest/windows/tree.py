"""A command that runs: its output is kept up to a bound, and its time is limited.

Contract: `Tree(process, end, release)` takes a process whose outputs are pipes. `finish(seconds, most)` waits for its end; over
its time the whole tree is ended. What the command left running when it ended by itself lives on, and prints into nothing.
`Command(start)` is both, starting and finishing. `end` may be called from another thread, and again.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, NamedTuple

PIECE = 1 << 16
DRAIN_SECONDS = 0.5
"""How long what was printed before the end may take to arrive, when others still hold the pipe."""


class Ended(NamedTuple):
    """How it ended; `code` is negative when a signal ended it."""

    code: int
    stdout: bytes
    stderr: bytes
    clipped: bool
    timed_out: bool


class Tree:
    """One command and all that it starts."""

    def __init__(
        self, process: subprocess.Popen[bytes], end: Callable[[], None], release: Callable[[], None] = lambda: None
    ) -> None:
        self._process = process
        self._end = end
        self._release = release

    def finish(self, seconds: float, most: int) -> Ended:
        """Keeps at most so many bytes of each output. The tree is over afterwards, or let go."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        outputs = [_Output(self._process.stdout, most), _Output(self._process.stderr, most)]
        until = time.monotonic() + seconds
        timed_out = False
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
            self.end()
            code = self._process.wait()
        drained = max(until, time.monotonic()) if timed_out else time.monotonic()
        for output in outputs:
            output.join(max(0.0, drained + DRAIN_SECONDS - time.monotonic()))
        self._release()
        stdout, stderr = outputs
        return Ended(code, stdout.content(), stderr.content(), stdout.clipped or stderr.clipped, timed_out)

    def end(self) -> None:
        """Kills all of it, at once."""
        self._end()


class Command:
    """One that may be ended at any time, also while it is only being started."""

    def __init__(self, start: Callable[[], Tree]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._tree: Tree | None = None
        self._over = False

    def finish(self, seconds: float, most: int) -> Ended:
        """Starts it, and waits for its end."""
        tree = self._start()
        with self._lock:
            self._tree, over = tree, self._over
        if over:
            tree.end()
        return tree.finish(seconds, most)

    def end(self) -> None:
        """Kills all of it, now or as soon as it is there."""
        with self._lock:
            self._over, tree = True, self._tree
        if tree is not None:
            tree.end()


class _Output:
    """A thread that reads one pipe to its end."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self._pipe = pipe
        self._most = most
        self._kept = bytearray()
        self._lock = threading.Lock()
        self.clipped = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def content(self) -> bytes:
        """What came so far; what comes later is dropped."""
        with self._lock:
            self._most = len(self._kept)
            return bytes(self._kept)

    def _read(self) -> None:
        with self._pipe:
            while piece := self._pipe.read1(PIECE):  # type: ignore[attr-defined]
                with self._lock:
                    self.clipped = self.clipped or len(self._kept) + len(piece) > self._most
                    self._kept += piece[: self._most - len(self._kept)]
