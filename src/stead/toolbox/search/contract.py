"""What can be searched for: params, results, operations, and the face `toolbox.search`.

Contract: paths are relative to the workspace's root. Hidden files and what ignore files leave out are searched only when asked;
`.git` never is, unless it is the path to search. `truncated` says that there was more. Names and lines that are not UTF-8 come
with replacement characters. What cannot be asked is "invalid": no query, an expression or a glob that is none, a limit beyond
the most, symbols of a file in no language of ours. Without ripgrep, or without the grammar of a single file, it is
"program_missing"; an index that could not be built is told as its `problem`.
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack

from stead.toolbox.contract import Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

MATCHES = 1000
"""Matches of a content search unless it says otherwise, and `MOST` at most."""
MOST = 10_000
CONTEXT = 50
"""The most lines before, and after, a match."""
CHARACTERS = 500
"""Characters of a line that are shown unless it says otherwise, and `LONGEST` at most."""
LONGEST = 10_000
SPANS = 100
"""The most places told of one line."""
QUERY_CHARACTERS = 10_000
ANSWER_BYTES = 1 << 20
"""What is found in one answer, as JSON."""
NAMES = 50
"""Files of a search by name unless it says otherwise, and `MOST_NAMES` at most."""
MOST_NAMES = 1000
NAME_CHARACTERS = 200
SYMBOLS = 100
"""Symbols unless it says otherwise, and `MOST_SYMBOLS` at most."""
MOST_SYMBOLS = 5000
RANKED = 15
"""Results of a ranked search unless it says otherwise, and `MOST_RANKED` at most."""
MOST_RANKED = 100
WAIT = 5.0
"""How long the index may take to be complete unless it says otherwise, and `WAIT_SECONDS` at most."""
WAIT_SECONDS = 50.0
PROBLEMS = 20
"""The most files told that could not be searched."""

Case = Literal["sensitive", "insensitive", "smart"]
"""`smart`: insensitive unless the query has a capital."""


class Where(Params):
    """Which files: under `path`, of those that fit an `include` (when there is one) and no `exclude`."""

    path: str = "."
    include: list[str] = []
    exclude: list[str] = []
    hidden: bool = False
    ignored: bool = False


class FindContent(Where, kw_only=True):
    """search.content: a regular expression of ripgrep, or with `literal` a text. `per_file` 0: no limit of its own."""

    query: str
    literal: bool = False
    case: Case = "sensitive"
    word: bool = False
    multiline: bool = False
    before: int = 0
    after: int = 0
    limit: int = MATCHES
    per_file: int = 0
    characters: int = CHARACTERS


class Line(Result, frozen=True):
    """A line around a match."""

    line: int
    text: str
    clipped: bool = False


class Span(Result, frozen=True):
    """Where in the line: bytes from 0 on, and characters from 1 on."""

    start: int
    end: int
    column: int
    end_column: int


class Match(Result, frozen=True):
    """A line with what was found in it, or several lines of a multiline match (`lines`).

    `text` may be a part: `skipped` characters are left out at its beginning, and `clipped` says that there is more at its end.
    `offset` is where the line begins in the file, in bytes.
    """

    path: str
    line: int
    text: str
    spans: list[Span] = []
    offset: int = 0
    lines: int = 1
    skipped: int = 0
    clipped: bool = False
    before: list[Line] = []
    after: list[Line] = []


class Content(Result, frozen=True):
    """Matches by path and line. When there were more than the limit, they are those that were found first.

    `cut` are files with more matches than `per_file`; `problems` says what could not be searched.
    """

    matches: list[Match]
    files: int = 0
    truncated: bool = False
    cut: list[str] = []
    problems: list[str] = []


class FindNames(Where, kw_only=True):
    """search.names: files whose paths have the letters of the query in order; without letters all, by length and path."""

    query: str = ""
    limit: int = NAMES


class Name(Result, frozen=True):
    """A file; `score` is from 0 to 1, `positions` are where in the path the letters are, in characters."""

    path: str
    score: float
    positions: list[int] = []


class Names(Result, frozen=True):
    """The best first; `total` is how many fit."""

    files: list[Name]
    total: int = 0
    truncated: bool = False


class FindSymbols(Where, kw_only=True):
    """search.symbols: of one file all in order, elsewhere those whose names have the letters of the query, the best first.

    Elsewhere the index is asked, which has nothing that ignore files leave out: `ignored` is "invalid". `kinds`: only these.
    `wait`: how many seconds the index may take to be complete.
    """

    query: str = ""
    kinds: list[str] = []
    limit: int = SYMBOLS
    wait: float = WAIT


class FindRanked(Where, kw_only=True):
    """search.ranked: what fits some words best. The index is asked, which has nothing that ignore files leave out: `ignored`
    is "invalid". `wait`: how many seconds the index may take to be complete."""

    query: str
    limit: int = RANKED
    wait: float = WAIT


class IndexState(Result, frozen=True):
    """How far the index is. Only when it is `complete` nothing can be missing.

    `waiting` files are to be brought in; `skipped` are known and left out (not text, too large, made by a machine, or the index
    is full); `problem` says why it could not be built.
    """

    complete: bool
    files: int = 0
    waiting: int = 0
    skipped: int = 0
    problem: str = ""


class Symbol(Result, frozen=True):
    """A definition; `container` is what it is in, outermost first, with dots; `column` is where its name begins, from 1 on."""

    name: str
    kind: str
    path: str
    line: int
    end_line: int
    column: int = 1
    container: str = ""
    language: str = ""


class Symbols(Result, frozen=True):
    """`index` is not told of a single file, which is read as it is now. `missing`: languages whose grammar is not installed."""

    symbols: list[Symbol]
    total: int = 0
    truncated: bool = False
    index: IndexState | None = None
    missing: list[str] = []


class Piece(Result, frozen=True):
    """Lines of a file that fit; `relevance` is from 0 to 1, the best has 1."""

    id: str
    path: str
    line: int
    end_line: int
    kind: str
    relevance: float
    snippet: str
    name: str = ""
    language: str = ""
    clipped: bool = False


class Ranked(Result, frozen=True):
    """The best first."""

    results: list[Piece]
    index: IndexState


class WhereOptions(TypedDict, total=False):
    """The fields of `Where` but for the path, and the limit of each search."""

    include: list[str]
    exclude: list[str]
    hidden: bool
    ignored: bool
    limit: int


class ContentOptions(WhereOptions, total=False):
    """The fields of `FindContent`."""

    literal: bool
    case: Case
    word: bool
    multiline: bool
    before: int
    after: int
    per_file: int
    characters: int


class SymbolOptions(WhereOptions, total=False):
    """The fields of `FindSymbols`."""

    kinds: list[str]
    wait: float


class RankedOptions(WhereOptions, total=False):
    """The fields of `FindRanked`."""

    wait: float


CONTENT = Operation("search.content", FindContent, Content)
NAME = Operation("search.names", FindNames, Names)
SYMBOL = Operation("search.symbols", FindSymbols, Symbols)
RANK = Operation("search.ranked", FindRanked, Ranked)

OPERATIONS = by_name([CONTENT, NAME, SYMBOL, RANK])


class Search:
    """Searches of one toolbox."""

    def __init__(self, toolbox: Asking) -> None:
        self._ask = toolbox.ask

    async def content(self, query: str, path: str = ".", **options: Unpack[ContentOptions]) -> Content:
        """Lines that fit a regular expression of ripgrep, or with `literal` have a text."""
        return await self._ask(CONTENT, FindContent(query=query, path=path, **options))

    async def names(self, query: str = "", path: str = ".", **options: Unpack[WhereOptions]) -> Names:
        """Files whose paths have the letters of the query in order, the best first."""
        return await self._ask(NAME, FindNames(query=query, path=path, **options))

    async def symbols(self, query: str = "", path: str = ".", **options: Unpack[SymbolOptions]) -> Symbols:
        """Definitions in source code: of a file in order, of a directory by the letters of their names."""
        return await self._ask(SYMBOL, FindSymbols(query=query, path=path, **options))

    async def ranked(self, query: str, path: str = ".", **options: Unpack[RankedOptions]) -> Ranked:
        """Pieces of code and prose that fit some words best."""
        return await self._ask(RANK, FindRanked(query=query, path=path, **options))
