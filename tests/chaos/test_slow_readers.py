"""A command that prints more than is kept of it, a reader that comes late, and something that breaks amid the output."""

import hashlib
import subprocess

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

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

HELD = 4 << 20
PRINTED = 32_000_000
LINE = f"seq 1 100000000 | head -c {PRINTED}; exit 7"


def expected() -> str:
    """The hash of what the command prints."""
    done = subprocess.run(["/bin/sh", "-c", LINE], capture_output=True, check=False)
    assert len(done.stdout) == PRINTED
    return hashlib.sha256(done.stdout).hexdigest()


async def waits(workspace: Workspace, exec_id: str) -> int:
    """Until the command prints no more, because nobody reads; how much it printed."""
    before = -1
    while (printed := (await workspace.toolbox.show(exec_id)).output_bytes) > before or printed < HELD // 2:
        before = printed
        await anyio.sleep(0.1)
    return printed


async def read(running: RemoteRunning, cluster: Cluster, proxy: FaultProxy, fault: str, workspace: Workspace) -> str:
    """All of it, with a break at the beginning and two on the way."""
    digest, size, breaks = hashlib.sha256(), 0, 0
    async for piece in running.output():
        if fault and breaks < 3 and size >= breaks * (PRINTED // 3):
            breaks += 1
            if fault == "guest":
                await to_thread.run_sync(cluster.kill, "guest", workspace.id)
            else:
                proxy.cut()
        digest.update(piece.data)
        size += len(piece.data)
    assert size == PRINTED
    assert breaks == (3 if fault else 0)
    return digest.hexdigest()


@pytest.mark.parametrize("fault", ["", "link", "guest"])
async def test_a_late_reader_gets_every_byte(cluster: Cluster, aftermath: Aftermath, fault: str) -> None:
    async with FaultProxy(cluster.server.port) as proxy:
        async with Stead(f"http://127.0.0.1:{proxy.port}", cluster.token, patience=90) as stead:
            workspace = await stead.workspaces.create(f"late-{fault or 'calm'}")
            with anyio.fail_after(150):
                running = await workspace.start_exec([LINE], shell=True, log_bytes=HELD)
                assert await waits(workspace, running.exec_id) < 2 * HELD
                assert await read(running, cluster, proxy, fault, workspace) == await to_thread.run_sync(expected)
                status = await running.wait()
            assert (status.state, status.exit_code, status.truncated) == (ExecState.EXITED, 7, False)
            assert status.first_cursor > PRINTED // 2
            await workspace.delete()
            await aftermath.holds(stead)


async def test_a_command_that_waits_for_a_reader_who_never_comes_back_is_ended(cluster: Cluster) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create("never-back")
        async with cluster.client(patience=90) as other:
            far = await other.workspaces.get(workspace.id)
            running = await far.start_exec([LINE], shell=True, log_bytes=HELD)
            await waits(workspace, running.exec_id)
            await running.close()
        with anyio.fail_after(60):
            while (status := await workspace.toolbox.show(running.exec_id)).state is ExecState.RUNNING:
                await anyio.sleep(0.05)
        assert status.state is ExecState.CANCELLED
        await workspace.delete()
