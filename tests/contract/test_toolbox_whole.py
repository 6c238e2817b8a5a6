"""The toolbox behaves the same at the other end of everything: SDK, control plane, node, sandbox, guest."""

from collections.abc import AsyncIterator

import pytest

from stead.testing.cluster import Cluster
from stead.toolbox import behaviour
from stead.toolbox.contract import Toolbox
from support.areas import PROGRAMS

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def toolbox(cluster: Cluster) -> AsyncIterator[Toolbox]:
    async with cluster.client() as stead:
        workspace = await stead.workspaces.create(environment={"PATH": PROGRAMS})
        yield workspace.toolbox
        await workspace.delete()


@pytest.mark.parametrize("name", behaviour.CHECKS)
async def test_behaviour(toolbox: Toolbox, name: str) -> None:
    async for outcome in behaviour.run(toolbox, [name]):
        assert outcome.ok, outcome.detail
        if outcome.skipped:
            pytest.skip(outcome.detail)
