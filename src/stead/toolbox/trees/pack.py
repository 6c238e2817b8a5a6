"""A tree of files as a tar stream, made piece by piece.

Contract: `Packer(root, path, choice)` packs what is below a directory (and first the directory itself, as `.`); with `names`,
only those below it, whatever they are. `next()` gives the next bytes, and nothing at the end. Names in the archive are below
the directory. Hard links within the tree and holes stay what they are. Sockets, pipes and devices are left out, and so is
what may not be read or is larger than `most`; the archive says so at its end. A file that shrinks while it is packed is filled
up with zeros, one that grows is cut: the archive is always well formed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET, Root
from stead.toolbox.trees import tar
from stead.toolbox.trees.tar import Kind, Member, Part
from stead.toolbox.trees.walk import Choice, Entry, walk

PIECE = 1 << 18
"""How much comes at once, about."""
_HOLES_FROM = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | QUIET
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV}


class Packer:
    """One archive being made."""

    def __init__(self, root: Root, path: str, choice: Choice, names: Sequence[str] | None = None) -> None:
        self.left_out: list[str] = choice.unread
        self.files = 0
        self.size = 0
        self.most: int | None = None
        for name in names or ():
            _check_below(name)
        self._top = root.open(path, os.O_RDONLY | os.O_DIRECTORY | QUIET)
        self._links: dict[tuple[int, int], bytes] = {}
        entries = walk(root, path, choice) if names is None else _named(root, path, names)
        self._pieces = self._run(entries, whole=names is None and not choice.include)

    def next(self) -> bytes:
        """The next bytes; empty at the end."""
        return next(self._pieces, b"")

    def close(self) -> None:
        """May be called twice."""
        self._pieces.close()
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def _run(self, entries: Iterable[Entry], *, whole: bool) -> Generator[bytes, None, None]:
        ready = bytearray()
        if whole:
            ready += tar.header(_member(b".", os.fstat(self._top), Kind.DIRECTORY))
        for entry in entries:
            for piece in self._entry(entry):
                ready += piece
                if len(ready) >= PIECE:
                    yield bytes(ready)
                    ready.clear()
        if self.left_out:
            ready += tar.left_out([os.fsencode(name) for name in self.left_out[: tar.LEFT_OUT_TOLD]])
            if whole:  # some readers want a member after such a record
                ready += tar.header(_member(b".", os.fstat(self._top), Kind.DIRECTORY))
        yield bytes(ready) + tar.END

    def _entry(self, entry: Entry) -> Iterator[bytes]:
        name = os.fsencode(entry.path)
        if entry.is_directory:
            yield tar.header(_member(name, entry.found, Kind.DIRECTORY))
        elif entry.is_link:
            target = os.fsencode(entry.target())
            if target:
                yield tar.header(_member(name, entry.found, Kind.LINK)._replace(target=target))
        elif entry.is_file:
            yield from self._file(entry, name)
        else:
            self.left_out.append(entry.path)

    def _file(self, entry: Entry, name: bytes) -> Iterator[bytes]:
        try:
            descriptor = os.open(entry.name, _READ, dir_fd=entry.directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise confine.typed(error, entry.path) from error
            self.left_out.append(entry.path)
            return
        try:
            with confine.errors(entry.path):
                yield from self._opened(descriptor, entry, name)
        finally:
            os.close(descriptor)

    def _opened(self, descriptor: int, entry: Entry, name: bytes) -> Iterator[bytes]:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (self.most is not None and found.st_size > self.most):
            self.left_out.append(entry.path)
            return
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                yield tar.header(_member(name, found, Kind.HARD)._replace(target=first))
                return
        self.files += 1
        self.size += found.st_size
        member = _member(name, found, Kind.FILE)
        parts = _parts(descriptor, found)
        yield tar.header(member._replace(parts=parts))
        stored = 0
        for start, length in parts or ((0, found.st_size),):
            stored += length
            yield from _content(descriptor, start, length)
        yield tar.padding(stored)


def _member(name: bytes, found: os.stat_result, kind: Kind) -> Member:
    return Member(name, kind, stat.S_IMODE(found.st_mode), found.st_size, found.st_mtime_ns)


def _content(descriptor: int, start: int, length: int) -> Iterator[bytes]:
    """So many bytes, whatever happens to the file."""
    while length:
        piece = os.pread(descriptor, min(PIECE, length), start) or bytes(min(PIECE, length))
        yield piece
        start += len(piece)
        length -= len(piece)


def _parts(descriptor: int, found: os.stat_result) -> tuple[Part, ...] | None:
    """Where a file has content, when it has holes."""
    if found.st_size < _HOLES_FROM or found.st_blocks * 512 >= found.st_size or not hasattr(os, "SEEK_DATA"):
        return None
    parts: list[Part] = []
    end = 0
    while end < found.st_size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), found.st_size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return None
            break
        if start < end:
            parts.append((start, end - start))
        if len(parts) > tar.SPARSE_PARTS // 2:
            return None
    return (*parts, (found.st_size, 0))


def _check_below(name: str) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        shown = confine.shown(name)
        raise SteadError("path_outside", f"{shown}: the name leads out of the directory", path=shown)


def _named(root: Root, path: str, names: Sequence[str]) -> Iterator[Entry]:
    """The entries of these names; what is gone is passed over."""
    for name in names:
        try:
            with root.locate(f"{path}/{name}", follow=False, write=False) as at, confine.errors(name):
                found = os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
                yield Entry(name, at.name, at.directory, found)
        except SteadError as error:
            if error.code != "not_found":
                raise
