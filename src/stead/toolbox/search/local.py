"""The searches, done here."""

from __future__ import annotations

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.search.content import ContentSearch
from stead.toolbox.search.names import NameSearch
from stead.toolbox.search.ranked import RankedSearch, SymbolSearch


def work(place: Place) -> Work:
    """What does each operation of the area."""
    return {
        "search.content": ContentSearch(place).find,
        "search.names": NameSearch(place).find,
        "search.symbols": SymbolSearch(place).find,
        "search.ranked": RankedSearch(place).find,
    }
