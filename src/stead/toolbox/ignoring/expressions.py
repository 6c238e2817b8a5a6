"""The regular expression of a line of an ignore file.

Contract: `translated(body, path, syntax)` takes a pattern without the slashes at its ends, and is None when it fits nothing or
is no pattern. `path`: it is about the whole path, not about the last name. Whatever the pattern is, matching stays fast: what
stands between two stars is sought once, from the left, and not taken back, which is enough.
"""

from __future__ import annotations

import re
from enum import Enum, auto


class Syntax(Enum):
    """Where the two differ: ripgrep has `{a,b}`, it knows neither `[[:alpha:]]` nor a backslash in brackets, refuses `[z-a]`,
    and takes `**` for any number of directories only as a whole name."""

    GIT = auto()
    RIPGREP = auto()


WILD = {Syntax.GIT: re.compile(rb"[*?\[\\]"), Syntax.RIPGREP: re.compile(rb"[*?\[\\{}]")}
"""What is not only itself."""
ALTERNATIVES_BYTES = 1 << 14
"""How long a pattern may be when its braces are written out."""
_SLASH = 0x2F
_TOKEN = re.compile(rb"\\.|\[[!^]?\]?[^\]]*\]|[{},]|[^\\\[{},]+|.", re.DOTALL)
_LAZY = {b"[^/]*": b"[^/]*?", b".*": b".*?", b"(?:.*/)?": b"(?:.*?/)??"}
"""How a star finds the first place where what follows fits."""
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


class _NoPatternError(Exception):
    """It is no pattern, or none that fits anything."""


def translated(body: bytes, path: bool, syntax: Syntax) -> bytes | None:
    try:
        bodies = [body] if syntax is Syntax.GIT else _alternatives(body)
        return b"|".join(_expression(each, path, syntax) for each in bodies)
    except _NoPatternError:
        return None


def _alternatives(body: bytes) -> list[bytes]:
    """The patterns without braces that one with braces stands for."""
    outer: list[tuple[list[bytes], list[bytes]]] = []
    done: list[bytes] = []
    current = [b""]
    for token in _TOKEN.findall(body):
        if token == b"{":
            outer.append((done, current))
            done, current = [], [b""]
        elif token == b"," and outer:
            done, current = done + current, [b""]
        elif token == b"}":
            if not outer:
                raise _NoPatternError
            inside = done + current
            done, current = outer.pop()
            current = [before + each for before in current for each in inside]
        else:
            current = [before + token for before in current]
        if len(current) > 1 and sum(map(len, current)) + len(current) > ALTERNATIVES_BYTES:
            raise _NoPatternError
    if outer:
        raise _NoPatternError
    return current


def _expression(body: bytes, path: bool, syntax: Syntax) -> bytes:
    """A pattern without braces as an expression. What a star and what follows have found is not given back when a later star of
    the same kind comes: any later place would do no better."""
    parts: list[bytes] = []
    star: int | None = None
    deep: int | None = None
    at = 0
    while at < len(body):
        if body[at : at + 1] != b"*":
            piece, at = _piece(body, at, syntax)
            parts.append(piece)
            continue
        _close(parts, star)
        piece, at = _stars(body, at, path, syntax)
        star = None
        if piece == b"[^/]*":
            star = len(parts)
        else:
            _close(parts, deep)
            deep = len(parts)
        parts.append(piece)
    return b"".join(parts)


def _close(parts: list[bytes], star: int | None) -> None:
    """Makes the star and what follows it one step that is not taken back."""
    if star is not None and star < len(parts) - 1:
        parts[star] = b"(?>" + _LAZY[parts[star]] + b"".join(parts[star + 1 :]) + b")"
        del parts[star + 1 :]


def _stars(body: bytes, at: int, path: bool, syntax: Syntax) -> tuple[bytes, int]:
    """`*`, or `**` where it stands for whole names: after a slash, or (git is so) where the first wildcard is."""
    end = at
    while body[end : end + 1] == b"*":
        end += 1
    git = syntax is Syntax.GIT
    begins = at == 0 or body[at - 1] == _SLASH or (git and not WILD[syntax].search(body, 0, at))
    if not path or not begins or end - at < 2 or (end - at > 2 and not git):
        return b"[^/]*", end
    if end == len(body):
        return b".*", end
    if body[end] == _SLASH:
        return b"(?:.*/)?", end + 1
    return (b".*", end) if git and body[end : end + 2] == b"\\/" else (b"[^/]*", end)


def _piece(body: bytes, at: int, syntax: Syntax) -> tuple[bytes, int]:
    character = body[at : at + 1]
    if character == b"?":
        return b"[^/]", at + 1
    if character == b"[":
        return _bracket(body, at + 1, syntax)
    if character != b"\\":
        return re.escape(character), at + 1
    if at + 1 == len(body):
        raise _NoPatternError
    return re.escape(body[at + 1 : at + 2]), at + 2


def _bracket(body: bytes, at: int, syntax: Syntax) -> tuple[bytes, int]:
    """A set of characters."""
    negated = body[at : at + 1] in {b"!", b"^"}
    at += negated
    members: list[bytes] = []
    before: int | None = None
    first = True
    while first or body[at : at + 1] != b"]":
        first = False
        member, before, at = _member(body, at, before, syntax)
        members.append(member)
    inside = b"".join(members)
    if inside:
        return b"(?!/)[" + (b"^" if negated else b"") + inside + b"]", at + 1
    if not negated:
        raise _NoPatternError
    return b"[^/]", at + 1


def _member(body: bytes, at: int, before: int | None, syntax: Syntax) -> tuple[bytes, int | None, int]:
    """The next of a set: its expression, the character that a range may begin with, and where the following begins."""
    git = syntax is Syntax.GIT
    if body[at : at + 1] == b"-" and before is not None and body[at + 1 : at + 2] not in {b"", b"]"}:
        last, at = _character(body, at + 1, git)
        if before > last and not git:
            raise _NoPatternError
        return (_byte(before) + b"-" + _byte(last) if before <= last else b""), None, at
    if git and body[at : at + 2] == b"[:":
        return _class(body, at)
    character, at = _character(body, at, git)
    return _byte(character), character, at


def _character(body: bytes, at: int, escapes: bool) -> tuple[int, int]:
    """One of a set, which a backslash may stand before."""
    if escapes and body[at : at + 1] == b"\\":
        at += 1
    if at >= len(body):
        raise _NoPatternError
    return body[at], at + 1


def _class(body: bytes, at: int) -> tuple[bytes, int | None, int]:
    end = body.find(b"]", at + 2)
    if end < 0:
        raise _NoPatternError
    if end == at + 2 or body[end - 1 : end] != b":":
        return _byte(body[at]), body[at], at + 1
    found = _CLASSES.get(body[at + 2 : end - 1])
    if found is None:
        raise _NoPatternError
    return found, None, end + 1


def _byte(value: int) -> bytes:
    return b"\\x%02x" % value
