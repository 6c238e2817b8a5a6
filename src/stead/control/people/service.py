"""The people's part of the control plane as one thing for the composition root.

Contract: `people = People(store, limits)`; `await people.run()` in a task group works until it is cancelled (audit log,
last uses, forgetting what expired); the services are usable as soon as the object exists.
"""

from __future__ import annotations

import time

import anyio
import structlog

from stead.control.http.limits import Limits
from stead.control.people.audit import Audit
from stead.control.people.identity import Identities
from stead.control.people.live import Live
from stead.control.people.logins import Logins
from stead.control.people.revocation import Revocation
from stead.control.people.sessions import Sessions
from stead.control.people.tickets import Tickets
from stead.control.people.tokens import Tokens
from stead.control.people.users import Users
from stead.control.store import credentials, idempotency
from stead.control.store.store import Store
from stead.protocol.errors import SteadError

log = structlog.get_logger("stead.people")

TOUCH_EVERY = 15.0
FORGET_EVERY = 3_600.0


class People:
    """All of it."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self.identities = Identities(store)
        self.live = Live()
        self.tickets = Tickets(limits.ticket_seconds)
        self.revocation = Revocation(self.identities, self.live, self.tickets)
        self.sessions = Sessions(store, self.revocation, limits.session_seconds)
        self.tokens = Tokens(store, self.revocation)
        self.logins = Logins(store, self.sessions, self.tokens, limits.login_seconds)
        self.users = Users(store, self.logins, self.revocation)
        self.audit = Audit(store)

    async def run(self) -> None:
        """Works until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.audit.run)
            group.start_soon(self._touch)
            group.start_soon(self._forget)

    async def _touch(self) -> None:
        while True:
            await anyio.sleep(TOUCH_EVERY)
            if used := self.identities.take_used():
                await self._quietly(credentials.touch, used)

    async def _forget(self) -> None:
        while True:
            now = time.time()
            await self._quietly(credentials.remove_expired, now)
            await self._quietly(idempotency.remove_before, now - self._limits.idempotency_seconds)
            await anyio.sleep(FORGET_EVERY)

    async def _quietly(self, fn: object, *args: object) -> None:
        try:
            await self._store.write(fn, *args)  # type: ignore[arg-type]
        except SteadError as error:
            log.warning("housekeeping failed", error=error.message)
