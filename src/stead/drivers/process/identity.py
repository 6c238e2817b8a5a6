"""Who a process is, so that a reused pid is never mistaken for it.

Contract: an `Identity` is pid, start time and boot of the machine together. `identify(pid)`, `is_alive`, `send`, `wait_gone`.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec

LINUX = sys.platform == "linux"
_BOOT = ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
_PAUSE = 0.02


class Identity(msgspec.Struct, frozen=True):
    """One process of one boot of this machine."""

    pid: int
    started: str
    boot: str


@functools.cache
def boot_of_machine() -> str:
    """Changes with every boot."""
    if LINUX:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot_elsewhere(_BOOT)


def boot_elsewhere(ask: tuple[str, ...]) -> str:
    """What macOS calls this boot; else the time of the boot, which a corrected clock may move."""
    try:
        told = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        told = ""
    if told:
        return told
    import psutil

    return f"{psutil.boot_time():.0f}"


def identify(pid: int) -> Identity | None:
    """The process that has this pid now; None when there is none or only its corpse."""
    started = _started_linux(pid) if LINUX else started_elsewhere(pid)
    return None if started is None else Identity(pid, started, boot_of_machine())


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(identity.pid) == identity


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signals exactly this process; False when it is gone. On Linux the pid cannot be reused in between."""
    try:
        if hasattr(os, "pidfd_open"):
            return _send_by_descriptor(identity, number)
        if not is_alive(identity):
            return False
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


async def wait_gone(identity: Identity, within: float) -> bool:
    """Whether the process is gone within this time."""
    with anyio.move_on_after(within):
        if hasattr(os, "pidfd_open"):
            await _wait_by_descriptor(identity)
        while is_alive(identity):
            await anyio.sleep(_PAUSE)
        return True
    return not is_alive(identity)


def _send_by_descriptor(identity: Identity, number: signal.Signals) -> bool:
    descriptor = os.pidfd_open(identity.pid)
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)
    return True


async def _wait_by_descriptor(identity: Identity) -> None:
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return
    try:
        if is_alive(identity):
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _started_linux(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (asked often)
            text = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode()


def started_elsewhere(pid: int) -> str | None:
    """A number made of the pid and the start time, which a corrected clock does not change."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return str(hash(process))
    except psutil.Error:
        return None
