"""Links through proxies that cut, reset and stall them, the client's and the node's, while a command streams."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import to_thread

from stead.sdk.client import Stead
from stead.sdk.remote import RemoteRunning
from stead.sdk.workspaces import Workspace
from stead.testing.cluster import Cluster
from stead.testing.proxy import FaultProxy
from stead.toolbox.contract import ExecState
from support.aftermath import Aftermath

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

LINES = 60
BREAK_AFTER = 400
HEARTBEAT = 30.0
LINKS = 3


@asynccontextmanager
async def far_node(cluster: Cluster, stead: Stead, name: str, port: int) -> AsyncIterator[str]:
    """A second node, whose link goes through the proxy on that port."""
    token = cluster.data / f"{name}.token"
    token.touch(mode=0o600)
    token.write_text((await stead.nodes.create_token()).token)
    argv = [sys.executable, "-m", "stead.node", "--url", f"http://127.0.0.1:{port}", "--name", name]
    argv += ["--data", str(cluster.data / name), "--enrol-token-file", str(token)]
    with (cluster.data / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        await to_thread.run_sync(cluster.until, lambda: _online(cluster, name), f"node {name} is online")
        yield name
    finally:
        process.send_signal(signal.SIGTERM)
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(process.wait, 60)
    await stead.nodes.delete(name)


def _online(cluster: Cluster, name: str) -> bool:
    nodes = cluster.get("/nodes") or {"items": []}
    return any(node["name"] == name and node["status"] == "online" for node in nodes["items"])


async def break_(proxy: FaultProxy, fault: str) -> None:
    """The link is gone for a moment, or says nothing for longer than the heartbeat."""
    if fault == "stall":
        proxy.stall()
        await anyio.sleep(HEARTBEAT + 4)
        proxy.go_on()
    else:
        proxy.refusing = True
        proxy.cut() if fault == "cut" else proxy.reset()
        await anyio.sleep(0.5)
        proxy.refusing = False


async def stream(workspace: Workspace, proxies: list[FaultProxy], fault: str) -> None:
    """Runs a command that writes slowly and breaks the links amid its output."""
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 7"
    running = await workspace.start_exec(["sh", "-c", script])
    got = bytearray()
    with anyio.fail_after(200):
        async with anyio.create_task_group() as group:
            broken = False
            async for piece in running.output():
                got += piece.data
                if len(got) >= BREAK_AFTER and not broken:
                    broken = True
                    for proxy in proxies:
                        group.start_soon(break_, proxy, fault)
        status = await running.wait()
    assert broken
    assert bytes(got) == b"".join(b"line %d\n" % number for number in range(LINES))
    assert (status.state, status.exit_code) == (ExecState.EXITED, 7)


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_client_link_that_breaks_loses_and_doubles_nothing(
    cluster: Cluster, aftermath: Aftermath, fault: str
) -> None:
    async with FaultProxy(cluster.server.port) as proxy:
        proxy.split = 1000
        async with Stead(f"http://127.0.0.1:{proxy.port}", cluster.token, patience=90) as stead:
            workspace = await stead.workspaces.create(f"client-{fault}")
            await stream(workspace, [proxy], fault)
            await workspace.delete()
            await aftermath.holds(stead)


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_node_link_that_breaks_loses_and_doubles_nothing(
    cluster: Cluster, aftermath: Aftermath, fault: str
) -> None:
    async with FaultProxy(cluster.server.port) as proxy, cluster.client(patience=90) as stead:
        proxy.split = 1000
        async with far_node(cluster, stead, f"far-{fault}", proxy.port) as node:
            workspace = await stead.workspaces.create(f"node-{fault}", node=node)
            await stream(workspace, [proxy], fault)
            await workspace.delete()
            await aftermath.holds(stead)


async def test_both_links_silent_for_longer_than_the_heartbeat(cluster: Cluster, aftermath: Aftermath) -> None:
    async with FaultProxy(cluster.server.port) as near, FaultProxy(cluster.server.port) as far:
        async with Stead(f"http://127.0.0.1:{near.port}", cluster.token, patience=120) as stead:
            async with far_node(cluster, stead, "far-stall", far.port) as node:
                workspace = await stead.workspaces.create("both-stall", node=node)
                await stream(workspace, [near, far], "stall")
                result = await workspace.exec(["echo", "still", "here"])
                assert result.stdout == b"still here\n"
                await workspace.delete()
                await aftermath.holds(stead)


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
