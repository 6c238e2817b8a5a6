"""Patterns of `.gitignore` files: what they mean, without a program.

Contract: `Pattern.of(line)` is one line, or None for a comment; `matches(path, directory)` takes a path relative to where the
line stands. `Patterns` is a file's lines: `judge` says True (ignored), False (kept by `!`) or None; the last line that fits
decides. `{a,b}` is an alternative, as in ripgrep.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

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
            expression = re.compile(_translated(body), re.DOTALL)
        except re.error:
            return None
        return cls(expression, keeps, directories, anchored)

    def matches(self, path: str, *, directory: bool) -> bool:
        if self.directories and not directory:
            return False
        return self.expression.fullmatch(path if self.anchored else path.rpartition("/")[2]) is not None


class Patterns:
    """The lines of one file; the last that fits decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        found = [pattern for line in lines if (pattern := Pattern.of(line)) is not None]
        self._patterns = tuple(reversed(found[:_MANY]))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def judge(self, path: str, *, directory: bool) -> bool | None:
        for pattern in self._patterns:
            if pattern.matches(path, directory=directory):
                return not pattern.keeps
        return None


class Chosen:
    """Globs of a caller, of which a file must fit one; none are all files."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._patterns = [pattern for glob in globs if (pattern := Pattern.glob(glob)) is not None]
        self._all = not self._patterns

    def has(self, path: str) -> bool:
        """Whether the file, or a directory it is in, fits."""
        if self._all or any(pattern.matches(path, directory=False) for pattern in self._patterns):
            return True
        names = path.split("/")
        parents = ["/".join(names[:end]) for end in range(1, len(names))]
        return any(pattern.matches(parent, directory=True) for pattern in self._patterns for parent in parents)


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
