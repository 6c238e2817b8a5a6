"""The file systems that are mounted at and in a workspace, and what the kernel tells of changes in them.

Contract: `deaf(root)` is the kind of the root's own file system where it does not tell of all; empty for others.
`state(root)` are the directories at and below the root that show what the kernel or its drivers do: they are full of
directories that nobody edits, and nothing is told of them. `root` is absolute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_DEAF = ("nfs", "cifs", "smb", "9p", "fuse.", "afs", "ceph", "lustre", "gluster", "vboxsf", "prl_fs")
"""File systems whose changes by others the kernel does not see."""
_STATE = frozenset(
    {
        *("proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "pstore", "bpf"),
        *("binfmt_misc", "efivarfs", "fusectl", "rpc_pipefs", "selinuxfs", "resctrl", "nsfs"),
    }
)


def deaf(root: str) -> str:
    at, kind = "", ""
    for mount, its_kind in _mounts():
        if len(mount) >= len(at) and _inside(root, mount):
            at, kind = mount, its_kind
    return kind if kind.startswith(_DEAF) else ""


def state(root: str) -> frozenset[str]:
    return frozenset(mount for mount, kind in _mounts() if kind in _STATE and _inside(mount, root))


def _mounts() -> Iterator[tuple[str, str]]:
    """Where each is, and of what kind; none where the system does not say."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split(" ")
        yield words[4].encode().decode("unicode_escape"), words[words.index("-") + 1]


def _inside(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
