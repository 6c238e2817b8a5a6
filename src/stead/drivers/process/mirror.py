"""A copy of a tree with only what everybody may read, made and kept as the tree is.

Contract: `mirror(source, copy, look)` makes the copy as the source is now. In it are folders that everybody may read and enter,
files that everybody may read, and links as they are; nothing else is ever there. Files are replaced, in folders that stay, so
that who has the copy mounted sees every change. `look` is given the path of everything whose changes are
to be followed, before it is read: each folder, and each file that lies on another file system than its folder. What the source
does not let us read is as if it was not there; what cannot be written raises OSError after all else was done.

A copied file says by its time of change when the original was last changed in any way: that is how the two are compared.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

RECENT_SECONDS = 1.0
"""A file that was changed so lately may be changed again without a later time: it is copied in any case."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC

_GONE = {
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "EIO", "ENXIO", "ENOTCONN", "ESTALE")
}
"""What reading fails with where there is nothing to be had: also folders of file systems that are broken."""

Look = Callable[[str], None]


def mirror(source: Path, copy: Path, look: Look) -> None:
    """One at a time for each copy. The folder of the copy must be there; a source that is not there is empty."""
    with contextlib.suppress(FileExistsError):
        copy.mkdir()
    with _opened(os.open(copy, _FOLDER)) as target:
        fcntl.flock(target, fcntl.LOCK_EX)
        os.fchmod(target, 0o755)
        part = copy.with_name(f"{copy.name}.part")
        try:
            _Mirror(part, look).run(source, target)
        finally:
            part.unlink(missing_ok=True)


class _Mirror:
    """One pass. A file grows in `part` and has its place at once."""

    def __init__(self, part: Path, look: Look) -> None:
        self._part = part
        self._look = look
        self._failed: OSError | None = None

    def run(self, source: Path, target: int) -> None:
        try:
            origin = os.open(source, _FOLDER)
        except FileNotFoundError:
            self._keep_only(set(), target)
            return
        with _opened(origin):
            self._fill(origin, target)
        if self._failed is not None:
            raise self._failed

    def _fill(self, origin: int, target: int) -> None:
        self._look(f"/proc/self/fd/{origin}/.")
        device = os.fstat(origin).st_dev
        self._keep_only({name for name in os.listdir(origin) if self._belongs(name, device, origin, target)}, target)

    def _keep_only(self, names: set[str], target: int) -> None:
        for name in os.listdir(target):
            if name not in names:
                _remove(name, target)

    def _belongs(self, name: str, device: int, origin: int, target: int) -> bool:
        """Whether it has its place in the copy. What fails for now stays as it was: everybody could read that."""
        try:
            return self._entry(name, device, origin, target)
        except OSError as error:
            if error.errno in _GONE:
                return False
            self._failed = self._failed or error
            return True

    def _entry(self, name: str, device: int, origin: int, target: int) -> bool:
        found = os.stat(name, dir_fd=origin, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            _link(os.readlink(name, dir_fd=origin), name, target)
            return True
        if not _is_public(found):
            return False
        if stat.S_ISREG(found.st_mode):
            if found.st_dev != device:
                self._look(f"/proc/self/fd/{origin}/{name}")
            if _is_same(found, name, target):
                return True
        with _opened(os.open(name, _READ, dir_fd=origin)) as descriptor:
            return self._public(name, descriptor, target)

    def _public(self, name: str, descriptor: int, target: int) -> bool:
        """What is open may be another thing than what was looked at."""
        found = os.fstat(descriptor)
        if not _is_public(found):
            return False
        if stat.S_ISREG(found.st_mode):
            return self._file(name, found, descriptor, target)
        with _opened(_folder(name, target)) as below:
            self._fill(descriptor, below)
        return True

    def _file(self, name: str, found: os.stat_result, descriptor: int, target: int) -> bool:
        """Who makes a file secret does so before the secret is written: then what was read is not shown."""
        with _opened(os.open(self._part, _WRITE, 0o600)) as part:
            while data := os.read(descriptor, _PIECE):
                _write(part, data)
            os.fchmod(part, 0o755 if found.st_mode & stat.S_IXOTH else 0o644)
            os.utime(part, ns=(found.st_ctime_ns, found.st_ctime_ns))
        if not _is_public(os.fstat(descriptor)):
            return False
        if stat.S_ISDIR(_mode(name, target)):
            _remove(name, target)
        os.rename(self._part, name, dst_dir_fd=target)
        return True


def _is_public(found: os.stat_result) -> bool:
    """Whether it is a file that everybody may read, or a folder that everybody may read and enter."""
    if stat.S_ISDIR(found.st_mode):
        return found.st_mode & 0o5 == 0o5
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & stat.S_IROTH)


def _is_same(found: os.stat_result, name: str, target: int) -> bool:
    if time.time() - found.st_ctime < RECENT_SECONDS:
        return False
    try:
        there = os.stat(name, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    same = (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_ctime_ns)
    return same and stat.S_ISREG(there.st_mode)


def _link(link: str, name: str, target: int) -> None:
    mode = _mode(name, target)
    if stat.S_ISLNK(mode) and os.readlink(name, dir_fd=target) == link:
        return
    if mode:
        _remove(name, target)
    os.symlink(link, name, dir_fd=target)


def _folder(name: str, target: int) -> int:
    """The folder of this name, made where it is not there."""
    mode = _mode(name, target)
    if mode and not stat.S_ISDIR(mode):
        _remove(name, target)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=target)
    descriptor = os.open(name, _FOLDER, dir_fd=target)
    os.fchmod(descriptor, 0o755)
    return descriptor


def _remove(name: str, target: int) -> None:
    if stat.S_ISDIR(_mode(name, target)):
        shutil.rmtree(name, dir_fd=target)
    else:
        os.unlink(name, dir_fd=target)


def _mode(name: str, target: int) -> int:
    """0 for nothing."""
    try:
        return os.stat(name, dir_fd=target, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
