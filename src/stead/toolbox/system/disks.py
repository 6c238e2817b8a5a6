"""Mounted filesystems and what is free on them, with the numbers of `df`."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from stead.toolbox.system import kernel
from stead.toolbox.system.contract import Disks, Filesystem

REMOTE = re.compile(r"nfs4?|cifs|smb3?|9p|ceph|glusterfs|afs|fuse\..*|ncpfs|lustre")
"""Types whose server may not answer: asking for sizes could hang."""


class _Mount(NamedTuple):
    device_number: str
    mount_point: str
    type: str
    device: str
    read_only: bool


def disks() -> Disks:
    """Those with a size."""
    kernel.needs_linux("filesystems")
    last_on = {mount.mount_point: mount for mount in _mounts(kernel.text("/proc/self/mountinfo"))}
    by_device: dict[str, _Mount] = {}
    for mount in sorted(last_on.values(), key=lambda mount: (len(mount.mount_point), mount.mount_point)):
        by_device.setdefault(mount.device_number, mount)
    found = [measured for mount in by_device.values() if (measured := _measured(mount)) is not None]
    return Disks(filesystems=sorted(found, key=lambda filesystem: filesystem.mount_point))


def percent(used: int, available: int) -> int:
    """As `df` does: of what is not reserved, rounded up."""
    return -(-100 * used // (used + available)) if used + available else 0


def _measured(mount: _Mount) -> Filesystem | None:
    remote = REMOTE.fullmatch(mount.type) is not None
    total = used = available = 0
    if not remote:
        try:
            told = os.statvfs(mount.mount_point)
        except OSError:
            return None
        total, available = told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize
        used = total - told.f_bfree * told.f_frsize
        if not total:
            return None
    return Filesystem(
        mount_point=mount.mount_point,
        device=mount.device,
        type=mount.type,
        total_bytes=total,
        used_bytes=used,
        available_bytes=available,
        used_percent=percent(used, available),
        read_only=mount.read_only,
        remote=remote,
    )


def _mounts(table: str) -> list[_Mount]:
    """`id parent major:minor root mount options [tags] - type device options`, with octal escapes."""
    found = []
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if dash and len(first) >= 6 and len(last) >= 2:
            point, device = _plain(first[4]), _plain(last[1])
            read_only = "ro" in {*first[5].split(","), *"".join(last[2:3]).split(",")}
            found.append(_Mount(first[2], point, last[0], device, read_only))
    return found


def _plain(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
