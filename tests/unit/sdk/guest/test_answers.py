"""What a guest answers that is not what was asked for, and guests that know less than ours: errors that say so."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.guest import METHOD_NOT_FOUND
from stead.sdk.guest.client import GuestClient, connect
from stead.sdk.guest.link import GuestLink
from stead.transport import unix
from stead.transport.sockets import TransportBytes
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio

Answer = Callable[[dict[str, Any]], dict[str, Any]]


@asynccontextmanager
async def _guest(place: Path, answer: Answer) -> AsyncIterator[Path]:
    """One that answers each line with the object that the function gives."""

    async def connected(stream: TransportBytes) -> None:
        rest = b""
        while data := await stream.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in filter(None, lines):
                await stream.write(msgspec.json.encode(answer(msgspec.json.decode(line.lstrip(b"\xff")))) + b"\n")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            await group.start(unix.serve, place / "guest.sock", connected)
            yield place / "guest.sock"
            group.cancel_scope.cancel()


CALLS: dict[str, Callable[[GuestClient], Awaitable[Any]]] = {
    "info": lambda client: client.info(),
    "system": lambda client: client.system(),
    "network": lambda client: client.network(),
    "disks": lambda client: client.disks(),
    "exec": lambda client: client.exec("true"),
    "read": lambda client: client.read("/f"),
    "write": lambda client: client.write("/f", b"x"),
}


@pytest.mark.parametrize("result", [{}, [], 7, None, [{}], {"pid": 1, "exited": True, "out-data": "?"}])
@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_of_qemu_ga_that_makes_no_sense_is_malformed(tmp_path: Path, call: str, result: Any) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("execute") == "guest-sync-delimited":
            return {"return": request["arguments"]["id"]}
        return {"return": result}

    async with _guest(tmp_path, answer) as path, connect(path, "qemu-ga") as client:
        try:
            await CALLS[call](client)
        except SteadError as error:
            assert error.code == "malformed", error.message
        else:
            assert call in {"network", "disks"}
            assert result == []


@pytest.mark.parametrize("result", [{}, [], 7, None, {"content": "?", "size_bytes": 1, "encoding": "base64"}])
async def test_an_answer_of_a_guest_that_makes_no_sense_is_malformed(tmp_path: Path, result: Any) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    async with _guest(tmp_path, answer) as path, connect(path, "stead") as client:
        for call in CALLS.values():
            with pytest.raises(SteadError) as caught:
                await call(client)
            assert caught.value.code == "malformed"


async def test_a_guest_without_the_framed_link_says_so_at_once(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "link.upgrade":
            error = {"code": METHOD_NOT_FOUND, "message": "no method 'link.upgrade'"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return {"jsonrpc": "2.0", "id": request["id"], "result": {"pong": True, "timestamp": 1}}

    async with _guest(tmp_path, answer) as path:
        with pytest.raises(SteadError, match="no framed link") as caught:
            async with GuestLink(path):
                raise AssertionError("it has none")
    assert caught.value.code == "method_not_found"
