"""The toolbox behaves the same at the other end of everything: SDK, control plane, node, each driver, guest."""

from collections.abc import AsyncIterator, Iterator

import pytest

from stead.testing.cluster import Cluster
from stead.toolbox import behaviour
from stead.toolbox.contract import Toolbox
from support.areas import PROGRAMS
from support.behaviours import holds

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["process", "scripted"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(driver: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One whose node has the driver."""
    if driver == "process":
        yield request.getfixturevalue("cluster")
        return
    with Cluster(tmp_path_factory.mktemp("scripted"), mode="scripted") as found:
        yield found


@pytest.fixture(scope="module")
async def toolbox(whole: Cluster, driver: str) -> AsyncIterator[Toolbox]:
    async with whole.client() as stead:
        workspace = await stead.workspaces.create(driver=driver, environment={"PATH": PROGRAMS})
        yield workspace.toolbox
        await workspace.delete()


@pytest.mark.parametrize("name", behaviour.CHECKS)
async def test_behaviour(toolbox: Toolbox, name: str) -> None:
    await holds(toolbox, name)
