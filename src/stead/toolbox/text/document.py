"""Bytes of a file as text and back: the encoding, the line ends, and how many lines a change added and removed.

Contract: `decode(data, encoding)` gives a `Document`, or "not_text". `Document.encode(text)` is text in the same encoding, or
"invalid" when that has no such characters. Lines end with LF or CRLF; a lone CR is a character.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.text.contract import Encoding, Newline

_MARKS = {
    Encoding.UTF8_MARK: b"\xef\xbb\xbf",
    Encoding.UTF16_LE: b"\xff\xfe",
    Encoding.UTF16_BE: b"\xfe\xff",
}
_PYTHON = {Encoding.UTF8_MARK: "utf-8"}
_EXACT_DISTANCE = 1000
"""Changes of more lines are counted by what lines there are, without their order."""
_LONE_LF = re.compile(r"(?<!\r)\n")


class Document(NamedTuple):
    """A file's text as it is, line ends included."""

    text: str
    encoding: Encoding

    @property
    def newline(self) -> Newline:
        return newline_of(self.text)

    def encode(self, text: str) -> bytes:
        """Other text of this file, as bytes."""
        return encode(text, self.encoding)


def decode(data: bytes, encoding: Encoding = Encoding.AUTO) -> Document:
    """The text of a file."""
    found = _found(data) if encoding is Encoding.AUTO else encoding
    mark = _MARKS.get(found, b"")
    body = data[len(mark) :] if mark and data.startswith(mark) else data
    try:
        text = body.decode(_python(found))
    except UnicodeDecodeError as error:
        raise SteadError("not_text", f"it is not {found.value} (at byte {error.start})", encoding=found.value) from None
    if "\0" in text:
        raise SteadError("not_text", "it has NUL characters, so it is no text", encoding=found.value)
    return Document(text, found)


def encode(text: str, encoding: Encoding) -> bytes:
    """Text as bytes, with the mark of its encoding."""
    kind = Encoding.UTF8 if encoding is Encoding.AUTO else encoding
    if "\0" in text:
        raise SteadError("invalid", "text has no NUL characters")
    try:
        return _MARKS.get(kind, b"") + text.encode(_python(kind))
    except UnicodeEncodeError as error:
        raise SteadError(
            "invalid", f"the character {text[error.start]!a} cannot be written as {kind.value}", encoding=kind.value
        ) from None


def _python(encoding: Encoding) -> str:
    return _PYTHON.get(encoding, encoding.value)


def _found(data: bytes) -> Encoding:
    """By the mark; without one it is UTF-8."""
    return next((kind for kind, mark in _MARKS.items() if data.startswith(mark)), Encoding.UTF8)


def newline_of(text: str) -> Newline:
    """How the lines end."""
    if "\n" not in text:
        return Newline.NONE
    if "\r\n" not in text:
        return Newline.LF
    return Newline.MIXED if _LONE_LF.search(text) else Newline.CRLF


def with_newlines(text: str, newline: Newline) -> str:
    """Text of which every line ends so."""
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if newline is Newline.CRLF else plain


def main_newline(text: str) -> Newline:
    """How most lines end."""
    windows = text.count("\r\n")
    return Newline.CRLF if windows > text.count("\n") - windows else Newline.LF


def lines_of(text: str) -> list[str]:
    """The lines with their ends; the last may have none."""
    lines = text.split("\n")
    last = lines.pop()
    found = [line + "\n" for line in lines]
    return [*found, last] if last else found


def count_lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and bool(text))


def start_of(text: str, line: int, at: int = 0) -> int:
    """Where a line begins, counted from 1 at `at`; the end of the text when there are fewer."""
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
        if not at:
            return len(text)
    return at


def line_changes(old: str, new: str) -> tuple[int, int]:
    """Lines added and removed, as a diff counts them."""
    if old == new:
        return 0, 0
    before, after = lines_of(old), lines_of(new)
    start = _common(before, after)
    before, after = before[start:], after[start:]
    end = _common(before[::-1], after[::-1])
    before, after = before[: len(before) - end], after[: len(after) - end]
    kept = _kept(before, after)
    return len(after) - kept, len(before) - kept


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return number
    return min(len(one), len(other))


def _kept(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines stay: the longest common subsequence, found greedily by the length of the shortest change (Myers)."""
    if not before or not after:
        return 0
    total = len(before) + len(after)
    furthest = {1: 0}
    for distance in range(min(total, _EXACT_DISTANCE) + 1):
        for diagonal in range(-distance, distance + 1, 2):
            down = diagonal == -distance or (diagonal != distance and furthest[diagonal - 1] < furthest[diagonal + 1])
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(before) and y < len(after) and before[x] == after[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(before) and y >= len(after):
                return (total - distance) // 2
    return sum((Counter(before) & Counter(after)).values())
