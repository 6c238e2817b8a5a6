"""Processes, and signals to exactly the one meant.

A process is its number and the moment it started, in this run of the kernel: `identity`. A signal goes through a descriptor
of the process that is opened before the identity is compared, so that a number given to another in between hits nobody.
"""

from __future__ import annotations

import functools
import os
import pwd
import re
import signal as signals
from pathlib import Path

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES
from stead.toolbox.system import kernel
from stead.toolbox.system.contract import Killed, KillProcess, ListProcesses, Process, Processes

COMMAND_BYTES = 4096
"""The most that is told of one command."""


def processes(asked: ListProcesses) -> Processes:
    """All that can be seen from here; those that end meanwhile are left out."""
    kernel.needs_linux("processes")
    if not 1 <= asked.limit <= LIST_ENTRIES:
        raise SteadError("invalid", f"limit: from 1 to {LIST_ENTRIES}", field="limit")
    if asked.order not in {"cpu", "memory", "pid"}:
        raise SteadError("invalid", "order: cpu, memory or pid", field="order")
    boot, uptime, started = _boot(), kernel.uptime(), kernel.boot_time()
    name = functools.cache(_user)
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    found = [process for pid in pids if (process := _process(pid, boot, uptime, started, name)) is not None]
    if asked.order == "cpu":
        found.sort(key=lambda process: -process.cpu_percent)
    elif asked.order == "memory":
        found.sort(key=lambda process: -process.memory_bytes)
    kept = _fitting(found[: asked.limit])
    return Processes(processes=kept, total=len(found), truncated=len(kept) < len(found))


def kill(asked: KillProcess) -> Killed:
    """False when it is gone, also when another has its number."""
    kernel.needs_linux("processes")
    if asked.signal not in set(signals.valid_signals()):
        raise SteadError("invalid", f"signal: {asked.signal} is none of this system", field="signal")
    form = re.fullmatch(r"([1-9][0-9]{0,9})-[0-9]+-[0-9a-f]*", asked.identity)
    if form is None:
        raise SteadError("invalid", "identity: one of the list of processes is needed", field="identity")
    pid = int(form[1])
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return Killed(pid=pid, signalled=False)
    except OSError as error:
        raise SteadError("unsupported", f"the kernel gives no descriptor of a process: {error}") from error
    try:
        fields = _stat(pid)
        if fields is None or _identity(pid, fields, _boot()) != asked.identity or fields[0] in {"Z", "X"}:
            return Killed(pid=pid, signalled=False)
        signals.pidfd_send_signal(descriptor, asked.signal)
    except ProcessLookupError:
        return Killed(pid=pid, signalled=False)
    except PermissionError as error:
        raise SteadError("permission_denied", f"process {pid} may not be signalled: {error}") from error
    finally:
        os.close(descriptor)
    return Killed(pid=pid, signalled=True)


def _boot() -> str:
    """The beginning of what is another at every start of the kernel."""
    return kernel.text("/proc/sys/kernel/random/boot_id").replace("-", "")[:8]


def _stat(pid: int) -> list[str] | None:
    """What follows the name in /proc/<pid>/stat: state, parent, ...; a name may have anything in it."""
    fields = kernel.text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields if len(fields) > 21 else None


def _identity(pid: int, fields: list[str], boot: str) -> str:
    return f"{pid}-{fields[19]}-{boot}"


def _process(
    pid: int, boot: str, uptime: float, booted: float, name: functools._lru_cache_wrapper[str]
) -> Process | None:
    fields = _stat(pid)
    if fields is None:
        return None
    try:
        uid = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None
    cpu = (int(fields[11]) + int(fields[12])) / kernel.TICKS
    since = int(fields[19]) / kernel.TICKS
    command = kernel.text(f"/proc/{pid}/cmdline")[:COMMAND_BYTES].removesuffix("\0")
    return Process(
        pid=pid,
        parent=int(fields[1]),
        identity=_identity(pid, fields, boot),
        user=name(uid),
        state=fields[0],
        name=kernel.text(f"/proc/{pid}/comm").removesuffix("\n"),
        command=command.split("\0") if command else [],
        cpu_percent=round(100 * cpu / max(uptime - since, 0.01), 1),
        cpu_seconds=cpu,
        memory_bytes=int(fields[21]) * kernel.PAGE_BYTES,
        threads=int(fields[17]),
        started=booted + since,
    )


def _user(uid: int) -> str:
    try:
        return kernel.told(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _fitting(found: list[Process]) -> list[Process]:
    """As many as one message carries."""
    room = CALL_BYTES
    for count, process in enumerate(found):
        room -= sum(len(word.encode()) + 4 for word in process.command) + 300
        if room < 0:
            return found[:count]
    return found
