"""A whole Stead on PostgreSQL, whose server crashes while workspaces are made and commands run."""

import signal
from collections.abc import Iterator

import anyio
import pytest
from anyio import to_thread

from stead.model.workspaces import Observed
from stead.protocol.errors import SteadError
from stead.sdk.client import Stead
from stead.testing.cluster import Cluster
from support.aftermath import Aftermath
from support.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240), pytest.mark.needs_engine("postgres")]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A PostgreSQL that no other test uses."""
    server = Postgres()
    try:
        server.create()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, own_server: Postgres) -> Iterator[Cluster]:
    """A Stead that keeps its state there."""
    url = own_server.url(own_server.new_database())
    with Cluster(tmp_path_factory.mktemp("on-postgres"), database_url=url) as running:
        yield running


async def test_a_database_that_crashes_under_work_loses_nothing(
    cluster: Cluster, own_server: Postgres, aftermath: Aftermath
) -> None:
    async with cluster.client(patience=90) as stead, cluster.client(patience=0.2) as impatient:
        before = await stead.workspaces.create("before")
        assert (await before.exec(["true"])).status.ok
        names = [f"during-{number}" for number in range(3)]
        with anyio.fail_after(150):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(_create, stead, name)
                await anyio.sleep(0.1)
                await to_thread.run_sync(own_server.stop, signal.SIGKILL)
                with pytest.raises(SteadError) as refused:
                    await impatient.workspaces.get("before")
                await to_thread.run_sync(own_server.start)
        assert refused.value.code == "database_unavailable"
        await aftermath.holds(stead)
        made = [workspace async for workspace in stead.workspaces.list()]
        assert sorted(workspace.name for workspace in made) == ["before", *names]
        assert {workspace.state for workspace in made} == {Observed.RUNNING}
        for workspace in made:
            await workspace.delete()
        await aftermath.holds(stead)


async def _create(stead: Stead, name: str) -> None:
    await stead.workspaces.create(name)
