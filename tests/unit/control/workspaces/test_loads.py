"""The numbers that placement goes by: kept up with what is placed, and those of the table when counted anew."""

import pytest

from stead.api.types import WorkspaceCreate
from stead.control.core import Core
from stead.control.people.caller import SYSTEM
from stead.control.store import workspaces
from stead.control.workspaces.loads import Loads
from unit.control.fakenode import enrol_known

pytestmark = pytest.mark.anyio


async def test_what_is_placed_counts_at_once(core: Core) -> None:
    await enrol_known(core, "one")
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(node="one"))
    assert made.node_id is not None
    loads = Loads()
    found = await core.store.read(loads.anew)
    assert found == {made.node_id: 1}
    loads.placed(made.node_id)
    loads.placed("nd_other")
    assert found == {made.node_id: 2, "nd_other": 1}
    assert await core.store.read(loads.anew) == {made.node_id: 1}
    assert await core.store.read(workspaces.count_on, made.node_id) == 1
