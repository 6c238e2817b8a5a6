"""Which processes belong to an exec: its session, all descendants, and whoever carries its id in the environment.

Contract: `adopt()` makes this process inherit orphans, so that descendants stay findable; `members(main, exec_id)` lists the
living (never zombies). A process that leaves the session, loses its parents and clears its environment cannot be told
from others' and is found only by `everything()`. Without /proc (macOS) `ps` answers and the environment is not read.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

MARK = "STEAD_EXEC_ID"

_PR_SET_CHILD_SUBREAPER = 36
_PROC = "/proc"

Table = dict[int, tuple[int, int]]
"""pid -> (parent, session); without zombies."""


def adopt() -> bool:
    """Orphans of this process's descendants become its children. False where the system has no such thing."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def members(main: int, exec_id: str) -> list[int]:
    """The living processes of one exec, the main one first: told first, it ends as it was told and not for a child's end."""
    table = processes()
    me = os.getpid()
    roots = {pid for pid, (_, session) in table.items() if pid == main or session == main}
    roots |= {pid for pid, (parent, _) in table.items() if parent == me and pid not in roots and marked(pid, exec_id)}
    return sorted(_below(table, roots), key=lambda pid: (pid != main, pid))


def everything(but: Iterable[int] = ()) -> list[int]:
    """All living descendants of this process, without the named ones and what is below them."""
    table = processes()
    spared = set(but)
    return _below(table, {pid for pid, (parent, _) in table.items() if parent == os.getpid() and pid not in spared})


def marked(pid: int, exec_id: str) -> bool:
    """Whether the process was started with this exec's id in its environment."""
    try:
        with open(f"{_PROC}/{pid}/environ", "rb") as file:
            found = file.read()
    except OSError:
        return False
    return f"{MARK}={exec_id}".encode() in found.split(b"\0")


def processes() -> Table:
    """Every living process that can be seen."""
    return by_proc() if os.path.exists(f"{_PROC}/self/stat") else by_ps()


def by_proc() -> Table:
    table: Table = {}
    for name in os.listdir(_PROC):
        if name.isdigit() and (found := _stat(int(name))) is not None:
            table[int(name)] = found
    return table


def by_ps() -> Table:
    import subprocess

    listing = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat="], capture_output=True, check=False)
    table: Table = {}
    for line in listing.stdout.decode(errors="replace").splitlines():
        pid, parent, state = line.split(None, 2)
        if not state.startswith("Z") and (session := _session(int(pid))) is not None:
            table[int(pid)] = (int(parent), session)
    return table


def _session(pid: int) -> int | None:
    """None when it is gone meanwhile, as `ps` itself always is; 0 when the system does not tell."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
    except OSError:
        return 0


def _stat(pid: int) -> tuple[int, int] | None:
    try:
        descriptor = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 1024)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    state, parent, _group, session = text[text.rindex(b")") + 2 :].split(None, 4)[:4]
    return None if state in {b"Z", b"X"} else (int(parent), int(session))


def _below(table: Table, roots: set[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [pid for pid in roots if pid in table]
    seen = set(waiting)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        fresh = [child for child in children.get(pid, ()) if child not in seen]
        seen.update(fresh)
        waiting += fresh
    return found
