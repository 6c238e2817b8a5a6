"""The node as a program that kills itself at a named point.

Contract: `python -m stead.testing.nodeprogram --config FILE --kill-at POINT [--times N]` is the same daemon; its observer sends
SIGKILL to the process when POINT is passed for the N-th time. Points are the names that `observer.at` is given in
`stead.node` and `stead.drivers`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
from pathlib import Path

import anyio

from stead.node import daemon, settings

POINTS = (
    "link.welcomed",
    "command.taken",
    "command.begun",
    "driver.start.cleared",
    "driver.start.prepared",
    "driver.start.launched",
    "driver.start.recorded",
    "operation.started",
    "command.done",
    "command.finished",
    "driver.end.signalled",
    "driver.stop.recorded",
    "operation.ended",
    "driver.delete.marked",
    "driver.delete.ended",
    "driver.delete.removed",
    "operation.deleted",
)
"""Every point there is, in the order in which a life passes them."""


class KillAt:
    """Ends the process without any goodbye."""

    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._left = times

    async def at(self, point: str, subject: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Serves until the point is passed."""
    parser = argparse.ArgumentParser(prog="stead-nodeprogram")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--kill-at", required=True, choices=POINTS)
    parser.add_argument("--times", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(level="INFO")
    loaded = settings.load(given.config, os.environ)
    anyio.run(daemon.run, loaded, KillAt(given.kill_at, given.times))


if __name__ == "__main__":
    main()
