"""Finding what a person means: by name, by id, or by the unique beginning of an id."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Protocol, TypeVar

from stead.protocol.errors import SteadError


class HasId(Protocol):
    """Anything with an id; some also have a name."""

    id: str


T = TypeVar("T", bound=HasId)


async def pick(items: AsyncIterable[T], reference: str, noun: str) -> T:
    """The one that is meant, or "not_found", or "ambiguous"."""
    exact, begins = [], []
    async for item in items:
        if item.id == reference:
            return item
        if getattr(item, "name", None) == reference:
            exact.append(item)
        elif reference and item.id.startswith(reference):
            begins.append(item)
    found = exact or begins
    if not found:
        raise SteadError("not_found", f"no {noun} {reference}")
    if len(found) > 1:
        raise SteadError(
            "ambiguous", f"{len(found)} {noun}s are called {reference}: {', '.join(i.id for i in found[:5])}"
        )
    return found[0]
