"""What runs here, and on what."""

from __future__ import annotations

import os
import platform

from stead.toolbox.system import kernel
from stead.toolbox.system.contract import SystemInfo


def info() -> SystemInfo:
    """From os-release and the kernel."""
    kernel.needs_linux("information about the system")
    release = _release()
    memory = kernel.memory()
    return SystemInfo(
        os_id=release.get("ID", "linux"),
        os_name=release.get("PRETTY_NAME") or release.get("NAME", "Linux"),
        os_version=release.get("VERSION_ID", ""),
        kernel=os.uname().release,
        hostname=kernel.told(os.uname().nodename),
        architecture=os.uname().machine,
        cpu_count=kernel.processors(),
        cpu_model=_model(),
        memory_total_bytes=memory.get("MemTotal", 0),
        memory_available_bytes=memory.get("MemAvailable", 0),
        uptime_seconds=kernel.uptime(),
        boot_time=kernel.boot_time(),
        load=[round(number, 2) for number in os.getloadavg()],
    )


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _model() -> str:
    """As the kernel names the first processor; not every architecture has a name."""
    found = kernel.fields("/proc/cpuinfo")
    return next((found[key] for key in ("model name", "Model", "cpu model", "Hardware", "cpu") if key in found), "")
