"""Proxies that break connections: every fault is what it says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.testing.faults import Faults
from stead.testing.proxy import FaultProxy, MessageProxy
from stead.transport import websocket
from support.deadline import eventually_async

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def echo_server(path: Path | None = None) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(echo, path)
    else:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with anyio.fail_after(60):
        yield 0 if path else server.sockets[0].getsockname()[1]
    server.close()


async def dial(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if proxy.path is not None:
        return await asyncio.open_unix_connection(proxy.path)
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_bytes_pass_both_ways_also_in_small_pieces() -> None:
    async with echo_server() as port, FaultProxy(port) as proxy:
        proxy.split = 3
        reader, writer = await dial(proxy)
        writer.write(b"0123456789" * 100)
        assert await reader.readexactly(1000) == b"0123456789" * 100
        assert proxy.connections == proxy.accepted == 1
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await eventually_async(lambda: proxy.connections == 0, "the proxy has let go")


async def test_unix_sockets_are_forwarded_too(tmp_path: Path) -> None:
    async with echo_server(tmp_path / "far"), FaultProxy(tmp_path / "far", path=tmp_path / "near") as proxy:
        reader, writer = await dial(proxy)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        proxy.reset()
        assert await reader.read() == b""
        writer.close()


async def test_a_stall_holds_everything_and_lets_it_go_later() -> None:
    async with echo_server() as port, FaultProxy(port) as proxy:
        reader, writer = await dial(proxy)
        proxy.stall()
        writer.write(b"held")
        with anyio.move_on_after(0.2) as scope:
            await reader.read(1)
        assert scope.cancelled_caught
        proxy.go_on()
        assert await reader.readexactly(4) == b"held"
        writer.close()


async def test_latency_delays() -> None:
    async with echo_server() as port, FaultProxy(port) as proxy:
        proxy.latency = 0.1
        reader, writer = await dial(proxy)
        start = anyio.current_time()
        writer.write(b"x")
        await reader.readexactly(1)
        assert anyio.current_time() - start >= 0.2
        writer.close()


async def test_a_cut_is_an_end_and_a_reset_an_error() -> None:
    async with echo_server() as port, FaultProxy(port) as proxy:
        reader, writer = await dial(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.cut()
        assert await reader.read() == b""
        writer.close()
        reader, writer = await dial(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_new_connections_may_be_refused_and_a_missing_target_is_an_end() -> None:
    async with FaultProxy(1) as proxy:
        for refusing in (True, False):
            proxy.refusing = refusing
            reader, writer = await dial(proxy)
            assert await reader.read() == b""
            writer.close()


async def test_messages_have_their_fate() -> None:
    async def echo(connection: Any, path: str, headers: Mapping[str, str]) -> None:
        await connection.send(f"{path} {headers.get('authorization')}")
        while (message := await connection.receive()) is not None:
            await connection.send(message)

    with anyio.fail_after(60):
        async with websocket.serve(echo, "127.0.0.1", 0) as port:
            proxy = MessageProxy(f"ws://127.0.0.1:{port}", there=Faults(1, double=1.0), back=Faults(2, delay=0.01))
            async with proxy.running():
                url = f"ws://127.0.0.1:{proxy.port}/some/path"
                connection = await websocket.connect(url, {"Authorization": "Bearer x"}, proxy=None)
                assert await connection.receive() == "/some/path Bearer x"
                await connection.send(b"twice")
                assert [await connection.receive() for _ in range(2)] == [b"twice", b"twice"]
                await proxy.cut()
                assert await connection.receive() is None
