"""Uploads through streams that are kept when they break off.

Contract: `place.own(Partials)` is one place's. `writer(name, path, ...)` goes on with the upload of this name, or begins it;
its `size` says how much is there already. Who opens the same name again takes it over; the earlier writer writes no more.
`commit` puts the file in place when size and hash are right (a wrong hash ends it for good); `close` without keeps what came,
for a day, in the directory `.stead-partial` of the root, which is there only while something is in it, and which git does not
see.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import string
import threading
import time

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET, Location
from stead.toolbox.contract import Written
from stead.toolbox.files import Files, check_replaced, check_size, settle
from stead.toolbox.place import Place
from stead.toolbox.transfer.contract import PARTIAL_SECONDS, Partial

DIRECTORY = ".stead-partial"
KEPT = 32
"""How many uploads that broke off are kept; the oldest goes."""
NAME_CHARACTERS = 64
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")
_IGNORE = ".gitignore"
_BLOCK = 1 << 20


def check_name(name: str, field: str) -> None:
    """Names of transfers are plain."""
    if not 1 <= len(name) <= NAME_CHARACTERS or set(name) - _ALPHABET:
        raise SteadError("invalid", f"{field} has 1 to {NAME_CHARACTERS} letters, digits, - and _", field=field)


class Partials:
    """The kept uploads of one place."""

    def __init__(self, place: Place) -> None:
        self.files = place.files
        self._root = place.root
        self._lock = threading.Lock()
        self._open: dict[str, PartialWriter] = {}

    def close(self) -> None:
        """Nobody writes any more; what came is kept."""
        for name in list(self._open):
            self._revoke(name)

    def show(self, name: str) -> Partial:
        """How much is there."""
        check_name(name, "partial")
        try:
            found = self.files.stat(f"{DIRECTORY}/{name}")
        except SteadError as error:
            if error.code not in {"not_found", "not_directory"}:
                raise
            return Partial(partial=name, existed=False)
        left = max(0.0, found.modified + PARTIAL_SECONDS - time.time())
        return Partial(partial=name, existed=True, received=found.size, expires_in=left)

    def discard(self, name: str) -> bool:
        """True when it was there."""
        check_name(name, "partial")
        with self._lock:
            self._revoke(name)
            existed = self.files.delete(f"{DIRECTORY}/{name}").existed
            self._tidy()
        return existed

    def writer(
        self,
        name: str,
        path: str,
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> PartialWriter:
        """Goes on where the upload was. What would be refused at the end is refused now."""
        check_name(name, "partial")
        self.files.writer(path, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256).close()
        with self._lock:
            self._revoke(name)
            descriptor = self._opened(name)
            self._sweep(name)
            writer = PartialWriter(self, name, path, descriptor, _Wanted(mode, exclusive, size, sha256.lower()))
            self._open[name] = writer
        return writer

    def over(self, writer: PartialWriter, *, gone: bool) -> None:
        """The writer writes no more."""
        with self._lock:
            if self._open.get(writer.name) is writer:
                del self._open[writer.name]
                if gone:
                    with contextlib.suppress(SteadError):
                        self.files.delete(f"{DIRECTORY}/{writer.name}")
            self._tidy()

    def _revoke(self, name: str) -> None:
        writer = self._open.pop(name, None)
        if writer is not None:
            writer.revoke()

    def _opened(self, name: str) -> int:
        """The file, in the directory that may have to be made for it."""
        try:
            self.files.mkdir(DIRECTORY)
            self.files.write(f"{DIRECTORY}/{_IGNORE}", b"*\n")
            return self._root.open(f"{DIRECTORY}/{name}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | QUIET, 0o600)
        except SteadError:
            self._tidy()
            raise

    def _sweep(self, keep: str) -> None:
        """What is too old goes, and what is too much."""
        kept = [entry for entry in self.files.list(DIRECTORY).entries if not entry.path.endswith((_IGNORE, f"/{keep}"))]
        kept.sort(key=lambda entry: entry.modified, reverse=True)
        until = time.time() - PARTIAL_SECONDS
        for number, entry in enumerate(kept):
            name = entry.path.rpartition("/")[2]
            if (entry.modified < until or number >= KEPT - 1) and name not in self._open:
                with contextlib.suppress(SteadError):
                    self.files.delete(entry.path)

    def _tidy(self) -> None:
        """The directory goes with the last of them."""
        with contextlib.suppress(SteadError):
            if all(entry.path == f"{DIRECTORY}/{_IGNORE}" for entry in self.files.list(DIRECTORY).entries):
                self.files.delete(DIRECTORY, recursive=True)


class _Wanted:
    """What the upload must come to."""

    def __init__(self, mode: int | None, exclusive: bool, size: int | None, sha256: str) -> None:
        self.mode = mode
        self.exclusive = exclusive
        self.size = size
        self.sha256 = sha256


class PartialWriter:
    """One upload being written; the face of `stead.toolbox.files.Writer`."""

    def __init__(self, partials: Partials, name: str, path: str, descriptor: int, wanted: _Wanted) -> None:
        self.name = name
        self._partials = partials
        self._path = path
        self._descriptor = descriptor
        self._wanted = wanted
        self._revoked = False
        self._gone = False
        self._lock = threading.Lock()
        with confine.errors(path):
            self.size = os.fstat(descriptor).st_size
            if wanted.size is not None and self.size > wanted.size:
                os.ftruncate(descriptor, 0)
                self.size = 0
        self._hash = hashlib.sha256() if wanted.sha256 and not self.size else None

    def write(self, data: bytes) -> None:
        """Adds to what is there; where the disk becomes full, what fits stays."""
        if self._wanted.size is not None and self.size + len(data) > self._wanted.size:
            raise SteadError("invalid", f"more content than the stated {self._wanted.size} bytes")
        check_size(self._path, self.size + len(data), self._partials.files.most)
        with self._lock, confine.errors(self._path):
            self._check()
            view = memoryview(data)
            while view:
                done = os.pwrite(self._descriptor, view, self.size)
                if self._hash is not None:
                    self._hash.update(view[:done])
                self.size += done
                view = view[done:]

    def commit(self) -> Written:
        """Checks size and hash and puts the file in place."""
        if self._wanted.size is not None and self.size != self._wanted.size:
            raise SteadError("invalid", f"{self.size} bytes came instead of the stated {self._wanted.size}")
        with self._lock:
            self._check()
            if self._wanted.sha256 and self._digest() != self._wanted.sha256:
                self._gone = True
                raise SteadError("invalid", "the content does not have the stated SHA-256")
            written = self._place()
            self._gone = True
        self.close()
        return written

    def revoke(self) -> None:
        """Another writer goes on with the upload."""
        with self._lock:
            self._revoked = True

    def close(self) -> None:
        """Keeps what came, unless it is in place or wrong; may be called twice."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        self._partials.over(self, gone=self._gone)

    def _check(self) -> None:
        if self._revoked:
            raise SteadError("conflict", "another upload of this name has taken over")

    def _digest(self) -> str:
        if self._hash is not None:
            return self._hash.hexdigest()
        digest = hashlib.sha256()
        offset = 0
        with confine.errors(self._path):
            while piece := os.pread(self._descriptor, _BLOCK, offset):
                digest.update(piece)
                offset += len(piece)
        return digest.hexdigest()

    def _place(self) -> Written:
        files = self._partials.files
        shown = files.root.relative(self._path)
        with (
            files.root.locate(f"{DIRECTORY}/{self.name}", follow=False) as ours,
            files.root.locate(self._path, follow=True) as at,
            confine.errors(self._path),
        ):
            if not os.path.samestat(
                os.stat(ours.name, dir_fd=ours.directory, follow_symlinks=False), os.fstat(self._descriptor)
            ):
                raise SteadError("conflict", "another upload of this name has taken over")
            there = self._target(at)
            try:
                settle(self._descriptor, self._wanted.mode, there)
                if not (self._wanted.exclusive and confine.rename_new(ours, at)):
                    os.rename(ours.name, at.name, src_dir_fd=ours.directory, dst_dir_fd=at.directory)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy(files)
        return Written(path=shown, size=self.size, created=there is None)

    def _target(self, at: Location) -> os.stat_result | None:
        """What is to be replaced."""
        try:
            there = os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        check_replaced(there, exclusive=self._wanted.exclusive)
        return there

    def _copy(self, files: Files) -> None:
        """To another filesystem."""
        with files.writer(self._path, mode=self._wanted.mode, exclusive=self._wanted.exclusive) as writer:
            offset = 0
            while piece := os.pread(self._descriptor, _BLOCK, offset):
                writer.write(piece)
                offset += len(piece)
            writer.commit()
