"""Lines and columns: ours (from 1, characters) and those of servers (from 0, UTF-16 or characters); addresses of files.

Contract: `Lines(text)` turns one into the other; what lies beyond a line or a file is brought to its end.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

import msgspec

from stead.protocol.errors import SteadError

_ESCAPED = re.compile(r"[%?#;\x00-\x1f]")
_END = re.compile(r"\r\n|\n|\r")
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class Position(msgspec.Struct, frozen=True):
    """As the protocol has it."""

    line: Count
    character: Count


class Range(msgspec.Struct, frozen=True):
    """As the protocol has it."""

    start: Position
    end: Position


class Lines:
    """The lines of a text. `wide`: the server counts units of UTF-16."""

    def __init__(self, text: str, *, wide: bool) -> None:
        self._lines = _END.split(text)
        self._wide = wide

    def theirs(self, line: int, column: int) -> Position:
        """What is no place in the text is "invalid"."""
        if not 1 <= line <= len(self._lines):
            raise SteadError("invalid", f"the file has the lines 1 to {len(self._lines)}", field="line")
        text = self._lines[line - 1]
        if not 1 <= column <= len(text) + 1:
            raise SteadError("invalid", f"line {line} has the columns 1 to {len(text) + 1}", field="column")
        before = text[: column - 1]
        return Position(line - 1, _units(before) if self._wide else len(before))

    def ours(self, position: Position) -> tuple[int, int]:
        """Line and column."""
        if position.line >= len(self._lines):
            return len(self._lines), len(self._lines[-1]) + 1
        text = self._lines[position.line]
        if not self._wide or text.isascii():
            return position.line + 1, min(position.character, len(text)) + 1
        raw = text.encode("utf-16-le", "surrogatepass")[: position.character * 2]
        return position.line + 1, len(raw.decode("utf-16-le", "ignore")) + 1

    def text(self, line: int) -> str:
        """One line, counted from 1."""
        return self._lines[line - 1] if line <= len(self._lines) else ""


def address(path: str, *, bare: bool = False) -> str:
    """Of an absolute path; `bare`: only what would be no part of the path is escaped."""
    return "file://" + (_ESCAPED.sub(lambda found: quote(found[0]), path) if bare else quote(path))


def path_of(uri: str) -> str | None:
    """The absolute path of an address; None when it is not a file's."""
    if not uri.startswith("file:///"):
        return None
    return unquote_to_bytes(uri.removeprefix("file://")).decode("utf-8", "replace")


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
