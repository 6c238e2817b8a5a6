"""The people.

Contract: everyone may see who there is; changes need an administrator. Disabling or removing a user, or changing a role,
ends what lives by their credentials at once. A login gives every right of its user, so only a credential that carries
everything can issue one. The first start makes the user `admin`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from stead.api.types import User, UserCreate, UserCreated, UserPage, UserPatch
from stead.control.people.caller import ADMIN, EVERYTHING, Caller
from stead.control.people.logins import Logins
from stead.control.people.revocation import Revocation
from stead.control.store import users
from stead.control.store.store import Store
from stead.model import ids
from stead.protocol.errors import SteadError

ROLES = (ADMIN, "member")
FIRST = "admin"


class Users:
    """The service."""

    def __init__(
        self, store: Store, logins: Logins, revocation: Revocation, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._logins = logins
        self._revocation = revocation
        self._clock = clock

    async def none(self) -> bool:
        """Whether nobody is there yet."""
        return await self._store.read(users.count) == 0

    async def first(self) -> User:
        """The user `admin`, made when there is nobody; else the first administrator."""
        if await self.none():
            return await self._add(FIRST, ADMIN)
        return await self._store.read(users.first_admin)

    async def list(self, caller: Caller, limit: int, after: str) -> UserPage:
        """In the order of their making."""
        del caller
        return await self._store.read(users.page, after, limit)

    async def get(self, caller: Caller, ref: str) -> User:
        """By id or name."""
        del caller
        return await self._store.read(users.get, ref)

    async def create(self, caller: Caller, body: UserCreate) -> UserCreated:
        """A new user with a one-time login."""
        _check_issuer(caller)
        user = await self._add(ids.check_name(body.name), _role(body.role))
        return UserCreated(user=user, login=await self._logins.issue(user.id))

    async def patch(self, caller: Caller, ref: str, body: UserPatch, if_version: int | None) -> User:
        """Another role, disabled or not."""
        caller.require_admin()
        role = None if body.role is None else _role(body.role)
        user = await self._store.write(users.patch, ref, role, body.disabled, if_version)
        self._revocation.user(user.id)
        return user

    async def remove(self, caller: Caller, ref: str) -> User:
        """Removes a user with all their credentials."""
        caller.require_admin()
        user = await self._store.write(users.remove, ref)
        self._revocation.user(user.id)
        return user

    async def login(self, caller: Caller, ref: str) -> UserCreated:
        """A new one-time login for a user."""
        _check_issuer(caller)
        user = await self._store.read(users.get, ref)
        if user.disabled:
            raise SteadError("conflict", "the user is disabled")
        return UserCreated(user=user, login=await self._logins.issue(user.id))

    async def _add(self, name: str, role: str) -> User:
        now = self._clock()
        user_id = ids.make(ids.Kind.USER, now, os.urandom(ids.ENTROPY_BYTES))
        user = User(id=user_id, name=name, role=role, disabled=False, created=now, version=1)
        return await self._store.write(users.add, user)


def _check_issuer(caller: Caller) -> None:
    """A token with fewer scopes must not get the rest by way of a login."""
    caller.require_admin()
    if EVERYTHING not in caller.scopes:
        raise SteadError(
            "forbidden", f"a login carries every right; this needs a credential with the scope {EVERYTHING}"
        )


def _role(text: str) -> str:
    if text not in ROLES:
        raise SteadError("invalid", f"role: {' or '.join(ROLES)}")
    return text
