"""The holder of a workspace: `python -m stead.guest.holder --config FILE`. Process 1 of the workspace where there is one.

It owns the execs (`stead.toolbox.holding`), starts the guest and starts it again whenever it ends: at once when it had lived
for a while, with growing pauses when it keeps failing. A guest that dies takes nothing with it. SIGTERM ends everything,
in bounded time. The state file in the run directory tells the pids and the restarts. The guest is forked from the holder,
which has loaded all of it before it has a loop; its own work needs the standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from stead.guest import forking
from stead.guest.config import STATE
from stead.toolbox.holding import settings as config
from stead.toolbox.holding import spawn
from stead.toolbox.observer import NOBODY, Observer

if TYPE_CHECKING:
    from stead.toolbox.holding.engine import Engine
    from stead.toolbox.holding.loop import Loop
    from stead.toolbox.holding.settings import Settings

GRACE = 2.0
PAUSE = 0.1
LONGEST_PAUSE = 5.0
DEAF_SECONDS = 2.0
"""How long a guest may live after it closed its socket to the holder."""
HEALTHY_SECONDS = 5.0
"""A guest that lived this long is restarted at once."""


class Guest(NamedTuple):
    """A guest that was started, and the holder's end of the socket between the two."""

    pid: int
    socket: socket.socket
    started: float


def launch(settings: Settings, restarts: int, told: int = -1, observer: Observer = NOBODY) -> Guest:
    """Makes a guest, which says on the socket `told` when it is ready."""
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = theirs.fileno()
        pid = forking.fork((descriptor, told), lambda: forking.serve(settings, descriptor, restarts, told, observer))
    return Guest(pid, ours, time.monotonic())


class Keeper:
    """Keeps one guest alive."""

    def __init__(self, loop: Loop, engine: Engine, settings: Settings, observer: Observer) -> None:
        self._loop = loop
        self._engine = engine
        self._settings = settings
        self._observer = observer
        self._restarts = 0
        self._pause = 0.0

    def keep(self, guest: Guest) -> None:
        """Serves this guest, and starts another one when it ends."""
        self._engine.children[guest.pid] = lambda status: self._ended(guest)
        self._engine.connect(guest.socket, lambda: self._deaf(guest.pid))
        self._tell(guest.pid)
        self._observer.at("holder.keeping", self._settings.workspace_id)

    def _start(self) -> None:
        if self._engine.closing:
            return
        try:
            guest = launch(self._settings, self._restarts, observer=self._observer)
        except OSError as error:
            print(f"stead holder: no guest can be started: {error}", file=sys.stderr)
            self._loop.after(LONGEST_PAUSE, self._start)
        else:
            self.keep(guest)

    def _ended(self, guest: Guest) -> None:
        if self._engine.closing:
            return
        self._restarts += 1
        healthy = time.monotonic() - guest.started > HEALTHY_SECONDS
        self._loop.after(0.0 if healthy else self._pause, self._start)
        self._pause = 0.0 if healthy else min(LONGEST_PAUSE, self._pause * 2 or PAUSE)

    def _deaf(self, pid: int) -> None:
        """A guest that no longer talks to its holder is about to end, or of no use."""

        def end() -> None:
            if pid in self._engine.children:
                os.kill(pid, signal.SIGKILL)

        self._loop.after(DEAF_SECONDS, end)

    def _tell(self, pid: int) -> None:
        state = {"version": 1, "pid": os.getpid(), "guest_pid": pid, "guest_restarts": self._restarts}
        path = f"{self._settings.run}/{STATE}"
        with contextlib.suppress(OSError):
            with open(f"{path}.part", "w", opener=_never_waiting) as file:
                json.dump(state, file)
            os.rename(f"{path}.part", path)  # noqa: PTH104


def _never_waiting(path: str, flags: int) -> int:
    """Opens what a program of the workspace may have put there: no link, and a pipe holds nobody up."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def main(argv: list[str]) -> None:
    """Runs until SIGTERM."""
    if len(argv) != 2 or argv[0] != "--config":
        sys.exit("usage: python -m stead.guest.holder --config FILE")
    spawn.keep_descriptors()
    with contextlib.suppress(OSError):
        forking.rename("stead-holder", lambda line: line)
    hold(argv[1])


def hold(file: str, told: int = -1, observer: Observer = NOBODY) -> None:
    """The life of a holder with this configuration; its first guest tells on the socket `told` that it is ready."""
    try:
        settings = config.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"stead holder: {file}: {error}")
    forking.load()
    guest = launch(settings, 0, told, observer)
    if told >= 0:
        os.close(told)
    run(settings, guest, observer)


def run(settings: Settings, guest: Guest, observer: Observer) -> None:
    """The rest is loaded while the guest begins."""
    from stead.toolbox.holding.engine import Engine
    from stead.toolbox.holding.loop import Loop

    loop = Loop()
    engine = Engine(loop, settings, observer)

    def close() -> None:
        observer.at("holder.closing", settings.workspace_id)
        engine.close(GRACE, closed)

    def closed() -> None:
        observer.at("holder.closed", settings.workspace_id)
        loop.stop()

    loop.on_signal(signal.SIGTERM, close)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Keeper(loop, engine, settings, observer).keep(guest)
    loop.after(0.0, engine.reap)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
