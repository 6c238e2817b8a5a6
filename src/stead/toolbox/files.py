"""The files of a workspace: plain functions over a confined root, run in threads by their callers.

Contract: `Files` has one method a call of the contract; `reader` and `writer` serve streams. All raise SteadError.
- Writing replaces atomically: the content grows in a file without a name (or with a hidden one where the system has no
  such files) and is put in place whole, or not at all; nothing is left after a failure. Nothing waits for the disk
  (`fsync`): a file survives any crash of programs, not a power cut right after. What is replaced keeps its mode, and its
  owner where this program may give files away, unless another mode is given; it never keeps set-user-id and set-group-id.
- A link named as the target of a write is followed inside the workspace; what replaces, moves or deletes acts on links.
- Names that are not UTF-8 are listed with a replacement character.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import re
import stat
from collections.abc import Iterator
from types import TracebackType

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET, Location, Root
from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES, Deleted, FileContent, FileKind, Listing, Stat, Written
from stead.toolbox.leftovers import Leftovers
from stead.toolbox.observer import NOBODY, Observer

LIST_DEPTH = 64
"""The deepest listing."""
BLOCK = 1 << 20
"""How much a reader takes from a file at once."""
_OPEN_LEVELS = 64
"""How many directories a recursive delete holds open; deeper ones are lifted up first."""

_TRIES = 8
"""How often an append looks again for a file that comes and goes."""
_PASSES = 10_000
"""How often a recursive delete looks again: for what was lifted up and for what others put in meanwhile."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_UNNAMED = getattr(os, "O_TMPFILE", 0)
_NOW = getattr(os, "RWF_NOWAIT", 0)
_HIDDEN = re.compile(r"\.stead-[0-9a-f]{16}\.part")


class Files:
    """Everything that can be done with files, over one root; `observer` is told the steps of a write. `unnamed`: whether new
    content grows in files without a name. `most`: the largest file that is written, None for any."""

    def __init__(self, root: Root, *, unnamed: bool = True) -> None:
        self.root = root
        self.observer: Observer = NOBODY
        self.unnamed = unnamed and bool(_UNNAMED)
        self.leftovers: Leftovers | None = None
        self.most: int | None = None

    def close(self) -> None:
        """No more is written. May be called twice."""
        if self.leftovers is not None:
            self.leftovers.close()

    def clear_up(self, notes: str) -> None:
        """Removes what a program that kept its notes in this file has left; from now on they are kept for this one."""
        self.leftovers = Leftovers(notes)
        for path in self.leftovers.take():
            if _HIDDEN.fullmatch(path.rpartition("/")[2]):
                with contextlib.suppress(SteadError, OSError), self.root.locate(path, follow=False) as at:
                    _remove(at, recursive=True)

    @contextlib.contextmanager
    def hidden(self, directory: int) -> Iterator[str]:
        """A hidden name in a directory that is open, noted while the caller is in here."""
        name, note = _hidden_name(), -1
        if self.leftovers is not None:
            with contextlib.suppress(OSError):
                note = self.leftovers.note(os.readlink(f"/proc/self/fd/{directory}") + f"/{name}")  # noqa: PTH115
        try:
            yield name
        finally:
            if self.leftovers is not None:
                self.leftovers.strike(note)

    def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        """At most `limit` bytes from `offset`; past the end there are none."""
        _check_range("offset", offset, 0, 1 << 62)
        _check_range("limit", limit, 0, CALL_BYTES)
        descriptor = self.root.open(path, os.O_RDONLY | QUIET)
        with _closing(descriptor), confine.errors(path):
            size = confine.regular(descriptor, path).st_size
            return FileContent(content=_read_fully(descriptor, offset, limit), offset=offset, size=size)

    def write(
        self, path: str, content: bytes, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written:
        """Replaces the file atomically."""
        with self.writer(path, mode=mode, parents=parents, exclusive=exclusive) as writer:
            writer.write(content)
            return writer.commit()

    def append(self, path: str, content: bytes, parents: bool = False) -> Written:
        """Adds to the end, or makes the file whole; on a full disk what was added is taken back where nobody else wrote
        meanwhile."""
        check_content(content)
        if parents:
            self._make_parents(path)
        for _ in range(_TRIES):
            try:
                return self._append(path, content)
            except SteadError as error:
                if error.code != "not_found":
                    raise
            try:
                with self.writer(path, exclusive=True) as writer:
                    writer.write(content)
                    return writer.commit()
            except SteadError as error:
                if error.code != "already_exists":
                    raise
        raise SteadError("conflict", f"{confine.shown(path)}: it comes and goes")

    def _append(self, path: str, content: bytes) -> Written:
        """To a file that is there."""
        descriptor = self.root.open(path, os.O_WRONLY | os.O_APPEND | QUIET)
        with _closing(descriptor), confine.errors(path):
            before = confine.regular(descriptor, path).st_size
            check_size(path, before + len(content), self.most)
            _add_fully(descriptor, content, before)
            return Written(path=self.root.relative(path), size=os.fstat(descriptor).st_size, created=False)

    def stat(self, path: str) -> Stat:
        """What is there; a link is told as a link."""
        with self.root.locate(path, follow=False, write=False) as at, confine.errors(path):
            return _stat(at.directory, at.name, self.root.relative(path))

    def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing:
        """Entries down to `depth`, sorted by path; directories that may not be read are told, not entered."""
        _check_range("depth", depth, 1, LIST_DEPTH)
        _check_range("limit", limit, 1, LIST_ENTRIES)
        descriptor = self.root.open(path, os.O_RDONLY | os.O_DIRECTORY | QUIET)
        base = self.root.relative(path)
        found: list[Stat] = []
        with _closing(descriptor), confine.errors(path):
            _collect(descriptor, "" if base == "." else base + "/", depth, limit + 1, found)
        found.sort(key=lambda entry: entry.path)
        return Listing(entries=found[:limit], truncated=len(found) > limit)

    def mkdir(self, path: str, parents: bool = False, exclusive: bool = False) -> Stat:
        """Makes a directory; one that is there is success unless `exclusive`."""
        if parents:
            self._make_parents(path)
        with self.root.locate(path, follow=True) as at, confine.errors(path):
            try:
                os.mkdir(at.name, dir_fd=at.directory)
            except FileExistsError:
                if exclusive or not _is_directory(at):
                    raise
            return _stat(at.directory, at.name, self.root.relative(path))

    def delete(self, path: str, recursive: bool = False) -> Deleted:
        """Removes a file, a link, or a directory (with what is in it, when `recursive`)."""
        shown = self.root.relative(path)
        try:
            with self._named(path) as at, confine.errors(path):
                _remove(at, recursive)
        except SteadError as error:
            if error.code != "not_found":
                raise
            return Deleted(path=shown, existed=False)
        return Deleted(path=shown, existed=True)

    def move(self, source: str, target: str, overwrite: bool = False) -> Stat:
        """Renames within the workspace, in one step; without `overwrite` an existing target stays."""
        with self._named(source) as old, self._named(target) as new:
            with confine.errors(source):
                os.stat(old.name, dir_fd=old.directory, follow_symlinks=False)
            try:
                if overwrite or not confine.rename_new(old, new):
                    _rename(old, new, overwrite)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise SteadError("conflict", "source and target are on different filesystems") from error
                raise confine.typed(error, target) from error
            with confine.errors(target):
                return _stat(new.directory, new.name, self.root.relative(target))

    def reader(self, path: str, offset: int = 0, length: int | None = None) -> Reader:
        """Opens for streaming; the end is fixed now (see `Reader`)."""
        _check_range("offset", offset, 0, 1 << 62)
        if length is not None:
            _check_range("length", length, 0, 1 << 62)
        descriptor = self.root.open(path, os.O_RDONLY | QUIET)
        try:
            with confine.errors(path):
                size = confine.regular(descriptor, path).st_size
        except SteadError:
            os.close(descriptor)
            raise
        return Reader(descriptor, path, offset, size, length)

    def writer(
        self,
        path: str,
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Writer:
        """Opens for an atomic replacement."""
        if mode is not None:
            _check_range("mode", mode, 0, 0o7777)
        if size is not None:
            _check_range("size", size, 0, 1 << 62)
        if sha256 and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
            raise SteadError("invalid", "sha256 is 64 hexadecimal digits")
        if parents:
            self._make_parents(path)
        at = self.root.locate(path, follow=True)
        try:
            wanted = _Wanted(mode, exclusive, size, sha256.lower())
            return Writer(at, path, self.root.relative(path), wanted, self)
        except BaseException:
            at.close()
            raise

    def writer_at(self, at: Location, shown: str, mode: int) -> Writer:
        """Opens for an atomic replacement of a name in a directory that is open; `at` is the writer's from now on."""
        try:
            return Writer(at, shown, shown, _Wanted(mode, False, None, ""), self)
        except BaseException:
            at.close()
            raise

    def _make_parents(self, path: str) -> None:
        names = self.root.parts(path)
        for count in range(1 + self.root.given(names), len(names)):
            with self.root.locate("/".join(names[:count]), follow=True) as at, confine.errors(path):
                try:
                    os.mkdir(at.name, dir_fd=at.directory)
                except FileExistsError:
                    if not _is_directory(at):
                        raise NotADirectoryError(errno.ENOTDIR, "not a directory") from None

    def _named(self, path: str) -> Location:
        """Where a name is that can be moved or removed: not the root, not `..`."""
        names = self.root.parts(path)
        if not names or names[-1] == "..":
            raise SteadError("invalid", "the path must name something inside the workspace's root")
        return self.root.locate(path, follow=False)


class Reader:
    """A file being streamed. It gives what is there up to the size at opening (or `length`), and less when it shrinks.

    A file that says it is empty (as those of /proc do) is read to its end, `CALL_BYTES` at most.
    """

    def __init__(self, descriptor: int, path: str, offset: int, size: int, length: int | None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._prompt = bool(_NOW)
        self._room = bytearray()
        self.size = size
        self.offset = offset
        self._end = max(offset, size) if size else offset + CALL_BYTES
        if length is not None:
            self._end = min(self._end, offset + length)

    def next(self, limit: int = BLOCK) -> bytes:
        """The next bytes; empty at the end."""
        with confine.errors(self._path):
            data = os.pread(self._descriptor, min(limit, self._end - self.offset), self.offset)
        self.offset += len(data)
        return data

    def stat(self) -> os.stat_result:
        """The file as it is now."""
        return os.fstat(self._descriptor)

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._end <= self.offset

    def ready(self, limit: int = BLOCK) -> bytes:
        """The next bytes where the system has them in memory; empty when it would have to wait, and at the end."""
        if not self._prompt or self.over:
            return b""
        if len(self._room) < limit:
            self._room = bytearray(limit)
        buffer = memoryview(self._room)[: min(limit, self._end - self.offset)]
        try:
            count = os.preadv(self._descriptor, [buffer], self.offset, _NOW)
        except OSError as error:
            self._prompt = error.errno == errno.EAGAIN
            return b""
        self.offset += count
        return bytes(buffer[:count])

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def check_size(path: str, size: int, most: int | None) -> None:
    """Raises "too_large" where files may not be so large."""
    if most is not None and size > most:
        raise SteadError("too_large", f"{confine.shown(path)}: a file has at most {most} bytes here")


def check_content(content: bytes) -> None:
    """Raises "too_large" for more than one call carries."""
    if len(content) > CALL_BYTES:
        raise SteadError("too_large", f"one call carries at most {CALL_BYTES} bytes; use a stream for more")


def check_replaced(there: os.stat_result, *, exclusive: bool) -> None:
    """Raises OSError where this is not to be replaced by a file."""
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a directory")
    if exclusive:
        raise FileExistsError(errno.EEXIST, "there already")
    if not stat.S_ISREG(there.st_mode):
        raise OSError(errno.ENXIO, "not a file")


def settle(descriptor: int, mode: int | None, there: os.stat_result | None) -> None:
    """The mode and the owner of a file that is to stand where that one is."""
    if mode is None and there is not None:
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (there.st_uid, there.st_gid):
            with contextlib.suppress(OSError):
                os.fchown(descriptor, there.st_uid, there.st_gid)
        mode = stat.S_IMODE(there.st_mode) & ~(stat.S_ISUID | stat.S_ISGID)
    os.fchmod(descriptor, 0o644 if mode is None else mode)


class _Wanted:
    """What a write must come to."""

    def __init__(self, mode: int | None, exclusive: bool, size: int | None, sha256: str) -> None:
        self.mode = mode
        self.exclusive = exclusive
        self.size = size
        self.sha256 = sha256


class Writer:
    """A file being written beside its target. `commit` puts it in place; closing without leaves nothing."""

    def __init__(self, at: Location, path: str, shown: str, wanted: _Wanted, files: Files) -> None:
        self._at = at
        self._observer = files.observer
        self._leftovers = files.leftovers
        self._note = -1
        self._path = path
        self._shown = shown
        self._wanted = wanted
        self._hidden = ""
        self._hash = None
        self.size = 0
        self._most = files.most
        with confine.errors(path):
            self._there = self._check_target()
            self._descriptor = self._create(files.unnamed)
        if wanted.sha256:
            import hashlib

            self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Adds all or nothing, so that the same may come again; more than the stated size, or than may be, is refused at
        once."""
        size = self.size + len(data)
        check_size(self._path, size, self._most)
        if self._wanted.size is not None and size > self._wanted.size:
            raise SteadError("invalid", f"more content than the stated {self._wanted.size} bytes")
        with confine.errors(self._path):
            try:
                _write_fully(self._descriptor, data)
            except OSError:
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)
                raise
        self.size = size
        if self._hash is not None:
            self._hash.update(data)

    def put(self, offset: int, data: bytes) -> None:
        """Writes at a place, for files that have holes; hash and size are not kept."""
        check_size(self._path, offset + len(data), self._most)
        with confine.errors(self._path):
            while data:
                done = os.pwrite(self._descriptor, data, offset)
                data, offset = data[done:], offset + done

    def stamp(self, size: int, modified: int) -> None:
        """The size and the time, in nanoseconds, that the file is to have."""
        check_size(self._path, size, self._most)
        with confine.errors(self._path):
            if os.fstat(self._descriptor).st_size != size:
                os.ftruncate(self._descriptor, size)
            os.utime(self._descriptor, ns=(modified, modified))

    def commit(self) -> Written:
        """Checks size and hash and puts the file in place; where the disk was full it may be tried again."""
        if self._wanted.size is not None and self.size != self._wanted.size:
            raise SteadError("invalid", f"{self.size} bytes came instead of the stated {self._wanted.size}")
        if self._hash is not None and self._hash.hexdigest() != self._wanted.sha256:
            raise SteadError("invalid", "the content does not have the stated SHA-256")
        with confine.errors(self._path):
            settle(self._descriptor, self._wanted.mode, self._there)
            self._observer.at("file.written", self._path)
            created = self._put_new() or self._put_over()
        self._observer.at("file.placed", self._path)
        self.close()
        return Written(path=self._shown, size=self.size, created=created)

    def close(self) -> None:
        """Leaves nothing that was not committed; may be called twice."""
        if self._descriptor < 0:
            return
        self._drop_hidden()
        os.close(self._descriptor)
        self._descriptor = -1
        self._at.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check_target(self) -> os.stat_result | None:
        """What is to be replaced; refuses targets that are no plain files."""
        try:
            there = os.stat(self._at.name, dir_fd=self._at.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        check_replaced(there, exclusive=self._wanted.exclusive)
        return there

    def _create(self, unnamed: bool) -> int:
        if unnamed:
            try:
                return os.open(".", os.O_WRONLY | _UNNAMED | os.O_CLOEXEC, 0o600, dir_fd=self._at.directory)
            except OSError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
                    raise
        self._hidden = self._noted()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self._hidden, flags, 0o600, dir_fd=self._at.directory)
        except OSError:
            self._drop_hidden()
            raise

    def _put_new(self) -> bool:
        """True when the target was not there and now is ours."""
        try:
            self._link(self._at.name)
        except FileExistsError:
            if self._wanted.exclusive:
                raise
            return False
        return True

    def _put_over(self) -> bool:
        if not self._hidden:
            name = self._noted()
            try:
                self._link(name)
            except OSError:
                self._drop_hidden()
                raise
            self._hidden = name
            self._observer.at("file.linked", self._path)
        os.rename(self._hidden, self._at.name, src_dir_fd=self._at.directory, dst_dir_fd=self._at.directory)
        self._hidden = ""
        return False

    def _noted(self) -> str:
        """A hidden name, noted so that it goes also when this program is killed."""
        name = _hidden_name()
        if self._leftovers is not None:
            with contextlib.suppress(OSError):
                directory = os.readlink(f"/proc/self/fd/{self._at.directory}")  # noqa: PTH115
                self._note = self._leftovers.note(f"{directory}/{name}")
        return name

    def _drop_hidden(self) -> None:
        if self._hidden:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._at.directory)
        if self._leftovers is not None:
            self._leftovers.strike(self._note)
            self._note = -1

    def _link(self, name: str) -> None:
        directory = self._at.directory
        if self._hidden:
            os.link(self._hidden, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        else:
            os.link(f"/proc/self/fd/{self._descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def _hidden_name() -> str:
    return f".stead-{os.urandom(8).hex()}.part"


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SteadError("invalid", f"{name} must be {least} to {most}", field=name)


def _read_fully(descriptor: int, offset: int, limit: int) -> bytes:
    data = os.pread(descriptor, limit, offset)
    if not data or len(data) == limit:
        return data
    parts = [data]
    got = len(data)
    while got < limit and (more := os.pread(descriptor, limit - got, offset + got)):
        parts.append(more)
        got += len(more)
    return b"".join(parts)


def _write_fully(descriptor: int, data: bytes) -> None:
    done = os.write(descriptor, data)
    if done < len(data):
        view = memoryview(data)
        while done < len(view):
            done += os.write(descriptor, view[done:])


def _add_fully(descriptor: int, data: bytes, before: int) -> None:
    """Writes at the end of a file that had so many bytes, or takes back what it wrote."""
    view = memoryview(data)
    done = 0
    try:
        while done < len(view):
            done += os.write(descriptor, view[done:])
    except OSError:
        if os.fstat(descriptor).st_size == before + done:
            os.ftruncate(descriptor, before)
        raise


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return FileKind.FILE
    if stat.S_ISDIR(mode):
        return FileKind.DIRECTORY
    return FileKind.LINK if stat.S_ISLNK(mode) else FileKind.OTHER


def _text(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode(errors="replace")


def _stat(directory: int, name: str, path: str) -> Stat:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    kind = _kind(found.st_mode)
    target = ""
    if kind is FileKind.LINK:
        with contextlib.suppress(OSError):
            target = _text(os.readlink(name, dir_fd=directory))
    return Stat(
        path=_text(path),
        kind=kind,
        size=found.st_size,
        mode=stat.S_IMODE(found.st_mode),
        modified=found.st_mtime,
        uid=found.st_uid,
        gid=found.st_gid,
        target=target,
    )


def _collect(directory: int, prefix: str, depth: int, limit: int, found: list[Stat]) -> None:
    with os.scandir(directory) as entries:
        names = heapq.nsmallest(limit - len(found), (entry.name for entry in entries))
    for name in names:
        if len(found) >= limit:
            return
        try:
            entry = _stat(directory, name, prefix + name)
        except FileNotFoundError:
            continue
        found.append(entry)
        if entry.kind is FileKind.DIRECTORY and depth > 1:
            _enter(directory, name, f"{prefix}{name}/", depth - 1, limit, found)


def _enter(directory: int, name: str, prefix: str, depth: int, limit: int, found: list[Stat]) -> None:
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM}:
            return
        raise
    with _closing(descriptor), contextlib.suppress(PermissionError):
        _collect(descriptor, prefix, depth, limit, found)


def _is_directory(at: Location) -> bool:
    return stat.S_ISDIR(os.stat(at.name, dir_fd=at.directory, follow_symlinks=False).st_mode)


def _rename(old: Location, new: Location, overwrite: bool) -> None:
    if not overwrite:
        with contextlib.suppress(FileNotFoundError):
            os.stat(new.name, dir_fd=new.directory, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, "there already")
    os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)


def _remove(at: Location, recursive: bool) -> None:
    if not _is_directory(at):
        os.unlink(at.name, dir_fd=at.directory)
        return
    for _ in range(_PASSES):
        try:
            os.rmdir(at.name, dir_fd=at.directory)
            return
        except OSError as error:
            if not recursive or error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        top = os.open(at.name, _DIRECTORY, dir_fd=at.directory)
        with _closing(top):
            _empty(top, top, 0)
    os.rmdir(at.name, dir_fd=at.directory)


def _empty(top: int, directory: int, level: int) -> None:
    """Removes what is in a directory. What is too deep is lifted to the top first, so few descriptors suffice."""
    with os.scandir(directory) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in names:
        with contextlib.suppress(FileNotFoundError):
            if not is_directory:
                os.unlink(name, dir_fd=directory)
            elif level < _OPEN_LEVELS:
                _empty_child(top, directory, name, level)
            else:
                os.rename(name, _hidden_name(), src_dir_fd=directory, dst_dir_fd=top)


def _empty_child(top: int, directory: int, name: str, level: int) -> None:
    child = os.open(name, _DIRECTORY, dir_fd=directory)
    with _closing(child):
        _empty(top, child, level + 1)
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
