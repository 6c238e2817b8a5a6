"""The searches, done here. What needs the index is loaded when it is first wanted."""

from __future__ import annotations

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.search import contract as c
from stead.toolbox.search.content import ContentSearch
from stead.toolbox.search.names import NameSearch


def work(place: Place) -> Work:
    """What does each operation of the area."""

    async def symbols(asked: c.FindSymbols) -> c.Symbols:
        from stead.toolbox.search.ranked import SymbolSearch

        return await SymbolSearch(place).find(asked)

    async def ranked(asked: c.FindRanked) -> c.Ranked:
        from stead.toolbox.search.ranked import RankedSearch

        return await RankedSearch(place).find(asked)

    return {
        "search.content": ContentSearch(place).find,
        "search.names": NameSearch(place).find,
        "search.symbols": symbols,
        "search.ranked": ranked,
    }
