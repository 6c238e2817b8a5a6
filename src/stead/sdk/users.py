"""Users: the people of a control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from stead.api.types import User, UserCreate, UserCreated, UserPage, UserPatch
from stead.sdk.http import Http, segment


class Users:
    """`stead.users`; for administrators."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> AsyncIterator[User]:
        return cast("AsyncIterator[User]", self._http.pages("/users", UserPage))

    async def get(self, user: str) -> User:
        return await self._http.get(f"/users/{segment(user)}", User)

    async def create(self, name: str, *, role: str = "member") -> UserCreated:
        """With a single-use login code, shown once."""
        return await self._http.post("/users", UserCreated, UserCreate(name=name, role=role))

    async def update(self, user: str, *, role: str | None = None, disabled: bool | None = None) -> User:
        """Changes what is given; fails with "precondition_failed" when somebody else was faster."""
        return await self._http.change(f"/users/{segment(user)}", User, UserPatch(role=role, disabled=disabled))

    async def login(self, user: str) -> UserCreated:
        """A new single-use login code for somebody who lost the last."""
        return await self._http.post(f"/users/{segment(user)}/login", UserCreated)

    async def delete(self, user: str) -> None:
        await self._http.delete(f"/users/{segment(user)}")
