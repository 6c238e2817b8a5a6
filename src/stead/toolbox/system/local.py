"""What does the operations of the system area here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.system import disks, host, network, processes


def work(place: Place) -> Work:
    """All of it waits for the kernel, so it is done in threads."""
    return {
        "system.info": _plain(place, host.info),
        "system.network": _plain(place, network.network),
        "system.disks": _plain(place, disks.disks),
        "system.processes": _asked(place, processes.processes),
        "system.kill_process": _asked(place, processes.kill),
    }


def _plain(place: Place, does: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda asked: place.in_thread(does)


def _asked(place: Place, does: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda asked: place.in_thread(does, asked)
