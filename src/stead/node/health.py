"""What this machine is and how it does, by real figures.

Contract: `facts()` once at start; `Figures(folder).now(...)` every heartbeat.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil

from stead.protocol.messages import Facts, Health


def facts(folder: Path) -> Facts:
    """The machine."""
    return Facts(
        hostname=platform.node(),
        os=platform.system().lower(),
        arch=platform.machine(),
        kernel=platform.release(),
        cpus=os.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        disk_bytes=psutil.disk_usage(str(folder)).total,
    )


class Figures:
    """CPU use is measured between two calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        psutil.cpu_percent()

    def now(self, workspaces: int, active: dict[str, float]) -> Health:
        """The figures of this moment; `active` is when each workspace was last used."""
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(str(self._folder))
        return Health(
            at=time.time(),
            cpu_percent=psutil.cpu_percent(),
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_used_bytes=disk.used,
            disk_total_bytes=disk.total,
            uptime_seconds=time.time() - psutil.boot_time(),
            load1=psutil.getloadavg()[0],
            workspaces=workspaces,
            active=active,
        )
