"""Links that are cut, stalled for longer than the heartbeat, slow, and split into small pieces: streams go on by the byte."""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from stead.sdk.client import Stead
from stead.sdk.remote import RemoteRunning
from stead.testing.cluster import Cluster
from stead.testing.proxy import FaultProxy
from stead.testing.server import PROGRAM
from support.aftermath import Aftermath

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

PIECES = 400
BEYOND_SILENCE = 33.0
LINKS = 3


def slow(count: int, pause: float) -> list[str]:
    """A command that writes numbered lines of 100 bytes, and ends with code 7."""
    return ["sh", "-c", f"for i in $(seq {count}); do printf '%099d\\n' $i; sleep {pause}; done; exit 7"]


def expected(count: int) -> bytes:
    return b"".join(b"%099d\n" % number for number in range(1, count + 1))


@asynccontextmanager
async def far_node(cluster: Cluster, proxy: FaultProxy, folder: Path) -> AsyncIterator[str]:
    """A node that reaches the control plane through the proxy; its id."""
    async with cluster.client() as stead:
        token = (await stead.nodes.create_token(labels={"site": "far"})).token
    file = folder / "token"
    file.touch(0o600)
    file.write_text(token)
    data = str(folder / "far")
    environment = {**os.environ, "STEAD_DATA": data}
    join = [PROGRAM, "node", "join", f"http://127.0.0.1:{proxy.port}", "--name", "far", "--data", data]
    done = await anyio.run_process([*map(str, join), "--token-file", str(file)], env=environment)
    with (folder / "log").open("wb") as log:
        node = subprocess.Popen(
            [PROGRAM, "node", "run", "--data", data], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        await to_thread.run_sync(cluster.until, lambda: _online(cluster), "the far node is online")
        yield done.stdout.decode().strip()
    finally:
        node.terminate()
        await to_thread.run_sync(node.wait, 60)


def _online(cluster: Cluster) -> bool:
    nodes = cluster.get("/nodes")
    return nodes is not None and {node["status"] for node in nodes["items"]} == {"online"} and len(nodes["items"]) == 2


async def test_both_links_are_silent_for_longer_than_the_heartbeat(
    cluster: Cluster, aftermath: Aftermath, tmp_path: Path
) -> None:
    async with FaultProxy(cluster.server.port) as proxy, far_node(cluster, proxy, tmp_path):
        url = f"http://127.0.0.1:{proxy.port}"
        async with cluster.client(patience=90) as near, Stead(url, cluster.token, patience=90) as stead:
            workspace = await stead.workspaces.create(node_labels={"site": "far"})
            running = await workspace.start_exec(slow(PIECES, 0.02))
            got = bytearray()
            stalled = False
            with anyio.fail_after(150):
                async for piece in running.output():
                    got += piece.data
                    if len(got) > 2000 and not stalled:
                        stalled = True
                        proxy.stall()
                        await anyio.sleep(BEYOND_SILENCE)
                        proxy.cut()
                        proxy.go_on()
                status = await running.wait()
            assert stalled
            assert bytes(got) == expected(PIECES)
            assert status.exit_code == 7
            await (await near.workspaces.get(workspace.id)).delete()
            await aftermath.holds(near)
            await near.nodes.delete("far")


async def test_cuts_resets_and_small_pieces_lose_no_byte_either_way(cluster: Cluster) -> None:
    async with FaultProxy(cluster.server.port) as proxy:
        proxy.latency, proxy.split = 0.02, 9973
        async with Stead(f"http://127.0.0.1:{proxy.port}", cluster.token, patience=90) as stead:
            workspace = await stead.workspaces.create("cut")
            content = os.urandom(8 << 20)
            async with anyio.create_task_group() as group:
                group.start_soon(_disturb, proxy)
                with anyio.fail_after(120):
                    running = await workspace.start_exec(["cat"], stdin=True)
                    group.start_soon(_feed, running, content)
                    got = b"".join([piece.data async for piece in running.output()])
            assert got == content
            assert proxy.accepted >= LINKS
            await workspace.delete()


async def _disturb(proxy: FaultProxy) -> None:
    """Four links that do not live long."""
    for _ in range(2):
        await anyio.sleep(0.6)
        proxy.cut()
        await anyio.sleep(0.6)
        proxy.reset()


async def _feed(running: RemoteRunning, content: bytes) -> None:
    await running.write(content)
    await running.close_stdin()
