"""Events: what has changed, page by page and live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from stead.api.types import Event, EventPage
from stead.protocol.messages import EventNotice
from stead.sdk.http import Http
from stead.sdk.link import ClientLink


class Change:
    """Set whenever something about one subject changes."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, at_most: float) -> None:
        """Returns after a change, or when it is time to look anyway."""
        with anyio.move_on_after(at_most):
            await self._event.wait()
        self._event = anyio.Event()


class Events:
    """`stead.events`."""

    def __init__(self, http: Http, link: ClientLink) -> None:
        self._http = http
        self._link = link

    async def list(self, *, subject: str = "", after: str = "") -> AsyncIterator[Event]:
        """What is kept, oldest first; `next` of the last page is where to go on later."""
        while True:
            page = await self._http.get("/events", EventPage, subject=subject, after=after)
            for event in page.items:
                yield event
            if not page.items or page.next == after:
                return
            after = page.next

    async def watch(self, *, subject: str = "", after: str | None = None) -> AsyncIterator[Event]:
        """Live events, for ever, also through reconnects; with `after` (a cursor, or "") those kept come first."""
        seen: set[str] = set()
        async with self._link.watching() as live:
            if after is not None:
                async for event in self.list(subject=subject, after=after):
                    seen.add(event.cursor)
                    yield event
            async for notice in live:
                if notice.cursor in seen or (subject and notice.subject != subject):
                    continue
                yield Event(
                    cursor=notice.cursor, at=notice.at, kind=notice.kind, subject=notice.subject, data=notice.data
                )

    @asynccontextmanager
    async def changes(
        self, subject: str, matters: Callable[[EventNotice], bool] | None = None
    ) -> AsyncIterator[Change]:
        """Tells of every change of one thing from now on, or of those that matter."""
        change = Change()

        def hear(notice: EventNotice | None) -> None:
            if notice is None or (notice.subject == subject and (matters is None or matters(notice))):
                change.set()

        async with self._link.told(hear):
            yield change
