"""Pieces of a file that are found on their own: a function, the head of a class, a section, or so many lines.

Contract: `chunks(language, text, symbols)` gives pieces that cover the file, each with lines from 1 on, a kind and a name. `""`
as the language is prose or what has no grammar here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stead.toolbox.search.symbols import Symbol

LINES = 60
"""The longest piece."""
_FEW = 4
"""Shorter pieces go with the one before."""
_PIECES = frozenset({"function", "method", "class", "interface", "struct", "trait", "enum", "module"})
_CODE = frozenset({"function", "method"})
_ABOVE = ("#", "@", "//", "/*", "*", "'''", '"""')


class Chunk(NamedTuple):
    """Lines of a file."""

    line: int
    end_line: int
    kind: str
    name: str
    text: str


def chunks(language: str, text: str, symbols: Sequence[Symbol]) -> list[Chunk]:
    lines = lines_of(text)
    owners = _code(lines, symbols) if symbols else _prose(lines, language)
    found: list[Chunk] = []
    start = 0
    for at in range(1, len(lines) + 1):
        if at < len(lines) and owners[at] == owners[start] and at - start < LINES:
            continue
        kind, name = owners[start]
        found = _with(found, Chunk(start + 1, at, kind, name, "\n".join(lines[start:at])))
        start = at
    return found


def lines_of(text: str) -> list[str]:
    """As ripgrep and the grammars count them: nothing else ends a line than a line feed."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


Owner = tuple[str, str]


def _with(found: list[Chunk], chunk: Chunk) -> list[Chunk]:
    """Added, or put together with the one before when it is short and has no name of its own; blank ones are dropped."""
    if not chunk.text.strip():
        return found
    if found and chunk.kind not in _CODE and chunk.end_line - chunk.line < _FEW:
        last = found[-1]
        nameless = chunk.kind in {"code", "text"} or (chunk.name and last.name.startswith(f"{chunk.name}."))
        if nameless and chunk.end_line - last.line < LINES:
            found[-1] = last._replace(end_line=chunk.end_line, text=f"{last.text}\n{chunk.text}")
            return found
    found.append(chunk)
    return found


def _code(lines: list[str], symbols: Sequence[Symbol]) -> list[Owner]:
    """To whom each line belongs; a function in a function belongs to the outer one."""
    owners: list[Owner] = [("code", "")] * len(lines)
    for symbol in symbols:
        first, end = symbol.line - 1, min(symbol.end_line, len(lines))
        if symbol.kind not in _PIECES or first >= end or owners[first][0] in _CODE:
            continue
        while first > 0 and lines[first - 1].lstrip().startswith(_ABOVE) and owners[first - 1][0] not in _CODE:
            first -= 1
        name = f"{symbol.container}.{symbol.name}" if symbol.container else symbol.name
        owners[first:end] = [(symbol.kind, name)] * (end - first)
    return owners


def _prose(lines: list[str], language: str) -> list[Owner]:
    """Sections by their headings."""
    owner: Owner = ("code" if language else "text", "")
    owners: list[Owner] = []
    for line in lines:
        if not language and line.startswith("#") and line.lstrip("#").startswith(" "):
            owner = ("section", line.strip("# ")[:200])
        owners.append(owner)
    return owners
