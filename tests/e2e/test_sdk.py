"""The SDK against a whole Stead: both faces, many at once, and credentials that end."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from stead.model.workspaces import Observed
from stead.protocol.errors import SteadError
from stead.sdk import Stead, SyncStead, Workspace
from stead.testing.cluster import Cluster
from stead.toolbox.contract import ExecResult, ExecState
from support.deadline import eventually_async


@pytest.fixture(scope="module")
async def stead(cluster: Cluster) -> AsyncIterator[Stead]:
    async with cluster.client() as client:
        yield client


@pytest.fixture(scope="module")
async def work(stead: Stead) -> AsyncIterator[Workspace]:
    workspace = await stead.workspaces.create("sdk")
    yield workspace
    await workspace.delete()


def test_the_sync_face_does_the_same_without_await(cluster: Cluster) -> None:
    with SyncStead(cluster.url, cluster.token) as stead:
        workspace = stead.workspaces.create("sync", labels={"face": "sync"})
        assert workspace.state is Observed.RUNNING
        assert workspace.exec(["echo", "hi"]).stdout == b"hi\n"
        pieces = [piece.data for piece in workspace.stream(["for n in 1 2 3; do echo $n; sleep 0.1; done"], shell=True)]
        assert b"".join(pieces) == b"1\n2\n3\n"
        workspace.toolbox.write("note", b"text")
        assert b"".join(workspace.toolbox.download("note")) == b"text"
        workspace.toolbox.upload("parts", iter([b"one ", b"two"]))
        assert workspace.toolbox.read("parts").content == b"one two"
        left_open = workspace.toolbox.download("parts")
        next(left_open)
        assert [found.name for found in stead.workspaces.list(labels={"face": "sync"})] == ["sync"]
        running = workspace.start_exec(["cat"], stdin=True)
        running.write(b"through")
        running.close_stdin()
        assert [piece.data for piece in running.output()] == [b"through"]
        assert running.wait().exit_code == 0
        assert [match.path for match in workspace.toolbox.search.content("tex").matches] == ["note"]
        with workspace.toolbox.watch.open() as watching:
            workspace.toolbox.write("seen", b"")
            assert next(iter(watching)).path == "seen"
        first = next(workspace.events())
        assert first.kind == "workspace.created"
        workspace.delete()
        assert stead.workspaces.get(workspace.id).state is Observed.DELETED
    del left_open


@pytest.mark.anyio
async def test_many_execs_at_once_over_one_link(work: Workspace) -> None:
    found: dict[int, bytes] = {}

    async def one(number: int) -> None:
        found[number] = (await work.exec(["echo", str(number)])).stdout

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(one, number)
    assert found == {number: f"{number}\n".encode() for number in range(40)}


@pytest.mark.anyio
async def test_a_command_that_fails_is_a_result(work: Workspace) -> None:
    assert (await work.exec(["false"])).status.exit_code == 1
    missing = await work.exec(["no-such-program"])
    assert missing.status.state is ExecState.FAILED
    assert not missing.status.ok
    late = await work.exec(["sleep", "60"], timeout=0.2)
    assert late.status.state is ExecState.TIMED_OUT


@pytest.mark.anyio
async def test_the_same_exec_id_runs_once(work: Workspace) -> None:
    from stead.sdk.remote import new_exec_id

    exec_id = new_exec_id()
    for _ in range(3):
        result = await work.exec(["echo x >> counted; cat counted"], shell=True, exec_id=exec_id)
        assert result.stdout == b"x\n"


@pytest.mark.anyio
async def test_a_name_in_use_is_a_conflict(stead: Stead, work: Workspace) -> None:
    with pytest.raises(SteadError) as caught:
        await stead.workspaces.create(work.name)
    assert caught.value.code in {"conflict", "already_exists"}


@pytest.mark.anyio
async def test_deleting_twice_is_done_once(stead: Stead) -> None:
    workspace = await stead.workspaces.create()
    await workspace.delete()
    await workspace.delete()


@pytest.mark.anyio
async def test_events_are_seen_live_by_whoever_watches(stead: Stead, work: Workspace) -> None:
    with anyio.fail_after(60):
        async with stead.events.changes(work.id) as change:
            await work.update(labels={"seen": "live"})
            await change.wait(60)
        async for event in stead.events.watch(subject=work.id, after=""):
            if event.kind == "workspace.created":
                break


@pytest.mark.anyio
async def test_a_revoked_token_ends_live_streams_within_a_second(
    cluster: Cluster, stead: Stead, work: Workspace
) -> None:
    made = await stead.tokens.create("short-lived")
    async with Stead(cluster.url, made.secret) as other:
        workspace = await other.workspaces.get(work.id)
        running = await workspace.start_exec(["echo ready; sleep 60"], shell=True)
        output = running.output()
        assert (await anext(output)).data == b"ready\n"
        await stead.tokens.delete(made.token.id)
        began = time.monotonic()
        with anyio.fail_after(60), pytest.raises(SteadError) as caught:
            await anext(output)
        assert caught.value.code == "unauthenticated"
        assert time.monotonic() - began < 10


@pytest.mark.anyio
async def test_leaving_the_client_lets_go_of_its_foreground_execs_but_not_of_others(
    cluster: Cluster, work: Workspace
) -> None:
    async with cluster.client() as other:
        workspace = await other.workspaces.get(work.id)
        kept = await workspace.start_exec(["sleep 0.3; echo done"], shell=True, background=True)
    again = await work.attach(kept.exec_id)
    assert b"".join([piece.data async for piece in again.output()]) == b"done\n"


@pytest.mark.anyio
async def test_output_is_not_lost_in_silence(work: Workspace) -> None:
    """One in the foreground waits for its reader; one in the background says that it printed more than is kept."""
    argv = ["head", "-c", "5000000", "/dev/zero"]
    assert sum([len(piece.data) async for piece in work.stream(argv, log_bytes=50_000)]) == 5_000_000
    size = 0
    with pytest.raises(SteadError) as caught:
        async for piece in work.stream(argv, log_bytes=50_000, background=True):
            size += len(piece.data)
    assert caught.value.code == "too_large"
    assert size <= 50_000


@pytest.mark.anyio
async def test_who_stops_reading_lets_go_of_the_exec(work: Workspace) -> None:
    pieces = work.stream(["echo ready; sleep 60"], shell=True)
    assert (await anext(pieces)).data == b"ready\n"
    await pieces.aclose()  # type: ignore[attr-defined]
    newest = (await work.toolbox.execs()).execs[0].exec_id

    async def over() -> bool:
        return (await work.toolbox.show(newest)).state is not ExecState.RUNNING

    await eventually_async(over, "the exec is over")


@pytest.mark.anyio
async def test_errors_of_the_body_come_out_as_they_were_raised(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError):
        async with cluster.client() as other:
            await other.whoami()
            raise ZeroDivisionError


@pytest.mark.anyio
async def test_an_exec_under_way_outlasts_the_node_and_the_guest_and_runs_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    await anyio.to_thread.run_sync(cluster.start)
    try:
        async with cluster.client() as stead:
            workspace = await stead.workspaces.create()
            for part in ("node", "guest"):
                line = f"echo x >> {part}; while [ ! -e go-{part} ]; do sleep 0.05; done; cat {part}"
                results: list[ExecResult] = []

                async def run(line: str = line, results: list[ExecResult] = results) -> None:
                    results.append(await workspace.exec([line], shell=True))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(run)
                    await eventually_async(lambda part=part: _there(workspace, part), "it runs")
                    await anyio.to_thread.run_sync(cluster.kill, part, workspace.id if part == "guest" else "")
                    await eventually_async(lambda part=part: _touched(workspace, f"go-{part}"), "it may end")
                assert results[0].stdout == b"x\n"
    finally:
        await anyio.to_thread.run_sync(cluster.stop)


async def _there(workspace: Workspace, path: str) -> bool:
    try:
        return (await workspace.toolbox.stat(path)).size == 2
    except SteadError as error:
        assert error.code == "not_found"
        return False


async def _touched(workspace: Workspace, path: str) -> bool:
    try:
        await workspace.toolbox.write(path, b"")
    except SteadError:
        return False
    return True
