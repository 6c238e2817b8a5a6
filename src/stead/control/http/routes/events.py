"""What changed, page by page; live over the client link."""

from __future__ import annotations

from litestar import get

from stead.api.types import EventPage
from stead.control.http.guards import needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, Limit, Word
from stead.control.store import events
from stead.protocol.methods import Right


@get("/events", operation_id="listEvents", opt=needs(Right.READ), tags=["events"])
async def list_events(
    caller: Asker, services: Given, subject: Word = "", limit: Limit = FIRST_PAGE, after: After = ""
) -> EventPage:
    """The events that the caller may see, oldest first; `next` is where to go on, also at the end."""
    return await services.store.read(events.page, caller, subject, after, limit)


ROUTES = [list_events]
