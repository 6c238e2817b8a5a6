"""The holder and its guest as a program that kills itself, or its guest, at a named point.

Contract: `python -m stead.testing.guestprogram --armed FOLDER --config FILE` is the same holder with the same guest. Each time
one of them passes a point, and FOLDER has a file of that name, or of the workspace's id, a dash and that name, it removes the
file and sends itself SIGKILL: once for each file, whoever passes first. A node is told to use it with the option
`process.holder`. The points are the names that `observer.at` is given in `stead.guest` and `stead.toolbox`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from pathlib import Path

from stead.guest import holder
from stead.toolbox.holding import settings, spawn

GUEST = (
    "guest.begun",
    "guest.listening",
    "guest.ready",
    "guest.linked",
    "call.begun",
    "file.written",
    "file.linked",
    "file.placed",
    "call.done",
    "stream.opening",
    "stream.begun",
    "stream.sent",
    "stream.ended",
)
"""Points of the guest, in the order in which a life passes them."""
HOLDER = (
    "holder.keeping",
    "exec.claimed",
    "exec.spawned",
    "exec.logged",
    "exec.held",
    "exec.ending",
    "exec.over",
    "exec.drained",
    "exec.recorded",
    "exec.told",
    "holder.closing",
    "holder.closed",
)
"""Points of the holder."""


class KillOnce:
    """Ends the process without any goodbye, once for each file."""

    def __init__(self, armed: Path, workspace_id: str) -> None:
        self._armed = armed
        self._workspace_id = workspace_id

    def at(self, point: str, subject: str) -> None:
        for name in (point, f"{self._workspace_id}-{point}"):
            with contextlib.suppress(FileNotFoundError):
                (self._armed / name).unlink()
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Serves until SIGTERM, or until a point is passed."""
    parser = argparse.ArgumentParser(prog="stead-guestprogram")
    parser.add_argument("--armed", type=Path, required=True)
    parser.add_argument("--config", required=True)
    given = parser.parse_args()
    spawn.keep_descriptors()
    holder.hold(given.config, observer=KillOnce(given.armed, settings.load(given.config).workspace_id))


if __name__ == "__main__":
    main()
