"""The audit log: who did what, with what end.

Contract: `await record(entry)` returns when the entry is durable; `post(entry)` returns at once and is durable a moment
later (for what must not wait, such as calls on a link). `run()` writes; entries of one moment share one unit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import structlog

from stead.api.types import AuditEntry, AuditPage
from stead.control.people.caller import Caller
from stead.control.store import audits
from stead.control.store.fresh import entropy
from stead.control.store.store import Store
from stead.model import ids
from stead.protocol.errors import SteadError

log = structlog.get_logger("stead.audit")

OK = "ok"
GATHER_SECONDS = 0.1
"""How long posted entries wait for company: one unit for many, and the most that a crash can lose of them."""
RETRY_SECONDS = 1.0
_WAITING = 10_000
_BATCH = 500
_LONGEST = 200


class Audit:
    """The log."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[AuditEntry] = []
        self._wake = anyio.Event()

    def entry(
        self,
        caller: Caller | None,
        action: str,
        subject: str,
        outcome: str = OK,
        details: dict[str, Any] | None = None,
    ) -> AuditEntry:
        """An entry of now; without a caller somebody who did not log in."""
        now = self._clock()
        return AuditEntry(
            id=ids.make(ids.Kind.EVENT, now, entropy()),
            at=now,
            actor=caller.user_id if caller else "",
            via=f"{caller.via}:{caller.credential_id}" if caller else "",
            action=action,
            subject=_plain(subject),
            outcome=_plain(outcome),
            details=details or {},
        )

    async def record(self, entry: AuditEntry) -> None:
        """Durable when this returns."""
        await self._store.write(audits.append, [entry])

    def post(self, entry: AuditEntry) -> None:
        """Durable soon; "too_many" when the log cannot keep up."""
        if len(self._waiting) >= _WAITING:
            raise SteadError("too_many", "the audit log cannot keep up")
        self._waiting.append(entry)
        self._wake.set()

    async def run(self) -> None:
        """Writes what was posted, until cancelled; what waits then is still written."""
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                await anyio.sleep(GATHER_SECONDS)
                while not await self._flush():
                    await anyio.sleep(RETRY_SECONDS)
        finally:
            await self._flush()

    async def page(self, caller: Caller, actor: str, subject: str, action: str, after: str, limit: int) -> AuditPage:
        """Newest first."""
        caller.require_admin()
        return await self._store.read(audits.page, actor, subject, action, after, limit)

    async def _flush(self) -> bool:
        """Writes all that waits, each entry once, also when cancelled meanwhile; False when the database does not take it."""
        with anyio.CancelScope(shield=True):
            while self._waiting:
                batch = self._waiting[:_BATCH]
                try:
                    await self._store.write(audits.append, batch)
                except SteadError as error:
                    log.error("audit entries wait", waiting=len(self._waiting), error=error.message)
                    return False
                del self._waiting[: len(batch)]
        return True


def _plain(text: str) -> str:
    """What others chose, such that every database takes it and every terminal may show it: one bad entry holds up none."""
    text = text[:_LONGEST]
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)
