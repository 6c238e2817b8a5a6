"""A leash: runs programs one after the other for whoever started it, in a folder that goes when it ends, however that is.

Contract: `python -m stead.toolbox.system.leash PARENT`, one JSON object a line. At first it tells `{"folder"}`, a new one below
PARENT that only this user may look into, or `{"errno", "words"}`; errno 0: another leash has PARENT. Asked `{"argv",
"environment"}`, it runs that to its end and answers `{"code", "output", "seconds"}`: the end of what it printed, and a code
that is negative when a signal ended it. When its input ends, so does it: a program that still runs is killed with everything
that was started here; what earlier ones left in the background stays. Folders of leashes that were killed are removed by the
next one, or by `swept`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from stead.toolbox.holding import tree
from stead.toolbox.holding.ending import Ending
from stead.toolbox.holding.loop import Loop
from stead.toolbox.holding.spawn import CannotStartError, keep_descriptors, spawn

OUTPUT_BYTES = 1 << 16
"""The end of a program's output that is kept."""
_PIECE = 1 << 16


def say(told: dict[str, object]) -> None:
    """Nobody listens any more: then the input has ended, too."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()


class Program:
    """One that runs, with both outputs in one pipe."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.output, theirs = os.pipe()
        os.set_blocking(self.output, False)
        self._began = time.monotonic()
        self._kept = b""
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            self.pid = spawn(argv, os.environ | environment, "/", nothing, theirs, theirs)
        except CannotStartError:
            os.close(self.output)
            raise
        finally:
            os.close(theirs)
            os.close(nothing)

    def read(self) -> bool:
        """What is there now; False when nothing comes any more."""
        try:
            while piece := os.read(self.output, _PIECE):
                self._kept = (self._kept + piece)[-OUTPUT_BYTES:]
        except BlockingIOError:
            return True
        return False

    def ended(self, code: int) -> dict[str, object]:
        """The answer. What it left in the background may hold the pipe: its end is not waited for."""
        self.read()
        os.close(self.output)
        output = self._kept.decode(errors="replace")
        return {"code": code, "output": output, "seconds": time.monotonic() - self._began}


class Leash:
    """The programs of one."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._asked = b""
        self._program: Program | None = None
        self._ending: Ending | None = None
        loop.watch(sys.stdin.fileno(), self._heard)
        loop.on_signal(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.on_signal(number, self._end)

    def _heard(self) -> None:
        piece = os.read(sys.stdin.fileno(), _PIECE)
        self._asked += piece
        if not piece:
            self._end()
        elif self._asked.endswith(b"\n"):
            asked, self._asked = json.loads(self._asked), b""
            self._start(asked["argv"], asked["environment"])

    def _start(self, argv: list[str], environment: dict[str, str]) -> None:
        try:
            self._program = Program(argv, environment)
        except CannotStartError as error:
            say({"code": error.exit_code, "output": error.message, "seconds": 0.0})
            return
        self._loop.watch(self._program.output, self._listen)

    def _listen(self) -> None:
        program = self._program
        if program is not None and not program.read():
            self._loop.unwatch(program.output)

    def _reap(self) -> None:
        """The program, and those that lost their parents to us."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if self._program is not None and found[0] == self._program.pid:
                    program, self._program = self._program, None
                    self._loop.unwatch(program.output)
                    if self._ending is None:
                        say(program.ended(os.waitstatus_to_exitcode(found[1])))
        if self._ending is not None:
            self._ending.wake()

    def _end(self) -> None:
        self._loop.unwatch(sys.stdin.fileno())
        if self._program is None:
            self._loop.stop()
        elif self._ending is None:
            self._ending = Ending(self._loop, tree.everything, signal.SIGKILL, 0.0, lambda left: self._loop.stop())


def swept(parent: Path) -> int | None:
    """The lock on the parent, once what others have left there is removed; None while another leash has it."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    for left in parent.iterdir():
        shutil.rmtree(left, ignore_errors=True)
    return descriptor


def folder_below(parent: Path) -> Path | None:
    """A fresh one, locked as long as this program runs; None while another leash has the parent."""
    parent.mkdir(0o700, parents=True, exist_ok=True)
    return None if swept(parent) is None else Path(tempfile.mkdtemp(dir=parent))


def main(parent: str) -> int:
    """The program."""
    keep_descriptors()
    tree.adopt()
    try:
        folder = folder_below(Path(parent))
    except OSError as error:
        say({"errno": error.errno, "words": str(error)})
        return 1
    if folder is None:
        say({"errno": 0, "words": "in use"})
        return 1
    try:
        loop = Loop()
        Leash(loop)
        say({"folder": str(folder)})
        loop.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
