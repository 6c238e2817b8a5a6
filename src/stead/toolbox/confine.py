"""Paths confined to a root by directory descriptors, never by comparing strings.

Contract: `Root.open` opens what a path leads to; `Root.locate` gives the directory descriptor and the last name, for what
makes, renames or removes. Links are followed while they stay inside; one that leads out is "path_outside". Where the kernel
has `openat2` it resolves; elsewhere (macOS, old kernels, links with absolute targets) a walk does, name by name with
O_NOFOLLOW. `regular` refuses what is not a plain file without ever blocking on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import stat
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from stead.protocol.errors import SteadError

PATH_BYTES = 4096
NAME_BYTES = 255
MAX_LINKS = 40

DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
QUIET = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Opening never blocks and never takes a terminal."""

_CODES = {
    errno.ENOENT: ("not_found", "there is nothing"),
    errno.EACCES: ("permission_denied", "not permitted"),
    errno.EPERM: ("permission_denied", "not permitted"),
    errno.EROFS: ("permission_denied", "the filesystem is read-only"),
    errno.EISDIR: ("is_directory", "it is a directory"),
    errno.ENOTDIR: ("not_directory", "part of the path is not a directory"),
    errno.EEXIST: ("already_exists", "it exists already"),
    errno.ENOTEMPTY: ("not_empty", "the directory is not empty"),
    errno.ENAMETOOLONG: ("path_invalid", "a name or the path is too long"),
    errno.ELOOP: ("path_invalid", "too many links"),
    errno.EINVAL: ("path_invalid", "the path cannot be used so"),
    errno.EILSEQ: ("path_invalid", "the file system takes no such name"),
    errno.EXDEV: ("path_outside", "the path leads out of the workspace"),
    errno.ENXIO: ("not_file", "it is not a regular file"),
    errno.ENODEV: ("not_file", "it is not a regular file"),
    errno.EOPNOTSUPP: ("not_file", "it is not a regular file"),
    errno.ETXTBSY: ("conflict", "the program is running"),
    errno.EBUSY: ("conflict", "it is in use"),
    errno.EFBIG: ("too_large", "the file would be too large"),
    errno.ENOSPC: ("disk_full", "no space is left"),
    errno.EDQUOT: ("disk_full", "the quota is used up"),
    errno.EMFILE: ("too_many", "too many open files"),
    errno.ENFILE: ("too_many", "too many open files"),
}


def typed(error: OSError, path: str) -> SteadError:
    """The error of the table for what the system said."""
    code, words = _CODES.get(error.errno or 0, ("unavailable", error.strerror or "the system refused"))
    return SteadError(code, f"{shown(path)}: {words}", path=shown(path))


def shown(path: str) -> str:
    """A path as it may stand in a message: short and printable."""
    short = path if len(path) <= 200 else path[:200] + "..."
    return short.encode("utf-8", "replace").decode().replace("\0", "\\0")


@contextlib.contextmanager
def errors(path: str) -> Iterator[None]:
    """Turns what the system says into errors of the table."""
    try:
        yield
    except OSError as error:
        raise typed(error, path) from error


def regular(descriptor: int, path: str) -> os.stat_result:
    """The stat of an open regular file, or "is_directory" / "not_file"."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise SteadError("is_directory", f"{shown(path)}: it is a directory", path=shown(path))
    if not stat.S_ISREG(found.st_mode):
        raise SteadError("not_file", f"{shown(path)}: it is not a regular file", path=shown(path))
    return found


class Location:
    """An open directory and a name in it; `.` is the directory itself. Use as a context manager."""

    def __init__(self, stack: list[int], name: str) -> None:
        self._stack = stack
        self.name = name

    @property
    def directory(self) -> int:
        return self._stack[-1]

    def close(self) -> None:
        while self._stack:
            os.close(self._stack.pop())

    def __enter__(self) -> Location:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Root:
    """A directory that paths cannot leave. `kernel=False` never uses openat2 (as on systems without it)."""

    def __init__(self, path: str | Path, *, kernel: bool = True) -> None:
        self.path = str(path)
        self._bases = [_split(self.path), _split(os.path.realpath(self.path))]
        with errors(self.path):
            self.descriptor = os.open(self.path, DIRECTORY)
        self.kernel = kernel and _kernel_resolves(self.descriptor)

    def close(self) -> None:
        """May be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def parts(self, path: str) -> list[str]:
        """The checked names of a path, relative to the root; `..` stays for the walk to judge."""
        _check(path)
        names = _split(path)
        if path.startswith("/"):
            inside = self._inside(names)
            if inside is None:
                raise _outside(path)
            return inside
        return names

    def relative(self, path: str) -> str:
        """The path as answers give it: relative and tidy. What `..` after a link leads to is looked up as it is now."""
        names = self.parts(path)
        if ".." in names:
            names = self._straight(names, path)
        return os.path.normpath("/".join(names) or ".")

    def _straight(self, names: list[str], path: str) -> list[str]:
        end = len(names) - names[::-1].index("..")
        inside = self._inside(_split(os.path.realpath("/".join([self.path, *names[:end]]))))
        if inside is None:
            raise _outside(path)
        return [*inside, *names[end:]]

    def given(self, names: list[str]) -> int:
        """How many of these names are there without being made."""
        return 0

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """A descriptor of what the path leads to; raises SteadError. With O_NOFOLLOW the last name is no link."""
        names = self.parts(path)
        with errors(path):
            if self.kernel:
                found = _resolve(self.descriptor, "/".join(names) or ".", flags | os.O_CLOEXEC, mode)
                if found is not None:
                    return found
            with self._walk(names, path, follow=not flags & os.O_NOFOLLOW) as at:
                return os.open(at.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=at.directory)

    def locate(self, path: str, *, follow: bool, write: bool = True) -> Location:
        """Where the last name is; with `follow`, where it is after the links it stands for. It need not exist.

        `write` says whether anything is going to be changed there, for roots to which that matters.
        """
        names = self.parts(path)
        with errors(path):
            if self.kernel and not follow and names and names[-1] != "..":
                found = _resolve(self.descriptor, "/".join(names[:-1]) or ".", DIRECTORY, 0)
                if found is not None:
                    return Location([found], names[-1])
            return self._walk(names, path, follow=follow)

    def _walk(self, names: list[str], path: str, *, follow: bool) -> Location:
        stack = [os.dup(self.descriptor)]
        try:
            return Location(stack, self._descend(stack, deque(names), path, follow))
        except BaseException:
            Location(stack, "").close()
            raise

    def _descend(self, stack: list[int], todo: deque[str], path: str, follow: bool) -> str:
        links = 0
        while todo:
            name = todo.popleft()
            if name == "..":
                if len(stack) == 1:
                    raise _outside(path)
                os.close(stack.pop())
                continue
            target = _link(stack[-1], name) if todo or follow else None
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many links")
                self._enter_link(stack, todo, target, path)
            elif not todo:
                return name
            else:
                stack.append(os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=stack[-1]))
        return "."

    def _enter_link(self, stack: list[int], todo: deque[str], target: str, path: str) -> None:
        names: list[str] | None = _split(target)
        if target.startswith("/"):
            names = self._inside(_split(target))
            while len(stack) > 1:
                os.close(stack.pop())
        if names is None:
            raise _outside(path)
        todo.extendleft(reversed(names))

    def _inside(self, names: list[str]) -> list[str] | None:
        """Rebases absolute names onto the root; what follows is still resolved by descriptors."""
        for base in self._bases:
            if names[: len(base)] == base:
                return names[len(base) :]
        return None


def _split(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def _check(path: str) -> None:
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise SteadError("path_invalid", "the path is not valid text") from error
    if not raw:
        raise SteadError("path_invalid", "the path is empty")
    if b"\0" in raw:
        raise SteadError("path_invalid", "the path has a NUL byte")
    if len(raw) > PATH_BYTES or any(len(name) > NAME_BYTES for name in raw.split(b"/")):
        raise SteadError("path_invalid", f"a path has at most {PATH_BYTES} bytes and its names {NAME_BYTES}")


def _outside(path: str) -> SteadError:
    return SteadError("path_outside", f"{shown(path)}: the path leads out of the workspace", path=shown(path))


def _link(directory: int, name: str) -> str | None:
    """The target when the name is a link; None when it is something else or nothing."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:
            return None
        raise


# --- system calls that Python does not wrap --------------------------------------------------------------------------

_OPENAT2 = 437
_BENEATH = 0x08
_NO_MAGICLINKS = 0x02
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}.get(platform.machine()) if sys.platform == "linux" else None
_NOREPLACE = 1
_WALK_INSTEAD = {errno.EXDEV, errno.ELOOP, errno.EAGAIN}
_TRIES = 3


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_libc = ctypes.CDLL(None, use_errno=True)


def _openat2(directory: int, path: str, flags: int, mode: int) -> int:
    how = _How(flags, mode if flags & os.O_CREAT else 0, _BENEATH | _NO_MAGICLINKS)
    found = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)


def _kernel_resolves(descriptor: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.close(_openat2(descriptor, ".", DIRECTORY, 0))
    except OSError:
        return False
    return True


def _resolve(directory: int, path: str, flags: int, mode: int) -> int | None:
    """openat2 beneath the directory; None where the walk must judge."""
    for _ in range(_TRIES):
        try:
            return _openat2(directory, path, flags, mode)
        except OSError as error:
            if error.errno not in _WALK_INSTEAD:
                raise
            if error.errno != errno.EAGAIN:
                return None
    return None


def rename_new(source: Location, target: Location) -> bool:
    """Renames unless the target exists (EEXIST). False where the system cannot do that in one step."""
    if _RENAMEAT2 is None:
        return False
    done = _libc.syscall(
        ctypes.c_long(_RENAMEAT2),
        ctypes.c_int(source.directory),
        ctypes.c_char_p(os.fsencode(source.name)),
        ctypes.c_int(target.directory),
        ctypes.c_char_p(os.fsencode(target.name)),
        ctypes.c_uint(_NOREPLACE),
    )
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(number, os.strerror(number))
