"""Which files the ignore files of a workspace leave out, as ripgrep and git see it, without a program.

Contract: `Pattern.of(line)` is one line, or None for a comment; `matches(path, directory)` takes a path relative to where the
line stands. `Patterns` is a file's lines: `judge` says True (ignored), False (kept by `!`) or None; the last line that fits
decides. `{a,b}` is an alternative, as in ripgrep. `Level` is what holds in a directory and below: `Level.above(root)` has what
stands above a root, `entered` adds a directory's own files, `ignores` judges an entry of a directory that is not ignored.

`.ignore` counts before `.gitignore`, and a deeper file before a higher one. Whether a directory is a repository does not
matter.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, shown

FILES = (".ignore", ".gitignore", ".git/info/exclude")
"""Where patterns stand; the earlier count more."""
NAMES = frozenset({".ignore", ".gitignore"})
GLOBS = 100
"""The most globs of a caller, of `GLOBS_BYTES` in all."""
GLOBS_BYTES = 1 << 14
FILE_BYTES = 1 << 20
"""What counts of an ignore file."""
PATTERN_CHARACTERS = 4096
"""A longer line means nothing."""
_MANY = 4096
"""How many lines of one file count."""


class Pattern(NamedTuple):
    """One line."""

    expression: re.Pattern[str]
    keeps: bool
    directories: bool
    anchored: bool

    @classmethod
    def of(cls, line: str) -> Pattern | None:
        """What the line means; None when it means nothing (empty, a comment, not a pattern)."""
        text = _without_end(line.rstrip("\r\n"))
        if not text or text.startswith("#") or len(text) > PATTERN_CHARACTERS:
            return None
        keeps = text.startswith("!")
        return cls.glob(text[1:] if keeps else text, keeps=keeps)

    @classmethod
    def glob(cls, text: str, *, keeps: bool = False) -> Pattern | None:
        """A pattern in which `!` and `#` are characters like others."""
        directories = text.endswith("/")
        body = text.rstrip("/") if directories else text
        anchored = "/" in body
        body = body.removeprefix("/")
        if not body:
            return None
        try:
            expression = re.compile(_translated(_bytes(body)), re.DOTALL)
        except re.error:
            return None
        return cls(expression, keeps, directories, anchored)

    def matches(self, path: str, *, directory: bool) -> bool:
        if self.directories and not directory:
            return False
        text = _bytes(path if self.anchored else path.rpartition("/")[2])
        return self.expression.fullmatch(text) is not None


class Patterns:
    """The lines of one file; the last that fits decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        found = [pattern for line in lines if (pattern := Pattern.of(line)) is not None]
        self._patterns = tuple(reversed(found[:_MANY]))
        self._names = _any(pattern for pattern in self._patterns if not pattern.anchored)
        self._paths = _any(pattern for pattern in self._patterns if pattern.anchored)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def judge(self, path: str, *, directory: bool) -> bool | None:
        text = _bytes(path)
        name = self._names is not None and self._names.fullmatch(text.rpartition("/")[2])
        if not name and not (self._paths is not None and self._paths.fullmatch(text)):
            return None
        for pattern in self._patterns:
            if pattern.matches(path, directory=directory):
                return not pattern.keeps
        return None


class Level:
    """The ignore files of one directory, and those above it. Paths are absolute."""

    def __init__(self, base: str, parent: Level | None, files: Mapping[str, str]) -> None:
        self.base = base.rstrip("/") + "/"
        self.parent = parent
        self._own = {name: found for name, text in files.items() if (found := Patterns(text.split("\n")))}

    @classmethod
    def above(cls, root: str) -> Level | None:
        """What the directories above a root say."""
        level: Level | None = None
        for directory in reversed(Path(root).parents):
            try:
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                level = entered(level, str(directory), descriptor, None)
            finally:
                os.close(descriptor)
        return level

    def ignores(self, path: str, *, directory: bool) -> bool:
        for name in FILES:
            verdict = self._judge(name, path, directory)
            if verdict is not None:
                return verdict
        return False

    def _judge(self, name: str, path: str, directory: bool) -> bool | None:
        level: Level | None = self
        while level is not None:
            patterns = level._own.get(name)  # noqa: SLF001 (of its own kind)
            if patterns is not None:
                verdict = patterns.judge(path[len(level.base) :], directory=directory)
                if verdict is not None:
                    return verdict
            level = level.parent
        return None


def entered(level: Level | None, base: str, descriptor: int, names: Container[str] | None) -> Level | None:
    """What holds in a directory: `level` when it adds nothing. `names`: what is in it, where that is known."""
    files = {
        name: text
        for name in FILES
        if (names is None or name.partition("/")[0] in names) and (text := _text(descriptor, name)) is not None
    }
    return Level(base, level, files) if files else level


def _text(descriptor: int, name: str) -> str | None:
    """The beginning of an ignore file; None when there is none."""
    try:
        file = os.open(name, os.O_RDONLY | QUIET | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        return os.read(file, FILE_BYTES).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(file)


def _any(patterns: Iterable[Pattern]) -> re.Pattern[str] | None:
    """One expression that fits what any of them may fit."""
    found = [f"(?:{pattern.expression.pattern})" for pattern in patterns]
    return re.compile("|".join(found), re.DOTALL) if found else None


class Chosen:
    """Globs of a caller: those that a file may fit. A glob that is none is "invalid"."""

    def __init__(self, globs: Sequence[str], field: str) -> None:
        if len(globs) > GLOBS:
            raise SteadError("invalid", f"at most {GLOBS} globs", field=field)
        if sum(len(glob.encode(errors="surrogateescape")) for glob in globs) > GLOBS_BYTES:
            raise SteadError("invalid", f"globs have at most {GLOBS_BYTES} bytes in all", field=field)
        self._patterns = [_glob(glob, field) for glob in globs]

    def has(self, path: str, *, directory: bool = False) -> bool:
        """Whether it, or a directory it is in, fits."""
        if any(pattern.matches(path, directory=directory) for pattern in self._patterns):
            return True
        names = path.split("/")
        parents = ["/".join(names[:end]) for end in range(1, len(names))]
        return any(pattern.matches(parent, directory=True) for pattern in self._patterns for parent in parents)


def _glob(glob: str, field: str) -> Pattern:
    pattern = None if any(mark in glob for mark in "\0\r\n") else Pattern.glob(glob)
    if pattern is None:
        raise SteadError("invalid", f"{shown(glob)!r} is no glob", field=field)
    return pattern


def _bytes(text: str) -> str:
    """A character for each byte, as `?` and brackets count."""
    return text if text.isascii() else text.encode(errors="surrogateescape").decode("latin-1")


def _without_end(text: str) -> str:
    """Blanks at the end do not count, unless a backslash keeps the last."""
    short = text.rstrip(" ")
    return short + " " if short.endswith("\\") and short != text else short


def _translated(body: str) -> str:
    """The regular expression of a pattern without its first and last slash."""
    found: list[str] = []
    at, depth = 0, 0
    while at < len(body):
        piece, at, depth = _piece(body, at, depth)
        found.append(piece)
    return "".join(found)


def _piece(body: str, at: int, depth: int) -> tuple[str, int, int]:
    """The next part: its expression, where the following begins, and how many braces are open."""
    character = body[at]
    if character == "*":
        piece, after = _stars(body, at)
        return piece, after, depth
    if character == "[":
        piece, after = _bracket(body, at)
        return piece, after, depth
    if character == "\\" and at + 1 < len(body):
        return re.escape(body[at + 1]), at + 2, depth
    if character == "{":
        return "(?:", at + 1, depth + 1
    if depth and character in "},":
        return (")", at + 1, depth - 1) if character == "}" else ("|", at + 1, depth)
    return "[^/]" if character == "?" else re.escape(character), at + 1, depth


def _stars(body: str, at: int) -> tuple[str, int]:
    """`*`, or `**` where it stands for whole names."""
    end = at
    while end < len(body) and body[end] == "*":
        end += 1
    whole = end - at == 2 and (at == 0 or body[at - 1] == "/")
    if whole and end == len(body):
        return ".+" if at else ".*", end
    if whole and body[end] == "/":
        return "(?:.*/)?", end + 1
    return "[^/]*", end


def _bracket(body: str, at: int) -> tuple[str, int]:
    """A set of characters; raises re.error when it is not closed."""
    start = at + 1
    if start < len(body) and body[start] in "!^":
        start += 1
    end = body.find("]", start + 1)
    if end < 0:
        raise re.error("the bracket is not closed")
    inside = body[start:end].replace("\\", "\\\\").replace("[", "\\[").replace("&&", "&\\&").replace("||", "|\\|")
    inside = inside.replace("~~", "~\\~").replace("]", "\\]").replace("^", "\\^")
    return f"(?!/)[{'^' if start > at + 1 else ''}{inside}]", end + 1
