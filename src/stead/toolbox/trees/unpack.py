"""A tar stream into a directory, piece by piece, trusting nothing in it.

Contract: `Unpacker(files, path)` makes the directory when it is missing; `feed` takes bytes, `finish` gives what was done,
`close` leaves no half file. Each file is put in place whole, one after the other: after a failure those before it are there,
and nothing else. Nothing is ever put outside of the directory: absolute names and `..` are "path_outside", and no link is
followed on the way, neither one that was there nor one that came in the archive. A link in the way of anything is replaced, a
file in the way of a directory too; a directory in the way of a file is "is_directory".

A link that leads out of the directory is refused, skipped or kept, as `links` says. Devices, pipes and sockets are "not_file".
Modes (without set-user-id and the like) and times are kept, owners are not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET, Location
from stead.toolbox.files import Files, Writer
from stead.toolbox.trees.contract import Links, Unpacked
from stead.toolbox.trees.tar import Kind, Member, Parser
from stead.toolbox.trees.walk import LEVELS

ENTRIES = 2_000_000
"""The most members of an archive."""
LIMIT = 1 << 40
"""The most bytes of content, holes included, unless the caller says otherwise."""
SKIPPED_TOLD = 100
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | QUIET
_MODES = 0o777


class Unpacker:
    """One archive being unpacked."""

    def __init__(
        self, files: Files, path: str, *, links: Links = Links.REFUSE, limit: int = LIMIT, modes: int = _MODES
    ) -> None:
        if limit < 0:
            raise SteadError("invalid", "limit must not be negative", field="limit")
        self._files = files
        self._links = links
        self._limit = limit
        self._modes = modes
        self._made = _make_top(files, path)
        with files.root.locate(path, follow=True) as at, confine.errors(path):
            self._open: list[tuple[str, int]] = [("", os.open(at.name, _DIRECTORY, dir_fd=at.directory))]
        self._parser = Parser(self)
        self._writer: Writer | None = None
        self._member = Member(b"", Kind.OTHER)
        self._directories: dict[str, tuple[int, int]] = {}
        self._topped = False
        self._seen = 0
        self._counts = dict.fromkeys(Kind, 0)
        self._bytes = 0
        self._skipped: list[str] = []
        self._skipped_count = 0

    def feed(self, piece: bytes) -> None:
        """The next bytes of the archive."""
        self._parser.feed(piece)

    def finish(self) -> Unpacked:
        """The archive is over: directories get their modes and times."""
        self._parser.close()
        for path in sorted(self._directories, reverse=True):
            self._settle(path, *self._directories[path])
        left_out = [os.fsdecode(name).encode(errors="replace").decode() for name in self._parser.left_out]
        return Unpacked(
            files=self._counts[Kind.FILE] + self._counts[Kind.HARD],
            directories=self._counts[Kind.DIRECTORY],
            links=self._counts[Kind.LINK],
            size=self._bytes,
            skipped=self._skipped,
            skipped_count=self._skipped_count,
            left_out=left_out,
        )

    def close(self) -> None:
        """May be called twice."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        while self._open:
            os.close(self._open.pop()[1])

    # --- what the parser hands over ----------------------------------------------------------------------------------

    def member(self, member: Member) -> None:
        """A member; its names are checked before anything is done."""
        names = _names(member.name)
        shown = confine.shown("/".join(names) or ".")
        self._member = member
        self._seen += 1
        self._bytes += member.size if member.kind is Kind.FILE else 0
        if self._seen > ENTRIES:
            raise SteadError("too_large", f"an archive has at most {ENTRIES} members")
        if self._bytes > self._limit:
            raise SteadError("too_large", f"the content of the archive is more than {self._limit} bytes")
        if not names and member.kind is not Kind.DIRECTORY:
            raise SteadError("path_invalid", "a member of the archive has no name")
        if not names and self._topped:
            return
        self._topped = self._topped or not names
        with confine.errors(shown):
            self._take(member, names, shown)

    def content(self, offset: int, piece: bytes) -> None:
        assert self._writer is not None
        self._writer.put(offset, piece)

    def done(self) -> None:
        """Puts a file in place."""
        if self._writer is not None:
            self._writer.stamp(self._member.size, self._member.modified)
            self._writer.commit()
            self._writer = None

    # --- each kind ---------------------------------------------------------------------------------------------------

    def _take(self, member: Member, names: list[str], shown: str) -> None:
        match member.kind:
            case Kind.DIRECTORY:
                self._enter(names)
                if names or self._made:
                    self._directories["/".join(names)] = (member.mode & self._modes, member.modified)
            case Kind.FILE:
                self._file(names, shown, member)
            case Kind.LINK:
                self._link(names, shown, os.fsdecode(member.target), member.modified)
            case Kind.HARD:
                self._hard(names, shown, os.fsdecode(member.target))
            case Kind.OTHER:
                raise SteadError("not_file", f"{shown}: devices, pipes and sockets are not unpacked", path=shown)
        self._counts[member.kind] += 1

    def _file(self, names: list[str], shown: str, member: Member) -> None:
        self._enter(names[:-1])
        self._clear(names[-1], keep=stat.S_ISREG)
        at = Location([os.dup(self._directory)], names[-1])
        self._writer = self._files.writer_at(at, shown, member.mode & self._modes)

    def _link(self, names: list[str], shown: str, target: str, modified: int) -> None:
        if not target or "\0" in target:
            raise SteadError("path_invalid", f"{shown}: a link without a target", path=shown)
        if self._links is not Links.KEEP and _leads_out(len(names) - 1, target):
            if self._links is Links.REFUSE:
                raise SteadError("path_outside", f"{shown}: the link leads out of the directory", path=shown)
            self._skipped_count += 1
            if len(self._skipped) < SKIPPED_TOLD:
                self._skipped.append(shown)
            self._counts[Kind.LINK] -= 1
            return
        self._enter(names[:-1])
        self._clear(names[-1], keep=stat.S_ISREG)
        with self._files.hidden(self._directory) as hidden:
            os.symlink(target, hidden, dir_fd=self._directory)
            os.utime(hidden, ns=(modified, modified), dir_fd=self._directory, follow_symlinks=False)
            self._put(hidden, names[-1])

    def _hard(self, names: list[str], shown: str, target: str) -> None:
        """A second name of a file that is in the directory."""
        source = _names(os.fsencode(target))
        if not source or source == names:
            raise SteadError("path_invalid", f"{shown}: a hard link to nothing", path=shown)
        self._enter(source[:-1], make=False)
        with Location([os.dup(self._directory)], source[-1]) as first:
            if not stat.S_ISREG(os.stat(first.name, dir_fd=first.directory, follow_symlinks=False).st_mode):
                raise SteadError("not_file", f"{shown}: a hard link to what is no file", path=shown)
            self._enter(names[:-1])
            with self._files.hidden(self._directory) as hidden:
                os.link(
                    first.name,
                    hidden,
                    src_dir_fd=first.directory,
                    dst_dir_fd=self._directory,
                    follow_symlinks=False,
                )
                self._put(hidden, names[-1])

    def _put(self, hidden: str, name: str) -> None:
        """Under its name, in place of what is there."""
        directory = self._directory
        try:
            os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden, dir_fd=directory)

    def _clear(self, name: str, keep: Callable[[int], bool]) -> None:
        """Removes what is in the way, but no directory."""
        try:
            mode = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode) and not keep(mode):
            raise IsADirectoryError(errno.EISDIR, "a directory")
        if not keep(mode):
            os.unlink(name, dir_fd=self._directory)

    # --- directories -------------------------------------------------------------------------------------------------

    @property
    def _directory(self) -> int:
        return self._open[-1][1]

    def _enter(self, names: list[str], *, make: bool = True) -> None:
        """Makes this the open directory, name by name and never through a link."""
        if len(names) > LEVELS:
            raise SteadError("too_large", f"the tree is deeper than {LEVELS} directories")
        same = 0
        while same < min(len(names), len(self._open) - 1) and self._open[same + 1][0] == names[same]:
            same += 1
        while len(self._open) > same + 1:
            os.close(self._open.pop()[1])
        for name in names[same:]:
            if make:
                self._make(name)
            self._open.append((name, os.open(name, _DIRECTORY, dir_fd=self._directory)))

    def _make(self, name: str) -> None:
        try:
            os.mkdir(name, dir_fd=self._directory)
        except FileExistsError:
            self._clear(name, keep=stat.S_ISDIR)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._directory)

    def _settle(self, path: str, mode: int, modified: int) -> None:
        """A directory's mode and time, when nothing more comes into it."""
        with confine.errors(path or "."):
            self._enter([name for name in path.split("/") if name], make=False)
            os.fchmod(self._directory, mode)
            os.utime(self._directory, ns=(modified, modified))


def _make_top(files: Files, path: str) -> bool:
    """The directory itself, with those above it; true when it was made now."""
    try:
        files.mkdir(path, parents=True, exclusive=True)
    except SteadError as error:
        if error.code != "already_exists":
            raise
        return False
    return True


def _names(raw: bytes) -> list[str]:
    """The names of a member, all of them below the directory."""
    path = os.fsdecode(raw)
    shown = confine.shown(path)
    names = [name for name in path.split("/") if name not in {"", "."}]
    if path.startswith("/") or ".." in names:
        raise SteadError("path_outside", f"{shown}: a name in the archive leads out of the directory", path=shown)
    if "\0" in path or len(raw) > confine.PATH_BYTES or any(len(os.fsencode(n)) > confine.NAME_BYTES for n in names):
        raise SteadError("path_invalid", f"{shown}: a name in the archive is too long or has a NUL byte", path=shown)
    return names


def _leads_out(level: int, target: str) -> bool:
    """Whether a link in a directory so deep may lead out: `..` counts only where it leads on, at the beginning."""
    names = [name for name in target.split("/") if name not in {"", "."}]
    ups = next((number for number, name in enumerate(names) if name != ".."), len(names))
    return target.startswith("/") or ups > level or ".." in names[ups:]
