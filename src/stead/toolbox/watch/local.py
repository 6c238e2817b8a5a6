"""Watching, done here."""

from __future__ import annotations

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.watch.contract import Nothing, WatchStatus
from stead.toolbox.watch.hub import hub


def work(place: Place) -> Work:
    """What does each operation of the area."""

    async def status(asked: Nothing) -> WatchStatus:
        return WatchStatus(watches=hub(place).status())

    return {"watch.status": status}
