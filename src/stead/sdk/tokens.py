"""API tokens: credentials of programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from stead.api.types import Token, TokenCreate, TokenCreated, TokenPage
from stead.sdk.http import Http, segment


class Tokens:
    """`stead.tokens`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> AsyncIterator[Token]:
        return cast("AsyncIterator[Token]", self._http.pages("/tokens", TokenPage))

    async def create(self, name: str, *, scopes: Sequence[str] = ("*",), lifetime: float | None = None) -> TokenCreated:
        """The secret is shown once. Lifetime 0 never expires; none is 30 days, or until the end of the token that asks."""
        return await self._http.post(
            "/tokens", TokenCreated, TokenCreate(name=name, scopes=[*scopes], lifetime_seconds=lifetime)
        )

    async def delete(self, token: str) -> None:
        """Revokes it, and those that were made with it; their live links end within a second."""
        await self._http.delete(f"/tokens/{segment(token)}")
