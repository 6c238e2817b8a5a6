"""A full disk behind a guest: each way in carries "disk_full", the guest goes on, and the same works when there is room."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.remote import RemoteToolbox
from stead.transport.sockets import TransportBytes
from support.deadline import PATIENCE
from support.disk import Disk, small_disk
from support.guests import WORKSPACE, GuestProcess

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(BIG).hexdigest()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


async def full(work: Awaitable[object]) -> None:
    with pytest.raises(SteadError) as caught:
        await work
    assert caught.value.code == "disk_full", caught.value


async def test_streams_and_calls_of_a_link(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home") as disk, GuestProcess(tmp_path) as guest:
        disk.free()
        async with guest.linked() as client:
            await _over(disk, RemoteToolbox(client, WORKSPACE))


async def _over(disk: Disk, toolbox: RemoteToolbox) -> None:
    old = disk.path / "old"
    await toolbox.write("old", b"old")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: toolbox.upload("old", pieces(BIG), sha256=SHA256),
        lambda: toolbox.write("old", BIG),
        lambda: toolbox.text.write("text", "x" * 100_000),
        lambda: toolbox.trees.copy("old", "in/twin", parents=True),
    ]
    for fill in (disk.fill, disk.fill_names):
        fill()
        used = disk.used()
        for call in calls if fill == disk.fill else calls[:3]:
            await full(call())
            assert old.read_bytes() == b"old"
        assert disk.used().bytes == used.bytes
        disk.free()
    for call in calls:
        await call()
    disk.fill(300_000)
    await full(toolbox.resume_upload("new", lambda start: pieces(BIG[start:]), partial="one", sha256=SHA256))
    assert 0 < (await toolbox.transfer.partial("one")).received < 300_000
    disk.free()
    await toolbox.resume_upload("new", lambda start: pieces(BIG[start:]), partial="one", sha256=SHA256)
    assert (disk.path / "new").read_bytes() == BIG


async def test_the_methods_of_the_guest_protocol(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home") as disk, GuestProcess(tmp_path) as guest:
        (disk.path / "old").write_bytes(b"old")
        channel = await guest.channel()
        params = {"path": str(disk.path / "old"), "content": "x" * 50_000}
        disk.fill()
        refused = await _asked(channel, "file_write", params)
        assert refused["error"]["data"] == {"code": "disk_full"}
        assert (disk.path / "old").read_bytes() == b"old"
        assert (await _asked(channel, "exec_command", {"command": "cat", "args": [params["path"]]}))["result"][
            "stdout"
        ] == "old"
        disk.free()
        assert "result" in await _asked(channel, "file_write", params)
        assert (disk.path / "old").stat().st_size == 50_000
        await channel.close()


async def _asked(channel: TransportBytes, method: str, params: dict[str, Any]) -> dict[str, Any]:
    line = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    await channel.write(json.dumps(line).encode() + b"\n")
    answer = b""
    with anyio.fail_after(PATIENCE):
        while not answer.endswith(b"\n"):
            answer += await channel.read(1 << 16)
    found: dict[str, Any] = json.loads(answer)
    return found
