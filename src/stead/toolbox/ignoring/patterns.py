"""The lines of an ignore file.

Contract: `parse(line, syntax)` is one line, or None when it means nothing (empty, a comment, no pattern); `glob` is a pattern
in which `#` and `!` are characters like others. `Patterns.of(text, base)` is a file's lines, which stand in the directory
`base` (empty, or with a slash at its end); `judge(path, directory)` is True (ignored), False (kept by `!`) or None (no line
fits); the last line that fits decides. Paths are bytes and begin with the base.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from stead.toolbox.ignoring.expressions import WILD, Syntax, translated

FILE_BYTES = 1 << 20
"""What counts of an ignore file."""
PATTERN_BYTES = 4096
"""A longer line means nothing."""


class Pattern(NamedTuple):
    """One line. `path`: it is about the whole path below its base, not about the last name."""

    expression: bytes
    keeps: bool
    directories: bool
    path: bool
    literal: bytes = b""
    """All that it fits, when it has no wildcard."""
    suffix: bytes = b""
    """How a name ends that it fits, when that is all it says."""


class Patterns:
    """The lines of one file. `of_places`: some of them are about whole paths."""

    def __init__(self, patterns: Iterable[Pattern], base: bytes = b"") -> None:
        self._base = base
        found = list(patterns)
        self.of_places = any(each.path for each in found)
        self._rules = [(re.compile(each.expression, re.DOTALL), each) for each in reversed(found)]
        self._literals = (
            {each.literal for each in found if not each.path} - {b""},
            {each.literal for each in found if each.path} - {b""},
        )
        self._suffixes = tuple(each.suffix for each in found if each.suffix)
        others = [each for each in found if not each.literal and not each.suffix]
        self._names = _any(each.expression for each in others if not each.path)
        self._paths = _any(each.expression for each in others if each.path)

    @classmethod
    def of(cls, text: bytes, base: bytes = b"", syntax: Syntax = Syntax.GIT) -> Patterns:
        """What a file says."""
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        return cls([pattern for line in lines if (pattern := parse(line, syntax)) is not None], base)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def judge(self, path: bytes, *, directory: bool) -> bool | None:
        """Whether the lines ignore it, keep it, or say nothing."""
        below = path[len(self._base) :]
        name = path[path.rfind(b"/") + 1 :]
        if not self._may_fit(name, below):
            return None
        for expression, rule in self._rules:
            if (directory or not rule.directories) and expression.fullmatch(below if rule.path else name):
                return not rule.keeps
        return None

    def _may_fit(self, name: bytes, below: bytes) -> bool:
        """Whether any line is about it: for nearly all, none is, and this is the fast way to know."""
        names, paths = self._literals
        return (
            name in names
            or below in paths
            or name.endswith(self._suffixes)
            or (self._names is not None and self._names.fullmatch(name) is not None)
            or (self._paths is not None and self._paths.fullmatch(below) is not None)
        )


def parse(line: bytes, syntax: Syntax) -> Pattern | None:
    """What a line means."""
    text = _trimmed(line.removesuffix(b"\r"))
    if text.startswith(b"#"):
        return None
    keeps = text.startswith(b"!")
    return glob(text[keeps:], syntax, keeps=keeps)


def glob(text: bytes, syntax: Syntax, *, keeps: bool = False) -> Pattern | None:
    """What a pattern means."""
    directories = text.endswith(b"/")
    text = text[: len(text) - directories]
    path = b"/" in text
    body = text.removeprefix(b"/")
    expression = translated(body, path, syntax) if body and len(body) <= PATTERN_BYTES else None
    if expression is None:
        return None
    wild = WILD[syntax]
    plain = not wild.search(body)
    ending = not path and body.startswith(b"*") and not wild.search(body, 1)
    literal, suffix = (body if plain else b""), (body[1:] if ending else b"")
    return Pattern(expression, keeps, directories, path, literal, suffix)


def _any(expressions: Iterable[bytes]) -> re.Pattern[bytes] | None:
    joined = b"|".join(expressions)
    return re.compile(joined, re.DOTALL) if joined else None


def _trimmed(text: bytes) -> bytes:
    """Blanks at the end do not count, unless a backslash stands before them."""
    at = 0
    blanks = None
    while at < len(text):
        if text[at : at + 1] == b" ":
            blanks = at if blanks is None else blanks
        elif text[at : at + 1] == b"\\":
            at += 1
            if at == len(text):
                return text
            blanks = None
        else:
            blanks = None
        at += 1
    return text if blanks is None else text[:blanks]
