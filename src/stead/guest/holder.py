"""The holder of a workspace: `python -m stead.guest.holder --config FILE`. Process 1 of the workspace where there is one.

It owns the execs (`stead.toolbox.holding`), starts the guest and starts it again whenever it ends: at once when it had lived
for a while, with growing pauses when it keeps failing. A guest that dies takes nothing with it. SIGTERM ends everything,
in bounded time. The state file in the run directory tells the pids and the restarts. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time

from stead.guest.config import STATE
from stead.toolbox.holding import settings as config
from stead.toolbox.holding import spawn
from stead.toolbox.holding.engine import Engine
from stead.toolbox.holding.loop import Loop
from stead.toolbox.holding.settings import Settings

GRACE = 2.0
PAUSE = 0.1
LONGEST_PAUSE = 5.0
HEALTHY_SECONDS = 5.0
"""A guest that lived this long is restarted at once."""


class Keeper:
    """Keeps one guest alive."""

    def __init__(self, loop: Loop, engine: Engine, settings: Settings, file: str) -> None:
        self._loop = loop
        self._engine = engine
        self._settings = settings
        self._file = file
        self._restarts = 0
        self._pause = 0.0
        self._started = 0.0
        self._pid = 0
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def start(self) -> None:
        """Starts the guest with a socket to the holder."""
        if self._engine.closing:
            return
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        argv = [sys.executable, "-P", "-m", "stead.guest", "serve", "--config", self._file]
        argv += ["--holder", str(theirs.fileno()), "--restarts", str(self._restarts)]
        self._started = time.monotonic()
        with theirs:
            self._pid = pid = spawn.spawn(argv, dict(os.environ), "/", self._null, self._null, 2)
        self._engine.children[pid] = lambda status: self._ended()
        self._engine.connect(ours, lambda: self._deaf(pid))
        self._tell()

    def _ended(self) -> None:
        self._pid = 0
        if self._engine.closing:
            return
        self._restarts += 1
        healthy = time.monotonic() - self._started > HEALTHY_SECONDS
        self._loop.after(0.0 if healthy else self._pause, self.start)
        self._pause = 0.0 if healthy else min(LONGEST_PAUSE, self._pause * 2 or PAUSE)

    def _deaf(self, pid: int) -> None:
        """A guest that no longer talks to its holder is of no use."""
        if pid in self._engine.children:
            os.kill(pid, signal.SIGKILL)

    def _tell(self) -> None:
        state = {"version": 1, "pid": os.getpid(), "guest_pid": self._pid, "guest_restarts": self._restarts}
        path = f"{self._settings.run}/{STATE}"
        with contextlib.suppress(OSError):
            with open(f"{path}.part", "w") as file:  # noqa: PTH123 (without pathlib)
                json.dump(state, file)
            os.rename(f"{path}.part", path)  # noqa: PTH104


def main(argv: list[str]) -> None:
    """Runs until SIGTERM."""
    if len(argv) != 2 or argv[0] != "--config":
        sys.exit("usage: python -m stead.guest.holder --config FILE")
    try:
        settings = config.load(argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"stead holder: {argv[1]}: {error}")
    spawn.keep_descriptors()
    loop = Loop()
    engine = Engine(loop, settings)
    loop.on_signal(signal.SIGTERM, lambda: engine.close(GRACE, loop.stop))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Keeper(loop, engine, settings, argv[1]).start()
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
