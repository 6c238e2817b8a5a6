"""Through a tree of files, by directory descriptors, in an order that a later walk can go on from.

Contract: `walk(root, path, choice)` gives an `Entry` for everything below a directory: each directory before what is in it,
names in the order of their bytes. Links are told, never followed. `after` is the `cursor` of the last entry that is known. What
may not be read is named in `choice.unread`. `.gitignore` files count from the top of the repository on (the directory that has
`.git`), where the tree is in one; `.git` itself is then left out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import DIRECTORY, QUIET, Root
from stead.toolbox.ignoring.patterns import FILE_BYTES, Patterns
from stead.toolbox.trees.scope import Chosen, Scope

LEVELS = 250
"""The deepest tree: each level holds a descriptor."""
PATTERNS = 1000
"""The most patterns of one choice."""
PATTERNS_BYTES = 1 << 16
"""What they have in all: making expressions of them keeps a guest from everything else."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | QUIET
_CLOSED = {errno.EACCES, errno.EPERM}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Entry(NamedTuple):
    """Something in the tree; `path` is below the tree's top, `directory` is open until the walk goes on."""

    path: str
    name: str
    directory: int
    found: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.found.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.found.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.found.st_mode)

    @property
    def cursor(self) -> str:
        """Where a later walk goes on from; plain text whatever the names are."""
        return quote_from_bytes(os.fsencode(self.path))

    def target(self) -> str:
        """Where a link leads; empty when it is gone."""
        try:
            return os.readlink(self.name, dir_fd=self.directory)
        except OSError:
            return ""


class Choice:
    """What of a tree is meant. `ignore`: not what `.gitignore` files ignore; `exclude` are lines of such a file, stronger than
    those; of files, only what fits one of `include`; `depth` 1 is the directory itself."""

    def __init__(
        self,
        *,
        ignore: bool = False,
        include: list[str] | None = None,
        exclude: list[str] | None = None,
        depth: int = 0,
    ) -> None:
        for patterns in (include, exclude):
            if patterns and (len(patterns) > PATTERNS or sum(map(len, patterns)) > PATTERNS_BYTES):
                words = f"at most {PATTERNS} patterns are taken, with {PATTERNS_BYTES} characters in all"
                raise SteadError("invalid", words)
        if depth < 0:
            raise SteadError("invalid", "depth must not be negative", field="depth")
        self.ignore = ignore
        self.include = Chosen(include or [])
        self.exclude = Patterns.of("\n".join(exclude or []).encode("utf-8", "surrogateescape"))
        self.depth = depth or LEVELS + 1
        self.unread: list[str] = []


class _Level:
    """One open directory of the walk."""

    def __init__(self, descriptor: int, path: str, scope: Scope, after: list[bytes]) -> None:
        self.descriptor = descriptor
        self.path = path
        self.scope = scope
        self.after = after
        names = sorted(map(os.fsencode, os.listdir(descriptor)))
        self.names = iter([name for name in names if name >= after[0]] if after else names)


def walk(root: Root, path: str, choice: Choice, after: str = "") -> Generator[Entry, None, None]:
    """Everything below a directory that was chosen."""
    base, scope = _outer(root, path) if choice.ignore else (b"", Scope())
    top = root.open(path, os.O_RDONLY | os.O_DIRECTORY | QUIET)
    levels: list[_Level] = []
    try:
        with confine.errors(path):
            levels.append(_first(top, _scope(scope, top, base, choice), after))
            while levels:
                level = levels[-1]
                raw = next(level.names, None)
                if raw is None:
                    os.close(levels.pop().descriptor)
                    continue
                entry = _entry(level, raw, base, choice)
                if entry is None:
                    continue
                known = level.after[:1] == [raw]
                if not known and choice.include.fits(os.fsencode(entry.path), directory=entry.is_directory):
                    yield entry
                if entry.is_directory and len(levels) < choice.depth:
                    _descend(levels, entry, base, choice, level.after[1:] if known else [])
    finally:
        for level in levels:
            os.close(level.descriptor)


def _first(top: int, scope: Scope, after: str) -> _Level:
    try:
        return _Level(top, "", scope, [*filter(None, unquote_to_bytes(after).split(b"/"))])
    except BaseException:
        os.close(top)
        raise


def judged(root: Root, path: str, names: list[str]) -> list[str]:
    """Those of the names that the ignore rules leave out."""
    base, outer = _outer(root, path)
    scopes: dict[str, Scope] = {}

    def scope(directory: str) -> Scope:
        """The rules in a directory, which need not be there."""
        if directory not in scopes:
            upper = scope(directory.rpartition("/")[0]) if directory else outer
            scopes[directory] = upper.inside(Patterns.of(_there(root, path, directory), base + _slashed(directory)))
        return scopes[directory]

    def left_out(name: str) -> bool:
        parts = [part for part in name.split("/") if part]
        for end in range(1, len(parts) + 1):
            part = "/".join(parts[:end])
            directory = end < len(parts) or name.endswith("/")
            rules = scope("/".join(parts[: end - 1]))
            if parts[end - 1] == ".git" or rules.ignores(base + os.fsencode(part), directory=directory):
                return True
        return False

    return [name for name in names if left_out(name)]


def _slashed(directory: str) -> bytes:
    return os.fsencode(f"{directory}/") if directory else b""


def _there(root: Root, path: str, directory: str) -> bytes:
    """The `.gitignore` of a directory of the tree."""
    try:
        descriptor = root.open(f"{path}/{directory}", os.O_RDONLY | os.O_DIRECTORY | QUIET)
    except SteadError:
        return b""
    try:
        return _file(descriptor, ".gitignore")
    finally:
        os.close(descriptor)


def _entry(level: _Level, raw: bytes, base: bytes, choice: Choice) -> Entry | None:
    """What is there; None when it is gone, ignored or excluded."""
    name = os.fsdecode(raw)
    try:
        found = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
    except OSError as error:
        if error.errno in _GONE:
            return None
        if error.errno not in _CLOSED or not level.path:
            raise
        choice.unread.append(level.path.removesuffix("/"))
        level.names = iter(())
        return None
    path = f"{level.path}{name}"
    directory = stat.S_ISDIR(found.st_mode)
    excluded = choice.exclude.judge(os.fsencode(path), directory=directory) if choice.exclude else None
    if excluded or (choice.ignore and raw == b".git"):
        return None
    if excluded is None and choice.ignore and level.scope.ignores(base + os.fsencode(path), directory=directory):
        return None
    return Entry(path, name, level.descriptor, found)


def _descend(levels: list[_Level], entry: Entry, base: bytes, choice: Choice, after: list[bytes]) -> None:
    if len(levels) >= LEVELS:
        raise SteadError("too_large", f"{confine.shown(entry.path)}: the tree is deeper than {LEVELS} directories")
    try:
        descriptor = os.open(entry.name, _DIRECTORY, dir_fd=entry.directory)
    except OSError as error:
        if error.errno in _CLOSED:
            choice.unread.append(entry.path)
            return
        if error.errno in _GONE:
            return
        raise
    try:
        inner = f"{entry.path}/"
        scope = _scope(levels[-1].scope, descriptor, base + os.fsencode(inner), choice)
        levels.append(_Level(descriptor, inner, scope, after))
    except BaseException:
        os.close(descriptor)
        raise


def _scope(outer: Scope, directory: int, base: bytes, choice: Choice) -> Scope:
    if not choice.ignore:
        return outer
    return outer.inside(Patterns.of(_file(directory, ".gitignore"), base))


def _outer(root: Root, path: str) -> tuple[bytes, Scope]:
    """The tree's place below the top of its repository, and the rules from there to above it."""
    names = root.relative(path).split("/")
    names = [] if names == ["."] else names
    found: list[tuple[bytes, bytes]] = []
    for count in range(len(names), -1, -1):
        descriptor = root.open("/".join(names[:count]) or ".", DIRECTORY)
        try:
            if count < len(names):
                found.append(
                    (os.fsencode("".join(f"{name}/" for name in names[:count])), _file(descriptor, ".gitignore"))
                )
            if _has(descriptor, ".git"):
                extra = _file(descriptor, ".git/info/exclude")
                return _rebased(names, count, found, extra)
        finally:
            os.close(descriptor)
    return b"", Scope()


def _rebased(names: list[str], count: int, found: list[tuple[bytes, bytes]], extra: bytes) -> tuple[bytes, Scope]:
    cut = len(os.fsencode("".join(f"{name}/" for name in names[:count])))
    scope = Scope().inside(Patterns.of(extra))
    for base, text in reversed(found):
        scope = scope.inside(Patterns.of(text, base[cut:]))
    return os.fsencode("".join(f"{name}/" for name in names[count:])), scope


def _has(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _file(directory: int, name: str) -> bytes:
    """A small file's bytes; nothing when it is none, or a link."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | QUIET, dir_fd=directory)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(FILE_BYTES)
    finally:
        os.close(descriptor)
