"""Forgets what is older than it is kept: ended commands, events, deleted workspaces, tokens that nobody used.

Contract: `run(store, days)` works until cancelled; `forget(store, before)` once, a bounded part in each unit.
"""

from __future__ import annotations

import logging
import time

import anyio

from stead.control.store import commands, events, nodes, workspaces
from stead.control.store.store import Store
from stead.protocol.errors import SteadError

log = logging.getLogger(__name__)

DAY = 86_400.0
PASS_SECONDS = 3600.0
AT_ONCE = 1000


async def run(store: Store, days: float) -> None:
    """Once at start and then every hour."""
    while True:
        try:
            await forget(store, time.time() - days * DAY)
        except SteadError as error:
            log.warning("old entries could not be removed: %s", error.message)
        await anyio.sleep(PASS_SECONDS)


async def forget(store: Store, before: float) -> None:
    """Removes what is from before."""
    for part in (commands.forget, events.forget, workspaces.forget):
        while await store.write(part, before, AT_ONCE) == AT_ONCE:
            pass
    await store.write(nodes.forget_enrolments, before)
