"""What `.gitignore` files mean, exactly as git has it (a test compares the two).

Contract: `Patterns(text, base)` is one file's lines, which stand in the directory `base` (empty, or with a slash at its end);
`judge(path, directory)` is True (ignored), False (kept by `!`) or None (no line fits); the last line that fits decides.
`Scope` is a chain of such files, the innermost asked first. Paths are bytes, relative to where the outermost base is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

FILE_BYTES = 1 << 20
"""A larger `.gitignore` is read so far."""
_PATTERN_BYTES = 4096
_SLASH = 0x2F
_CLASSES = {
    b"alnum": b"a-zA-Z0-9",
    b"alpha": b"a-zA-Z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": b"0-9",
    b"graph": rb"\x21-\x7e",
    b"lower": b"a-z",
    b"print": rb"\x20-\x7e",
    b"punct": rb"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    b"space": rb" \t\n\r\f\v",
    b"upper": b"A-Z",
    b"xdigit": b"0-9a-fA-F",
}
_NEVER = b"(?!)"
_WILD = re.compile(rb"[*?\[\\]")


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
    """The lines of one file."""

    def __init__(self, text: bytes, base: bytes = b"") -> None:
        self._base = base
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        patterns = [pattern for line in lines if (pattern := parse(line)) is not None]
        self._rules = [(re.compile(each.expression, re.DOTALL), each) for each in reversed(patterns)]
        self._literals = (
            {each.literal for each in patterns if not each.path} - {b""},
            {each.literal for each in patterns if each.path} - {b""},
        )
        self._suffixes = tuple(each.suffix for each in patterns if each.suffix)
        others = [each for each in patterns if not each.literal and not each.suffix]
        self._names = _any(each.expression for each in others if not each.path)
        self._paths = _any(each.expression for each in others if each.path)

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


class Scope:
    """The files that apply in one directory, the outermost first."""

    def __init__(self, files: tuple[Patterns, ...] = ()) -> None:
        self._files = files

    def inside(self, patterns: Patterns) -> Scope:
        """In a directory below that has these."""
        return Scope((*self._files, patterns)) if patterns else self

    def ignores(self, path: bytes, *, directory: bool) -> bool:
        """Whether an entry of this directory is ignored."""
        for patterns in reversed(self._files):
            verdict = patterns.judge(path, directory=directory)
            if verdict is not None:
                return verdict
        return False


class Chosen:
    """Patterns of a caller, of which an entry, or a directory it is in, must fit one; none at all is everything."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = Patterns(b"\n".join(_literal(pattern) for pattern in patterns))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def fits(self, path: bytes, *, directory: bool) -> bool:
        return not self._patterns or bool(self._patterns.judge(path, directory=directory))


def _literal(pattern: str) -> bytes:
    """A caller's pattern has no comments and no `!`."""
    raw = pattern.encode("utf-8", "surrogateescape").replace(b"\n", b"?")
    return b"\\" + raw if raw[:1] in {b"#", b"!"} else raw


def _any(expressions: Iterable[bytes]) -> re.Pattern[bytes] | None:
    joined = b"|".join(expressions)
    return re.compile(joined, re.DOTALL) if joined else None


def parse(line: bytes) -> Pattern | None:
    """What a line means; None when it means nothing."""
    text = _trimmed(line.removesuffix(b"\r"))
    if not text or text.startswith(b"#") or len(text) > _PATTERN_BYTES:
        return None
    keeps = text.startswith(b"!")
    text = text[keeps:]
    directories = text.endswith(b"/")
    text = text[: len(text) - directories]
    path = b"/" in text
    body = text.removeprefix(b"/")
    if not body:
        return None
    plain = not _WILD.search(body)
    ending = not path and body.startswith(b"*") and not _WILD.search(body, 1)
    return Pattern(
        _translated(body, path),
        keeps,
        directories,
        path,
        literal=body if plain else b"",
        suffix=body[1:] if ending else b"",
    )


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


def _translated(body: bytes, path: bool) -> bytes:
    """The pattern as an expression. A `*` with a later one behind it never gives back what it found first: that is enough,
    and long patterns stay fast."""
    parts: list[bytes] = []
    star: int | None = None
    at = 0
    while at < len(body):
        if body[at : at + 1] == b"*":
            _close(parts, star)
            piece, at = _stars(body, at, path)
            parts.append(piece)
            star = len(parts) - 1 if piece == b"[^/]*" else None
        else:
            piece, at = _piece(body, at)
            parts.append(piece)
    return b"".join(parts)


def _close(parts: list[bytes], star: int | None) -> None:
    """Makes the star and what follows it one step that is not taken back."""
    if star is not None and star < len(parts) - 1:
        parts[star] = b"(?>[^/]*?" + b"".join(parts[star + 1 :]) + b")"
        del parts[star + 1 :]


def _stars(body: bytes, at: int, path: bool) -> tuple[bytes, int]:
    """`*`, or `**` where it stands for whole names: after a slash, or (git is so) where the first wildcard is."""
    end = at
    while body[end : end + 1] == b"*":
        end += 1
    begins = at == 0 or body[at - 1] == _SLASH or not _WILD.search(body, 0, at)
    if not path or end - at < 2 or not begins:
        return b"[^/]*", end
    if end == len(body):
        return b".*", end
    if body[end] == _SLASH:
        return b"(?:.*/)?", end + 1
    return (b".*", end) if body[end : end + 2] == b"\\/" else (b"[^/]*", end)


def _piece(body: bytes, at: int) -> tuple[bytes, int]:
    character = body[at : at + 1]
    if character == b"?":
        return b"[^/]", at + 1
    if character == b"[":
        return _bracket(body, at + 1)
    if character == b"\\":
        return (re.escape(body[at + 1 : at + 2]), at + 2) if at + 1 < len(body) else (_NEVER, at + 1)
    return re.escape(character), at + 1


def _bracket(body: bytes, at: int) -> tuple[bytes, int]:
    """A set of characters; one that is not closed fits nothing."""
    negated = body[at : at + 1] in {b"!", b"^"}
    at += negated
    members: list[bytes] = []
    before: int | None = None
    first = True
    while first or body[at : at + 1] != b"]":
        first = False
        found = _member(body, at, before)
        if found is None:
            return _NEVER, len(body)
        member, before, at = found
        members.append(member)
    inside = b"".join(members)
    if not inside:
        return (b"[^/]" if negated else _NEVER), at + 1
    return b"(?!/)[" + (b"^" if negated else b"") + inside + b"]", at + 1


def _member(body: bytes, at: int, before: int | None) -> tuple[bytes, int | None, int] | None:
    """The next of a set: its expression, the character that a range may begin with, and where the following begins."""
    if at >= len(body):
        return None
    character = body[at]
    if character == 0x2D and before is not None and body[at + 1 : at + 2] not in {b"", b"]"}:
        at += 1
        if body[at] == 0x5C:
            at += 1
        if at >= len(body):
            return None
        last = body[at]
        return (_byte(before) + b"-" + _byte(last) if before <= last else b""), None, at + 1
    if character == 0x5C:
        if at + 1 >= len(body):
            return None
        return _byte(body[at + 1]), body[at + 1], at + 2
    if body[at : at + 2] == b"[:":
        return _class(body, at)
    return _byte(character), character, at + 1


def _class(body: bytes, at: int) -> tuple[bytes, int | None, int] | None:
    end = body.find(b"]", at + 2)
    if end < 0:
        return None
    if end == at + 2 or body[end - 1 : end] != b":":
        return _byte(body[at]), body[at], at + 1
    found = _CLASSES.get(body[at + 2 : end - 1])
    return None if found is None else (found, None, end + 1)


def _byte(value: int) -> bytes:
    return b"\\x%02x" % value
