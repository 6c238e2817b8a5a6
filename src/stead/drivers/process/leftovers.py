"""Ending what nobody holds any more: processes of a workspace whose holder is gone or was never recorded.

Contract: a process belongs to a workspace when its environment carries `MARKER=<workspace id>`, or when its argument vector
names the workspace's configuration file (bubblewrap, before it has handed over). `sweep` kills until none is left and nobody
holds the workspace: a process that is just being replaced by its program shows neither for a moment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio

from stead.drivers.process.identity import Identity, identify, send

MARKER = "STEAD_WORKSPACE_ID"
_PAUSE = 0.01


def leftovers(workspace_id: str, config: Path) -> list[Identity]:
    """The living processes of this workspace."""
    found = _pids_linux(workspace_id, config) if sys.platform == "linux" else _pids_elsewhere(workspace_id, config)
    identities = (identify(pid) for pid in found)
    return [identity for identity in identities if identity is not None]


async def sweep(workspace_id: str, config: Path, is_held: Callable[[], bool], within: float) -> None:
    """Kills them, and what they forked meanwhile."""
    with anyio.move_on_after(within):
        while (found := leftovers(workspace_id, config)) or is_held():
            for identity in found:
                send(identity, signal.SIGKILL)
            await anyio.sleep(_PAUSE)


def _pids_linux(workspace_id: str, config: Path) -> Iterator[int]:
    mark, name = f"{MARKER}={workspace_id}".encode(), os.fsencode(config)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (_has(entry.path, "environ", mark) or _has(entry.path, "cmdline", name)):
            yield int(entry.name)


def _has(process: str, file: str, word: bytes) -> bool:
    try:
        return word in Path(process, file).read_bytes().split(b"\0")
    except OSError:
        return False


def _pids_elsewhere(workspace_id: str, config: Path) -> Iterator[int]:
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == workspace_id or str(config) in process.cmdline():
                yield process.pid
        except (psutil.Error, OSError):
            continue
