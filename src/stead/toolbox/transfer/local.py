"""Transfers of this place.

Contract: `work(place)` is the area's work.
"""

from __future__ import annotations

from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.transfer import contract as t
from stead.toolbox.transfer.chunks import Chunks
from stead.toolbox.transfer.partial import Partials


def work(place: Place) -> Work:
    """What does each operation."""
    chunks = place.own(Chunks)
    partials = place.own(Partials)

    async def discard(p: t.PartialName) -> t.Cancelled:
        return t.Cancelled(existed=await place.in_thread(partials.discard, p.partial))

    return {
        t.BEGIN.name: chunks.begin,
        t.CHUNK.name: chunks.chunk,
        t.END.name: chunks.end,
        t.CANCEL.name: chunks.cancel,
        t.OPEN.name: chunks.open,
        t.FETCH.name: chunks.fetch,
        t.PARTIAL.name: lambda p: place.in_thread(partials.show, p.partial),
        t.DISCARD.name: discard,
    }
