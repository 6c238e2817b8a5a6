"""API tokens: credentials of programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from stead.api.types import Token, TokenCreate, TokenCreated, TokenPage
from stead.sdk.http import Http, segment

MONTH = 2_592_000.0


class Tokens:
    """`stead.tokens`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> AsyncIterator[Token]:
        return cast("AsyncIterator[Token]", self._http.pages("/tokens", TokenPage))

    async def create(self, name: str, *, scopes: Sequence[str] = ("*",), lifetime: float = MONTH) -> TokenCreated:
        """The secret is shown once; lifetime 0 never expires."""
        return await self._http.post(
            "/tokens", TokenCreated, TokenCreate(name=name, scopes=[*scopes], lifetime_seconds=lifetime)
        )

    async def delete(self, token: str) -> None:
        """Revokes it; its live links end within a second."""
        await self._http.delete(f"/tokens/{segment(token)}")
