"""What people do with workspaces."""

import asyncio
from pathlib import Path

import anyio
import pytest

from stead.api.types import Workspace, WorkspaceCreate, WorkspacePatch
from stead.control.core import Core
from stead.control.nodes.service import NodeFilter
from stead.control.people.caller import SYSTEM, Caller
from stead.control.store.store import open_store
from stead.control.workspaces.service import WorkspaceFilter
from stead.model.workspaces import Isolation
from stead.protocol.errors import SteadError
from unit.control.fakenode import enrol, enrol_known
from unit.control.waiting import until, until_state

pytestmark = pytest.mark.anyio


def member(name: str, *scopes: str) -> Caller:
    return Caller(user_id=f"us_{name}", name=name, role="member", scopes=frozenset(scopes or ("*",)), via="token")


ANN, BOB = member("ann"), member("bob")


async def refused(code: str, asked: object) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await asked  # type: ignore[misc]
    assert caught.value.code == code, caught.value
    return caught.value


async def listed(core: Core, caller: Caller, limit: int = 50, after: str = "", **filters: object) -> list[str]:
    page = await core.workspaces.list(caller, WorkspaceFilter(**filters), limit, after)  # type: ignore[arg-type]
    return [item.name for item in page.items]


async def test_the_same_key_makes_one_workspace(core: Core) -> None:
    await enrol_known(core, "one")
    body = WorkspaceCreate(name="w", node="one")
    made = await asyncio.gather(*[core.workspaces.create(ANN, body, "k1") for _ in range(8)])
    assert {workspace.id for workspace in made} == {made[0].id}
    await refused("key_reused", core.workspaces.create(ANN, WorkspaceCreate(name="v", node="one"), "k1"))
    await refused("already_exists", core.workspaces.create(ANN, body, "k2"))
    other = await core.workspaces.create(BOB, body, "k1")
    assert other.id != made[0].id


async def test_a_name_is_made_where_none_is_given(core: Core) -> None:
    await enrol_known(core, "one")
    made = await core.workspaces.create(ANN, WorkspaceCreate(node="one"))
    assert made.name == f"ws-{made.id[-8:]}"


async def test_what_a_reference_may_be(core: Core) -> None:
    await enrol_known(core, "one")
    made = [await core.workspaces.create(ANN, WorkspaceCreate(name=name, node="one")) for name in ("a", "b")]
    for ref in (made[0].id, "a", made[0].id[:-1]):
        assert (await core.workspaces.get(ANN, ref)).id == made[0].id
    await refused("ambiguous", core.workspaces.get(ANN, made[0].id[:4]))
    for nothing in ("c", "ws_", "", "a" * 10_000, "%", "\0", made[0].id + "0"):
        await refused("not_found", core.workspaces.get(ANN, nothing))


async def test_others_do_not_exist_for_a_member(core: Core) -> None:
    await enrol_known(core, "one")
    made = await core.workspaces.create(ANN, WorkspaceCreate(name="w", node="one"))
    for ref in (made.id, "w"):
        await refused("not_found", core.workspaces.get(BOB, ref))
        await refused("not_found", core.workspaces.delete(BOB, ref))
    assert await listed(core, BOB) == []
    assert await listed(core, BOB, owner="us_ann") == []
    assert await listed(core, SYSTEM) == ["w"]
    assert (await core.workspaces.get(SYSTEM, "w")).owner == "us_ann"
    await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
    assert (await core.workspaces.get(SYSTEM, "w")).owner == "system"


async def test_rights_are_asked(core: Core) -> None:
    reader = member("ann", "workspace:read")
    await refused("forbidden", core.workspaces.create(reader, WorkspaceCreate()))
    for verb in ("start", "stop", "restart", "delete"):
        await refused("forbidden", getattr(core.workspaces, verb)(reader, "w"))
    await refused("forbidden", core.workspaces.get(member("ann", "workspace:exec"), "w"))


async def test_pages_and_filters(core: Core) -> None:
    await enrol_known(core, "one")
    for number in range(5):
        labels = {"even": "yes" if number % 2 == 0 else "no"}
        await core.workspaces.create(ANN, WorkspaceCreate(name=f"w{number}", node="one", labels=labels))
    page = await core.workspaces.list(ANN, WorkspaceFilter(), 2, "")
    assert [item.name for item in page.items] == ["w4", "w3"]
    rest = await core.workspaces.list(ANN, WorkspaceFilter(), 3, page.next)
    assert [item.name for item in rest.items] == ["w2", "w1", "w0"]
    assert rest.next == ""
    assert await listed(core, ANN, labels={"even": "yes"}) == ["w4", "w2", "w0"]
    assert await listed(core, ANN, name="w3") == ["w3"]
    assert await listed(core, ANN, node="one", state="pending") == ["w4", "w3", "w2", "w1", "w0"]
    assert await listed(core, ANN, node="two") == []


async def test_two_editors_meet(core: Core) -> None:
    await enrol_known(core, "one")
    made = await core.workspaces.create(ANN, WorkspaceCreate(name="w", node="one"))
    changed = await core.workspaces.patch(ANN, "w", WorkspacePatch(labels={"a": "b"}), made.version)
    assert (changed.labels, changed.version) == ({"a": "b"}, made.version + 1)
    await refused("precondition_failed", core.workspaces.patch(ANN, "w", WorkspacePatch(name="v"), made.version))
    assert (await core.workspaces.patch(ANN, "w", WorkspacePatch(name="v"), None)).name == "v"
    await core.workspaces.create(ANN, WorkspaceCreate(name="w", node="one"))
    await refused("already_exists", core.workspaces.patch(ANN, "w", WorkspacePatch(name="v"), None))


@pytest.mark.parametrize(
    "body",
    [
        WorkspaceCreate(name="UPPER"),
        WorkspaceCreate(name="x" * 10_000),
        WorkspaceCreate(driver="no/driver"),
        WorkspaceCreate(labels={'a"b': "c"}),
        WorkspaceCreate(labels={"a": "\n"}),
        WorkspaceCreate(node_labels={"": "c"}),
        WorkspaceCreate(labels={str(n): "" for n in range(65)}),
        WorkspaceCreate(environment={"A=B": "c"}),
        WorkspaceCreate(environment={"A": "\0"}),
        WorkspaceCreate(environment={"A": "x" * 40_000}),
        WorkspaceCreate(setup=[""]),
        WorkspaceCreate(setup=["x"] * 65),
        WorkspaceCreate(cpus=-1),
        WorkspaceCreate(cpus=float("nan")),
        WorkspaceCreate(memory_bytes=-1),
        WorkspaceCreate(processes=1 << 40),
    ],
)
async def test_bad_requests_are_invalid(core: Core, body: WorkspaceCreate) -> None:
    await refused("invalid", core.workspaces.create(ANN, body))


async def test_placement_says_why_nothing_fits(core: Core) -> None:
    await refused("no_node", core.workspaces.create(ANN, WorkspaceCreate()))
    node = await enrol(core, "one")
    node.max_workspaces, node.labels = 1, {"zone": "a"}
    async with node.link(core):
        error = await refused(
            "isolation_unavailable", core.workspaces.create(ANN, WorkspaceCreate(isolation=Isolation.VM))
        )
        assert "vm is asked" in error.message
        error = await refused("no_node", core.workspaces.create(ANN, WorkspaceCreate(node_labels={"zone": "b"})))
        assert error.details == {"nodes": {"one": "lacks the label zone=b"}}
        await core.workspaces.create(ANN, WorkspaceCreate(name="w", node_labels={"zone": "a"}))
        error = await refused("no_node", core.workspaces.create(ANN, WorkspaceCreate()))
        assert "is full" in error.message
        await core.nodes.drain(SYSTEM, "one")
        assert "is draining" in (await refused("no_node", core.workspaces.create(ANN, WorkspaceCreate()))).message
        await refused("not_found", core.workspaces.create(ANN, WorkspaceCreate(node="none")))
    offline = await refused("no_node", core.workspaces.create(ANN, WorkspaceCreate(driver="docker", node="one")))
    assert "draining" in offline.message


async def test_workspaces_spread_over_nodes(core: Core) -> None:
    one, two = await enrol(core, "one"), await enrol(core, "two")
    async with one.link(core), two.link(core):
        made = [await core.workspaces.create(ANN, WorkspaceCreate()) for _ in range(6)]
    names = [workspace.node_name for workspace in made]
    assert (names.count("one"), names.count("two")) == (3, 3)


async def test_what_is_asked_before_a_node_had_it_replaces_what_waits(core: Core) -> None:
    node = await enrol_known(core, "one")
    await core.workspaces.create(ANN, WorkspaceCreate(name="w", node="one"))
    deleted = await core.workspaces.delete(ANN, "w")
    assert deleted.state.value == "deleted"
    await refused("not_found", core.workspaces.get(ANN, "w"))
    await core.workspaces.create(ANN, WorkspaceCreate(name="w", node="one"))
    assert (await core.workspaces.stop(ANN, "w")).state.value == "stopped"
    async with node.link(core):
        await core.workspaces.start(ANN, "w")
        await until_state(core, "w", "running")
    assert len(node.order) == 1


async def test_delete_while_it_starts_ends_in_nothing(core: Core) -> None:
    node = await enrol(core, "one")
    go = node.hold()
    async with node.link(core):
        made = await core.workspaces.create(ANN, WorkspaceCreate(name="w"))
        await until_state(core, "w", "starting")
        await core.workspaces.delete(ANN, "w")
        await refused("conflict", core.workspaces.start(ANN, made.id))
        go.set()
        await until(core, lambda: _deleted(core, made))
        await refused("not_found", core.workspaces.start(ANN, made.id))
    assert node.workspaces == {}
    assert len(node.order) == 2


async def _deleted(core: Core, made: Workspace) -> bool:
    return (await core.workspaces.get(ANN, made.id)).state.value == "deleted"


async def test_history_tells_what_happened(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        await core.workspaces.create(ANN, WorkspaceCreate(name="w"))
        await until_state(core, "w", "running")
        await core.workspaces.stop(ANN, "w")
        await until_state(core, "w", "stopped")
    history = (await core.workspaces.history(ANN, "w", "", 50)).items
    assert history[0].kind == "workspace.created"
    states = [event.data["state"] for event in history if event.kind == "workspace.changed"]
    assert (history[0].data["state"], history[0].data["command"]) == ("pending", "start")
    assert states[-3:] == ["running", "stopping", "stopped"]
    part = await core.workspaces.history(ANN, "w", history[0].cursor, 1)
    assert part.items == history[1:2]
    await refused("not_found", core.workspaces.history(BOB, "w", "", 50))


async def test_environment_values_are_never_shown(core: Core) -> None:
    await enrol_known(core, "one")
    body = WorkspaceCreate(name="w", node="one", environment={"TOKEN": "sesame"})
    made = await core.workspaces.create(ANN, body)
    assert made.environment_names == ["TOKEN"]
    history = await core.workspaces.history(ANN, "w", "", 50)
    assert "sesame" not in repr((made, history, await core.workspaces.list(ANN, WorkspaceFilter(), 5, "")))


@pytest.mark.needs_engine("postgres")
async def test_the_whole_life_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    store = await open_store(postgres_url, tmp_path)
    core = Core(store)
    async with anyio.create_task_group() as group:
        group.start_soon(core.run)
        node = await enrol(core, "one")
        node.steps = ["prepare"]
        async with node.link(core):
            names = [f"w{number}" for number in range(10)]
            await asyncio.gather(*[core.workspaces.create(ANN, WorkspaceCreate(name=name)) for name in names])
            for name in names:
                await until_state_of(core, name, "running")
            for verb, state in (("restart", "running"), ("stop", "stopped")):
                await asyncio.gather(*[getattr(core.workspaces, verb)(ANN, name) for name in names])
                for name in names:
                    await until_state_of(core, name, state)
            assert await listed(core, ANN, labels={"a": "b"}) == []
            await core.nodes.list(SYSTEM, NodeFilter(), 5, "")
            await asyncio.gather(*[core.workspaces.delete(ANN, name) for name in names])
            await until(core, lambda: _none(core))
        assert set(node.effects.values()) == {1}
        group.cancel_scope.cancel()
    await store.close()


async def until_state_of(core: Core, name: str, state: str) -> None:
    await until_state(core, (await core.workspaces.get(ANN, name)).id, state)


async def _none(core: Core) -> bool:
    return await listed(core, ANN) == []
