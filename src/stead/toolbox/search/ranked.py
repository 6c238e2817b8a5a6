"""Finding what fits some words best, and symbols by their names, both from the index.

Contract: `RankedSearch.find` and `SymbolSearch.find`. What they say of the index is true at that moment: `complete` false means
that results may be missing.
"""

from __future__ import annotations

import functools
import heapq

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES, FileKind
from stead.toolbox.place import Place
from stead.toolbox.search import contract as c
from stead.toolbox.search import indexer, names
from stead.toolbox.search.index import Index, Progress
from stead.toolbox.search.languages import LANGUAGES, grammar, language_of
from stead.toolbox.search.store import Found, Store
from stead.toolbox.search.symbols import Symbol, symbols
from stead.toolbox.search.words import expression

SNIPPET_LINES = 30
SNIPPET_CHARACTERS = 2000
_SYMBOLS = 50_000
"""The most symbols that are put in order."""


class RankedSearch:
    """search.ranked at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def find(self, asked: c.FindRanked) -> c.Ranked:
        _check(asked.query, asked.limit, c.MOST_RANKED, asked.wait)
        _check_index(asked)
        wanted = await self._place.in_thread(names.Wanted, self._place, asked)
        question = functools.partial(self._found, asked=asked, wanted=wanted)
        found, progress = await self._place.own(Index).ask(asked.wait, question)
        return c.Ranked(results=found, index=_told(progress))

    def _found(self, store: Store, asked: c.FindRanked, wanted: names.Wanted) -> list[c.Piece]:
        words = expression(asked.query)
        found = store.matching(words, wanted.fits, asked.limit) if words else []
        best = found[0].score if found else 1.0
        return [self._piece(each, best or 1.0) for each in found]

    def _piece(self, found: Found, best: float) -> c.Piece:
        lines = indexer.lines(self._place.root, found.path, found.line, found.end_line)
        text = "\n".join(lines[:SNIPPET_LINES])
        snippet = text[:SNIPPET_CHARACTERS]
        return c.Piece(
            id=f"{found.path}:{found.line}-{found.end_line}",
            path=found.path,
            line=found.line,
            end_line=found.end_line,
            kind=found.kind,
            name=found.name,
            language=found.language,
            relevance=round(max(0.0, found.score / best), 4),
            snippet=snippet,
            clipped=len(lines) > SNIPPET_LINES or len(snippet) < len(text),
        )


class SymbolSearch:
    """search.symbols at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def find(self, asked: c.FindSymbols) -> c.Symbols:
        _check(asked.query or "x", asked.limit, c.MOST_SYMBOLS, asked.wait, c.NAME_CHARACTERS)
        wanted = await self._place.in_thread(names.Wanted, self._place, asked)
        if wanted.kind is FileKind.FILE:
            return await self._place.in_thread(self._outline, asked)
        _check_index(asked)
        grammar(LANGUAGES[0])
        question = functools.partial(self._found, asked=asked, wanted=wanted)
        found, progress = await self._place.own(Index).ask(asked.wait, question)
        return msgspec.structs.replace(found, index=_told(progress))

    def _outline(self, asked: c.FindSymbols) -> c.Symbols:
        """The symbols of one file, as it is now, in order."""
        language = language_of(asked.path)
        if not language:
            raise SteadError("invalid", f"symbols are known of {', '.join(LANGUAGES)}", field="path")
        content = self._place.files.read(asked.path, 0, CALL_BYTES)
        path = self._place.root.relative(asked.path)
        found = [each for each in symbols(language, content.content) if _fits(each, asked)]
        told = names.fitting(_symbol(path, language, each) for each in found[: asked.limit])
        cut = len(found) > len(told) or content.size > len(content.content)
        return c.Symbols(symbols=told, total=len(found), truncated=cut)

    def _found(self, store: Store, asked: c.FindSymbols, wanted: names.Wanted) -> c.Symbols:
        letters = "".join(asked.query.split())
        pattern = "%" + "".join(f"\\{letter}%" if letter in "%_\\" else f"{letter}%" for letter in letters)
        rows = store.symbols(pattern, _SYMBOLS + 1)
        found = [row for row in rows if wanted.fits(row[0]) and _fits(row[2], asked)]
        best = heapq.nsmallest(asked.limit, found, key=lambda row: _order(row, letters))
        told = names.fitting(_symbol(*row) for row in best)
        cut = len(found) > len(told) or len(rows) > _SYMBOLS
        return c.Symbols(symbols=told, total=len(found), truncated=cut, missing=_missing())


def _order(row: tuple[str, str, Symbol], letters: str) -> tuple[float, int, str, int]:
    path, _, symbol = row
    tier, length, _, _ = names.rated(symbol.name, symbol.name.lower(), letters)
    return tier, length, path, symbol.line


def _fits(symbol: Symbol, asked: c.FindSymbols) -> bool:
    letters = "".join(asked.query.lower().split())
    return names.has(symbol.name.lower(), letters) and (not asked.kinds or symbol.kind in asked.kinds)


def _symbol(path: str, language: str, symbol: Symbol) -> c.Symbol:
    return c.Symbol(
        name=symbol.name,
        kind=symbol.kind,
        path=path,
        line=symbol.line,
        end_line=symbol.end_line,
        column=symbol.column,
        container=symbol.container,
        language=language,
    )


def _missing() -> list[str]:
    """Languages whose grammar is not installed."""
    missing = []
    for language in LANGUAGES:
        try:
            grammar(language)
        except SteadError:
            missing.append(language)
    return missing


def _told(progress: Progress) -> c.IndexState:
    return c.IndexState(
        complete=progress.complete,
        files=progress.files,
        waiting=progress.waiting,
        skipped=progress.skipped,
        problem=progress.problem,
    )


def _check(query: str, limit: int, most: int, wait: float, characters: int = c.QUERY_CHARACTERS) -> None:
    if not query.strip() or "\0" in query or len(query) > characters:
        raise SteadError("invalid", f"a query has 1 to {characters} characters and no NUL", field="query")
    if not 1 <= limit <= most:
        raise SteadError("invalid", f"limit must be from 1 to {most}", field="limit")
    if not 0 <= wait <= c.WAIT_SECONDS:
        raise SteadError("invalid", f"wait must be from 0 to {c.WAIT_SECONDS:g}", field="wait")


def _check_index(where: c.Where) -> None:
    if where.ignored:
        raise SteadError("invalid", "the index has nothing that ignore files leave out", field="ignored")
