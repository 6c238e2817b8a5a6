"""Waiting for the control core to get somewhere, woken by its own hints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from stead.api.types import Workspace
from stead.control.core import Core
from stead.control.people.caller import SYSTEM

PATIENCE = 30.0


async def until(core: Core, holds: Callable[[], Awaitable[bool]]) -> None:
    """Looks again whenever an event was committed."""
    with anyio.fail_after(PATIENCE):
        while True:
            mark = core.store.hints.mark()
            if await holds():
                return
            with anyio.move_on_after(0.25):
                await mark.wait()


async def until_state(core: Core, ref: str, *states: str) -> Workspace:
    """The workspace once it is in one of these states."""

    async def holds() -> bool:
        return (await core.workspaces.get(SYSTEM, ref)).state.value in states

    await until(core, holds)
    return await core.workspaces.get(SYSTEM, ref)
