"""The guest, or the holder, dies at each of its named points amid a workspace's life: nothing is lost, doubled or left."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import msgspec
import psutil
import pytest

from stead.protocol.errors import SteadError
from stead.sdk import SyncStead
from stead.sdk.client import Stead
from stead.sdk.workspaces import Workspace
from stead.testing.cluster import Cluster
from stead.testing.guestprogram import GUEST, HOLDER
from stead.toolbox.contract import ExecState, ExecStatus
from stead.toolbox.execs import new_id
from support.deadline import eventually_async

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
T = TypeVar("T")

PATIENCE = 120.0
PRINTED = 3_000_000
PRINTS = f"echo x >> printed; seq 1 10000000 | head -c {PRINTED}; exit 7"
AT_ONCE = 6
BIRTH = ("guest.begun", "guest.listening", "guest.ready", "guest.linked", "holder.keeping")
MARK = "STEAD_WORKSPACE_ID"


class Node:
    """A node whose workspaces have a holder that can be told to die."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.folder = cluster.data / "inside"
        self.armed = self.folder / "armed"

    def __enter__(self) -> "Node":
        self.armed.mkdir(parents=True)
        config = self.folder / "node.toml"
        token = self.folder / "token"
        token.touch(mode=0o600)
        with SyncStead(self._cluster.url, self._cluster.token) as stead:
            token.write_text(stead.nodes.create_token().token)
        holder = [sys.executable, "-P", "-m", "stead.testing.guestprogram", "--armed", str(self.armed)]
        settings: dict[str, Any] = {
            "url": self._cluster.url,
            "data": str(self.folder),
            "enrol_token_file": str(token),
            "name": "inside",
        }
        settings |= {"watch_seconds": 0.1, "orphan_seconds": 0.5, "options.process.holder": holder}
        config.write_text(
            "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in settings.items())
        )
        with (self.folder / "node.log").open("wb") as log:
            argv = [sys.executable, "-m", "stead.node", "--config", str(config)]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._cluster.until(self._online, "the node is online")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def left_of(self, workspace_id: str) -> list[str]:
        """Folders and processes of a workspace, however they were orphaned. What goes meanwhile is gone."""
        entries = (f"{at}/{name}" for at, folders, files in os.walk(self.folder) for name in [*folders, *files])
        return [path for path in entries if workspace_id in path] + [
            word for word in map(_about, psutil.process_iter()) if workspace_id in word
        ]

    def _online(self) -> bool:
        nodes = self._cluster.get("/nodes") or {"items": []}
        return any(node["name"] == "inside" and node["status"] == "online" for node in nodes["items"])


def _about(process: psutil.Process) -> str:
    """Which workspace a process belongs to, as its own words and its environment say."""
    with contextlib.suppress(psutil.Error):
        return " ".join([str(process.pid), *process.cmdline(), process.environ().get(MARK, "")])
    return ""


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Iterator[Node]:
    with Node(cluster) as running:
        yield running


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Asked again until it is answered: whatever is asked here may be asked twice."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                return await work()
            except SteadError:
                await anyio.sleep(0.05)


async def output_of(workspace: Workspace) -> tuple[bytes, ExecStatus]:
    """All that a command prints, which waits for its reader first; taken up again whatever is lost."""
    exec_id = new_id()
    running = await patiently(lambda: workspace.start_exec([PRINTS], shell=True, log_bytes=0, exec_id=exec_id))
    await waits(workspace, exec_id)
    got = b""
    while True:
        try:
            async for piece in running.output():
                got += piece.data
            return got, await running.wait()
        except SteadError:
            cursor = running.cursor
            running = await patiently(lambda: workspace.attach(exec_id, cursor))  # noqa: B023


async def waits(workspace: Workspace, exec_id: str) -> None:
    """Until a command prints no more."""
    before = -1
    while (status := await patiently(lambda: workspace.toolbox.show(exec_id))).output_bytes > before:
        before = status.output_bytes
        await anyio.sleep(0.05)


async def killed(workspace: Workspace) -> ExecStatus:
    """A command that is ended by a kill."""
    exec_id = new_id()
    started = lambda: workspace.start_exec(["sleep", "600"], exec_id=exec_id, background=True)  # noqa: E731
    await patiently(started)
    return await patiently(lambda: workspace.toolbox.kill(exec_id))


async def lines_in(workspace: Workspace, path: str) -> int:
    listing = await patiently(workspace.toolbox.list)
    if path not in {entry.path for entry in listing.entries}:
        return 0
    return (await patiently(lambda: workspace.toolbox.read(path))).content.count(b"\n")


async def live(stead: Stead, node: Node, point: str, *, born: bool) -> list[ExecStatus]:
    """The whole life of a workspace, in which the point is passed: at its birth, or later. How its three execs ended."""
    if not born:
        (node.armed / point).touch()
    workspace = await stead.workspaces.create(point.replace(".", "-"), node="inside", isolation="none")
    if born:
        (node.armed / f"{workspace.id}-{point}").touch()
    for content in (b"one", b"two"):
        await patiently(lambda: workspace.toolbox.write("note", content))  # noqa: B023
    assert (await patiently(lambda: workspace.toolbox.read("note"))).content == b"two"
    exec_id = new_id()
    ran = await patiently(lambda: workspace.exec(["sh", "-c", "echo x >> ran; echo done"], exec_id=exec_id))
    assert ran.stdout == b"done\n" or (ran.status.state is ExecState.UNKNOWN and not ran.stdout)
    assert (await lines_in(workspace, "ran")) <= 1
    output, printed = await output_of(workspace)
    whole = subprocess.run(["/bin/sh", "-c", PRINTS], capture_output=True, check=False, cwd=node.armed).stdout
    assert output == whole or (printed.state is ExecState.UNKNOWN and whole.startswith(output))
    assert (await lines_in(workspace, "printed")) <= 1
    ended = await killed(workspace)
    assert not [word for word in map(_about, psutil.process_iter()) if workspace.id in word and "sleep 600" in word]
    names = {entry.path for entry in (await patiently(workspace.toolbox.list)).entries}
    assert not names - {"note", "ran", "printed"}
    await patiently(workspace.stop)
    assert not [word for word in map(_about, psutil.process_iter()) if workspace.id in word]
    await patiently(workspace.start)
    assert (await patiently(lambda: workspace.exec(["cat", "note"]))).stdout == b"two"
    await patiently(workspace.delete)
    await eventually_async(lambda: not node.left_of(workspace.id), "nothing is left")
    assert not [name for name in os.listdir(node.armed) if name.endswith(point)], f"{point} was not passed"  # noqa: PTH208
    return [ran.status, printed, ended]


def whole(ends: list[ExecStatus]) -> bool:
    """A guest that dies takes nothing with it."""
    ran, printed, ended = ends
    return (ran.exit_code, printed.exit_code, printed.truncated, ended.signal) == (0, 7, False, 15)


@pytest.mark.parametrize("point", BIRTH)
async def test_at_its_birth(cluster: Cluster, node: Node, point: str) -> None:
    async with cluster.client(patience=90) as stead:
        assert whole(await live(stead, node, point, born=False))


async def test_the_guest_dies(cluster: Cluster, node: Node) -> None:
    async with cluster.client(patience=90) as stead:
        ends = await lives(stead, node, [point for point in GUEST if point not in BIRTH])
    assert {point: found for point, found in ends.items() if not whole(found)} == {}


async def test_the_holder_dies(cluster: Cluster, node: Node) -> None:
    """With it an exec ends, unless its end was recorded, and it is told as such."""
    async with cluster.client(patience=90) as stead:
        ends = await lives(stead, node, [point for point in HOLDER if point not in BIRTH])
    unknown = {point: [status.state for status in found].count(ExecState.UNKNOWN) for point, found in ends.items()}
    assert unknown == {
        point: point.startswith("exec.") and point not in {"exec.recorded", "exec.told"} for point in ends
    }


async def lives(stead: Stead, node: Node, points: list[str]) -> dict[str, list[ExecStatus]]:
    """One for each point, some at once."""
    ends: dict[str, list[ExecStatus]] = {}
    at_once = anyio.CapacityLimiter(AT_ONCE)

    async def one(point: str) -> None:
        try:
            async with at_once:
                ends[point] = await live(stead, node, point, born=True)
        except Exception as error:
            error.add_note(f"the point was {point}")
            raise

    async with anyio.create_task_group() as group:
        for point in points:
            group.start_soon(one, point, name=point)
    return ends
