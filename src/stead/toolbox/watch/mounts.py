"""The file systems that are mounted at and in a workspace, and what the kernel tells of changes in them.

Contract: `deaf(root)` is the kind of the root's own file system where it does not tell of all; empty for others.
`state(root)` are the directories at and below the root that show what the kernel or its drivers do: they are full of
directories that nobody edits, and nothing is told of them. `root` is absolute. `mounted` are all of a process, each with its
kind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

Mounts = Iterable[tuple[str, str]]

_DEAF = ("nfs", "cifs", "smb", "9p", "virtiofs", "fuse.", "afs", "ceph", "lustre", "gluster", "vboxsf", "prl_fs")
"""File systems whose changes by others the kernel does not see."""
_STATE = frozenset(
    {
        *("proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "pstore", "bpf"),
        *("binfmt_misc", "efivarfs", "fusectl", "rpc_pipefs", "selinuxfs", "resctrl", "nsfs"),
    }
)


_ESCAPED = re.compile(rb"\\([0-7]{3})")


def deaf(root: str, mounts: Mounts | None = None) -> str:
    at, kind = "", ""
    for mount, its_kind in mounted(MOUNTS) if mounts is None else mounts:
        if len(mount) >= len(at) and _inside(root, mount):
            at, kind = mount, its_kind
    return kind if kind.startswith(_DEAF) else ""


def state(root: str, mounts: Mounts | None = None) -> frozenset[str]:
    found = mounted(MOUNTS) if mounts is None else mounts
    return frozenset(mount for mount, kind in found if kind in _STATE and _inside(mount, root))


def mounted(table: Path) -> Iterator[tuple[str, str]]:
    """Where each is, as a path, and of what kind; none where the system does not say."""
    try:
        lines = table.read_bytes().split(b"\n")
    except OSError:
        return
    for words in (line.split(b" ") for line in lines if line):
        place = _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), words[4])
        yield os.fsdecode(place), os.fsdecode(words[words.index(b"-") + 1])


def _inside(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
