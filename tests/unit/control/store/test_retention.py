"""What is older than it is kept goes; the rest stays."""

import time

import pytest

from stead.api.types import NodeTokenCreate, WorkspaceCreate
from stead.control.commands.service import CommandFilter
from stead.control.core import Core
from stead.control.people.caller import SYSTEM
from stead.control.store import events, retention
from stead.control.store.rows import Connection
from stead.control.store.schema import enrolments
from stead.control.workspaces.service import WorkspaceFilter
from unit.control.fakenode import enrol
from unit.control.waiting import until_state

pytestmark = pytest.mark.anyio


async def test_ended_commands_events_and_deleted_workspaces_are_forgotten(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        for name in ("old", "kept"):
            await core.workspaces.create(SYSTEM, WorkspaceCreate(name=name))
            await until_state(core, name, "running")
        gone = (await core.workspaces.delete(SYSTEM, "old")).id
        await until_state(core, gone, "deleted")
    await core.workspaces.stop(SYSTEM, "kept")
    await core.nodes.create_token(SYSTEM, NodeTokenCreate(lifetime_seconds=60))
    await retention.forget(core.store, time.time() + 100)
    assert [c.state for c in (await core.commands.list(SYSTEM, CommandFilter(), 50, "")).items] == ["queued"]
    assert len((await core.store.read(events.page, SYSTEM, "", "", 50)).items) == 1
    assert (await core.workspaces.list(SYSTEM, WorkspaceFilter(state="deleted"), 50, "")).items == []
    assert [w.name for w in (await core.workspaces.list(SYSTEM, WorkspaceFilter(), 50, "")).items] == ["kept"]
    assert await core.store.read(_tokens) == 1
    await retention.forget(core.store, time.time() + 4000)
    assert await core.store.read(_tokens) == 0


async def test_what_is_young_stays(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "running")
    before = len((await core.store.read(events.page, SYSTEM, "", "", 50)).items)
    await retention.forget(core.store, time.time() - 30 * retention.DAY)
    assert len((await core.store.read(events.page, SYSTEM, "", "", 50)).items) == before
    assert len((await core.commands.list(SYSTEM, CommandFilter(), 50, "")).items) == 1


def _tokens(conn: Connection) -> int:
    return len(conn.execute(enrolments.select()).all())
