"""Browser sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from stead.api.types import Session, SessionPage
from stead.sdk.http import Http, segment


class Sessions:
    """`stead.sessions`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> AsyncIterator[Session]:
        return cast("AsyncIterator[Session]", self._http.pages("/sessions", SessionPage))

    async def delete(self, session: str) -> None:
        """Ends it; its live links end within a second."""
        await self._http.delete(f"/sessions/{segment(session)}")
