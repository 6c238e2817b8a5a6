"""What the kernel tells in /proc, read with care: a file that is not there has nothing in it.

Contract: `needs_linux` refuses elsewhere. `text` reads one file, `fields` one of `Name: value` lines; `told` makes text of a
name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stead.protocol.errors import SteadError

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
"""What /proc counts processor time in, a second."""


def needs_linux(what: str) -> None:
    """ "unsupported" on other systems."""
    if sys.platform != "linux":
        raise SteadError("unsupported", f"{what}: this system is not Linux")


def text(path: str) -> str:
    """A file of the kernel's, or nothing."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def told(name: str) -> str:
    """A name of the system's as an answer carries it: what is not UTF-8 has replacement characters."""
    return os.fsencode(name).decode(errors="replace")


def fields(path: str) -> dict[str, str]:
    """Lines of the form `Name: value`."""
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text(path).splitlines())}


def memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for name, value in fields("/proc/meminfo").items():
        number, _, unit = value.partition(" ")
        if number.isdigit():
            found[name] = int(number) * (1024 if unit == "kB" else 1)
    return found


def uptime() -> float:
    """Seconds since the start, asleep or not."""
    return float((text("/proc/uptime") or "0").split()[0])


def boot_time() -> float:
    """When the kernel started; the same at every call."""
    for line in text("/proc/stat").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
