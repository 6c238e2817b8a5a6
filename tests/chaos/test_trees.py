"""Trees and large uploads through a link that is cut and reset again and again: every file arrives, once and whole."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from stead.sdk.client import Stead
from stead.testing.cluster import Cluster
from stead.testing.proxy import FaultProxy
from stead.toolbox.trees.here import Here

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

CUTS = 3
PIECE = 60_000


async def disturbed(pieces: AsyncIterator[bytes], proxy: FaultProxy, every: int) -> AsyncIterator[bytes]:
    """The same bytes; the link breaks in the middle of them."""
    passed = broken = 0
    async for piece in pieces:
        yield piece
        passed += len(piece)
        if broken < CUTS and passed > every * (broken + 1):
            broken += 1
            proxy.cut() if broken % 2 else proxy.reset()
    assert broken == CUTS


def hashes(top: Path) -> dict[str, str]:
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in top.rglob("*")
        if path.is_file()
    }


async def test_a_tree_both_ways_over_links_that_break(cluster: Cluster, tmp_path: Path) -> None:
    top = tmp_path / "top"
    for number in range(200):
        (top / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (top / f"d{number % 7}" / f"f{number}").write_bytes(os.urandom(number * 300))
    machine = Here(tmp_path)
    async with (
        FaultProxy(cluster.server.port) as proxy,
        Stead(f"http://127.0.0.1:{proxy.port}", cluster.token, patience=90) as stead,
    ):
        proxy.split = 9973
        workspace = await stead.workspaces.create("trees-cut")
        with anyio.fail_after(120):
            up = disturbed(machine.download_tree("top"), proxy, 1 << 20)
            assert (await workspace.toolbox.upload_tree("there", up)).files == 200
            down = disturbed(workspace.toolbox.download_tree("there"), proxy, 1 << 20)
            assert (await machine.upload_tree("back", down)).files == 200
        await workspace.delete()
    machine.close()
    assert hashes(tmp_path / "back") == hashes(top)


async def test_a_large_upload_that_can_go_on_also_outlives_its_links(cluster: Cluster) -> None:
    content = os.urandom(8 << 20)

    async def rest(start: int) -> AsyncIterator[bytes]:
        for at in range(start, len(content), PIECE):
            yield content[at : at + PIECE]

    async with (
        FaultProxy(cluster.server.port) as proxy,
        Stead(f"http://127.0.0.1:{proxy.port}", cluster.token, patience=90) as stead,
    ):
        workspace = await stead.workspaces.create("upload-cut")
        sha256 = hashlib.sha256(content).hexdigest()
        with anyio.fail_after(120):
            await workspace.toolbox.resume_upload(
                "f", lambda start: disturbed(rest(start), proxy, 2 << 20), partial="cut", sha256=sha256
            )
        assert (await workspace.toolbox.trees.fingerprint("f", sha256=True)).sha256 == sha256
        await workspace.delete()
