"""Finding files by some letters of their names: all letters in order, the better placed first.

Contract: `ranked(listing, asked, wanted)` gives what is found, best first: the whole name, its beginning, a part of it at the
start of a word, letters that begin words, any part, a part of the path, then letters apart, of which those at starts of words,
in the name and side by side count more; shorter paths first. Capitals do not matter, but break ties.
"""

from __future__ import annotations

import heapq
import itertools
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind
from stead.toolbox.ignoring.globs import Chosen
from stead.toolbox.place import Place
from stead.toolbox.search import contract as c
from stead.toolbox.search.files import FileList, Listing, listed

T = TypeVar("T")

_STARTS = frozenset("/_-. ")
_INITIALS = 2.5
"""The tier of letters that begin words."""
_APART = 5.0
"""The tier of letters apart."""


class NameSearch:
    """search.names at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def find(self, asked: c.FindNames) -> c.Names:
        if "\0" in asked.query or len(asked.query) > c.NAME_CHARACTERS:
            raise SteadError("invalid", f"a query has at most {c.NAME_CHARACTERS} characters and no NUL", field="query")
        if not 1 <= asked.limit <= c.MOST_NAMES:
            raise SteadError("invalid", f"limit must be from 1 to {c.MOST_NAMES}", field="limit")
        wanted = await self._place.in_thread(Wanted, self._place, asked)
        listing = await self._place.own(FileList).of(ignored=asked.ignored)
        if not wanted.below(listing)[1]:
            listing = await self._left_out(asked)
        return await self._place.in_thread(ranked, listing, asked, wanted)

    async def _left_out(self, asked: c.FindNames) -> Listing:
        """Who names a directory that ignore files leave out means it."""
        paths, truncated = await listed(self._place, ignored=asked.ignored, path=asked.path)
        return Listing(sorted(paths), truncated=truncated)


class Wanted:
    """Which of all files are asked for; refuses what cannot be. Letters are sought in the path below the one asked for."""

    def __init__(self, place: Place, where: c.Where) -> None:
        found = place.files.stat(where.path)
        self.kind = found.kind
        self._directory = found.kind is not FileKind.FILE
        self._path = "" if found.path == "." else found.path
        self._include = Chosen(where.include, "include") if where.include else None
        self._exclude = Chosen(where.exclude, "exclude") if where.exclude else None
        self._hidden = where.hidden

    def below(self, listing: Listing) -> tuple[str, list[str], list[str]]:
        """What comes before each path, the paths without it, and those in small letters."""
        if not self._path:
            return "", listing.paths, listing.lower
        base = self._path + "/" if self._directory else self._path[: self._path.rfind("/") + 1]
        first = bisect_left(listing.paths, base if self._directory else self._path)
        found: list[str] = []
        for path in itertools.islice(listing.paths, first, None):
            if not path.startswith(base if self._directory else self._path):
                break
            if self._directory or path == self._path:
                found.append(path[len(base) :])
        return base, found, [path.lower() for path in found]

    def fits(self, path: str) -> bool:
        """Whether a path of the workspace is asked for."""
        if not self._path or path == self._path:
            return self.has("", path)
        base = self._path + "/"
        return path.startswith(base) and self.has(base, path[len(base) :])

    def has(self, base: str, path: str) -> bool:
        """Dots count below the path asked for, globs in the whole."""
        if not self._hidden and (path.startswith(".") or "/." in path):
            return False
        if self._exclude is not None and self._exclude.has(base + path):
            return False
        return self._include is None or self._include.has(base + path)


def ranked(listing: Listing, asked: c.FindNames, wanted: Wanted) -> c.Names:
    """The best of the files that fit."""
    query = "".join(asked.query.split())
    base, paths, lower = wanted.below(listing)
    found = [at for at in _candidates(lower, query.lower()) if wanted.has(base, paths[at])]
    best = heapq.nsmallest(asked.limit, (rated(paths[at], lower[at], query) for at in found))
    files = fitting(
        c.Name(path=base + path, score=round(1.0 / (1.0 + tier), 4), positions=[len(base) + at for at in positions])
        for tier, _, path, positions in best
    )
    return c.Names(files=files, total=len(found), truncated=len(found) > len(files) or listing.truncated)


def fitting(items: Iterable[T]) -> list[T]:
    """As many as one answer carries."""
    kept: list[T] = []
    left = c.ANSWER_BYTES
    for item in items:
        left -= len(msgspec.json.encode(item))
        if left < 0:
            break
        kept.append(item)
    return kept


def _candidates(paths: list[str], query: str) -> Iterable[int]:
    """Those that have all letters in order."""
    if not query:
        return range(len(paths))
    fits = re.compile("".join(f"[^{re.escape(letter)}]*+{re.escape(letter)}" for letter in query), re.DOTALL).match
    return [at for at, path in enumerate(paths) if fits(path)]


Rated = tuple[float, int, str, list[int]]
"""Tier (less is better), length, path, where the letters are."""


def rated(path: str, lower: str, query: str) -> Rated:
    """How well a path, or a name, fits letters that it has."""
    letters = query.lower()
    cased = path if len(lower) == len(path) else lower
    start = lower.rfind("/") + 1
    tier, place = _together(cased, lower, letters, start)
    if (place < 0 or tier > _INITIALS) and (initials := _initials(cased, lower, letters, start)):
        return _INITIALS, len(path), path, initials
    if place >= 0:
        exact = 0.0 if path[place : place + len(query)] == query else 0.1
        return tier + exact, len(path), path, list(range(place, place + len(letters)))
    positions = _apart(cased, lower, letters, start)
    return _APART + _spread(cased, positions, start), len(path), path, positions


def _together(path: str, lower: str, letters: str, start: int) -> tuple[float, int]:
    """The tier of a part that has all letters side by side, and where it is; -1 when there is none."""
    if not letters:
        return 0.0, 0
    place = lower.find(letters, start)
    if place < 0:
        place = lower.rfind(letters)
        return 4.0, place
    name = lower[start:]
    if name == letters or name.rpartition(".")[0] == letters:
        return (0.0 if name == letters else 0.2), place
    if place == start:
        return 1.0, place
    while place >= 0:
        if _begins(path, place):
            return 2.0, place
        place = lower.find(letters, place + 1)
    return 3.0, lower.find(letters, start)


def _begins(path: str, at: int) -> bool:
    """Whether a word begins here."""
    if at == 0 or path[at - 1] in _STARTS:
        return True
    before, here = path[at - 1], path[at]
    return (here.isupper() and not before.isupper()) or (here.isdigit() and not before.isdigit())


def _apart(path: str, lower: str, letters: str, start: int) -> list[int]:
    """Places of the letters: in the name where it has them all, at starts of words where that leaves room for the rest."""
    begin = start if has(lower, letters, start) else 0
    return _places(path, lower, letters, begin, prefer=True) or _places(path, lower, letters, begin, prefer=False)


def _initials(path: str, lower: str, letters: str, start: int) -> list[int]:
    """Places in the name where each letter begins a word or follows the one before; none when there are no such."""
    places = _places(path, lower, letters, start, prefer=True)
    if all(_begins(path, at) or (index and at == places[index - 1] + 1) for index, at in enumerate(places)):
        return places
    return []


def has(lower: str, letters: str, at: int = 0) -> bool:
    """Whether all letters are there in order."""
    for letter in letters:
        at = lower.find(letter, at) + 1
        if not at:
            return False
    return True


def _places(path: str, lower: str, letters: str, at: int, *, prefer: bool) -> list[int]:
    found: list[int] = []
    for letter in letters:
        place = lower.find(letter, at)
        if prefer and place >= 0 and not (found and place == found[-1] + 1):
            better = place
            while better >= 0 and not _begins(path, better):
                better = lower.find(letter, better + 1)
            place = place if better < 0 else better
        if place < 0:
            return []
        found.append(place)
        at = place + 1
    return found


def _spread(path: str, positions: list[int], start: int) -> float:
    """How badly the letters are placed, from 0 on."""
    worth = 0.0
    for index, place in enumerate(positions):
        if index and place == positions[index - 1] + 1:
            worth += 1.0
        elif _begins(path, place):
            worth += 0.9
        if place >= start:
            worth += 0.5
    return 10.0 * (1.0 - worth / (1.5 * len(positions)))
