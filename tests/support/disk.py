"""A small disk that can be made full: a file system of its own in memory, mounted for a test.

Mounting needs root; a test that cannot have a disk is skipped and says why.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

BLOCK = 4096
ROOMY = 64 << 20
"""So much there is on a disk after `free`."""


class Used(NamedTuple):
    """What lies on a disk."""

    bytes: int
    files: int


class Disk:
    """What is mounted at `path`. Filling it leaves no file there: its size is changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def used(self) -> Used:
        """Whole blocks, and every file and directory."""
        found = os.statvfs(self.path)
        return Used((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree)

    def fill(self, room: int = 0) -> None:
        """So many bytes are left, in whole blocks; at least one block is on the disk or left."""
        self.change("remount", f"size={max(BLOCK, self.used().bytes + room // BLOCK * BLOCK)}")

    def fill_names(self, room: int = 0) -> None:
        """So many new files and directories can be made, with plenty of bytes for them."""
        self.change("remount", f"nr_inodes={self.used().files + room}")

    def free(self) -> None:
        """Room for everything."""
        self.change("remount", f"size={ROOMY}", "nr_inodes=100000")

    def read_only(self, yes: bool = True) -> None:
        """Nothing can be written there."""
        self.change("remount", "ro" if yes else "rw")

    def change(self, *options: str) -> None:
        """Mounts it, or changes how it is mounted. OSError says why not."""
        argv = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())


@contextmanager
def small_disk(path: Path, size: int = 1 << 20) -> Iterator[Disk]:
    """A disk of so many bytes at a new directory."""
    if why := _why_none():
        pytest.skip(f"no disk of its own: {why}")
    path.mkdir(parents=True)
    disk = Disk(path)
    try:
        disk.change(f"size={size}", "mode=755")
    except OSError as error:
        pytest.skip(f"no disk of its own: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _why_none() -> str:
    if sys.platform != "linux":
        return "it is a tmpfs, which only Linux has"
    if os.getuid() != 0:
        return "only root may mount; `unshare --map-root-user --mount` makes one"
    return "" if shutil.which("mount") else "there is no `mount`"
