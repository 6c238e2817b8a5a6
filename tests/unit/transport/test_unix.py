"""Unix sockets: paths of any length, permissions, bounds, ends."""

import resource
import socket
import stat
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stead.protocol.errors import SteadError
from stead.transport import unix
from stead.transport.framed import Framed
from stead.transport.sockets import TransportBytes
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")


async def echo(stream: TransportBytes) -> None:
    while data := await stream.read(1000):
        await stream.write(data)


@pytest.mark.parametrize("by_link", [True, pytest.param(False, marks=NEEDS_PROC)])
@pytest.mark.parametrize("depth", [0, 12])
async def test_bytes_go_both_ways_also_on_long_paths(tmp_path: Path, depth: int, by_link: bool) -> None:
    path = tmp_path.joinpath(*["directory-name"] * depth, "the.sock")
    path.parent.mkdir(parents=True, exist_ok=True)
    async with anyio.create_task_group() as group:
        await group.start(partial(unix.serve, by_link=by_link), path, echo)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        stream = await unix.connect(path, by_link=by_link)
        await stream.write(b"hello")
        assert await stream.read(3) == b"hel"
        assert await stream.read(100) == b"lo"
        await stream.close()
        await stream.close()
        assert await stream.read(1) == b""
        with pytest.raises(SteadError):
            await stream.write(b"late")
        group.cancel_scope.cancel()
    assert not path.exists()


async def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("left behind")
    async with anyio.create_task_group() as group:
        await group.start(unix.serve, path, echo)
        await (await unix.connect(path)).close()
        group.cancel_scope.cancel()


async def test_nobody_there_is_unavailable_without_the_path(tmp_path: Path) -> None:
    with pytest.raises(SteadError) as caught:
        await unix.connect(tmp_path / "nobody.sock")
    assert caught.value.code == "unavailable"
    assert str(tmp_path) not in caught.value.message


async def test_the_other_side_leaving_is_the_end(tmp_path: Path) -> None:
    async def leave(stream: TransportBytes) -> None:
        await stream.write(b"bye")

    async with anyio.create_task_group() as group:
        await group.start(unix.serve, tmp_path / "s", leave)
        stream = await unix.connect(tmp_path / "s")
        with anyio.fail_after(30):
            assert await stream.read(10) == b"bye"
            assert await stream.read(10) == b""
        await stream.close()
        group.cancel_scope.cancel()


async def test_one_failing_connection_does_not_end_the_others(tmp_path: Path) -> None:
    async def attend(stream: TransportBytes) -> None:
        if await stream.read(1) == b"!":
            raise ZeroDivisionError
        await stream.write(b"ok")

    async with anyio.create_task_group() as group:
        await group.start(unix.serve, tmp_path / "s", attend)
        bad, good = await unix.connect(tmp_path / "s"), await unix.connect(tmp_path / "s")
        await bad.write(b"!")
        with anyio.fail_after(30):
            assert await bad.read(10) == b""
            await good.write(b".")
            assert await good.read(10) == b"ok"
        await bad.close()
        await good.close()
        group.cancel_scope.cancel()


async def test_a_reader_that_stops_makes_the_writer_wait(tmp_path: Path) -> None:
    streams: list[TransportBytes] = []
    done = anyio.Event()

    async def hold(stream: TransportBytes) -> None:
        streams.append(stream)
        await done.wait()

    async with anyio.create_task_group() as group:
        await group.start(unix.serve, tmp_path / "s", hold)
        stream = await unix.connect(tmp_path / "s")
        written = 0
        with anyio.move_on_after(30):
            while stream.ready():
                stream.put([bytes(100_000)])
                written += 100_000
                await anyio.lowlevel.checkpoint()
        assert not stream.ready()
        assert written < 4 << 20
        with anyio.fail_after(30):
            async with anyio.create_task_group() as inner:
                inner.start_soon(stream.write, b"end")
                got = 0
                while got < written + 3:
                    got += len(await streams[0].read(1 << 20))
        done.set()
        await stream.close()
        group.cancel_scope.cancel()


async def test_a_connection_that_breaks_frees_a_waiting_writer(tmp_path: Path) -> None:
    done = anyio.Event()

    async def hold(stream: TransportBytes) -> None:
        await done.wait()

    async with anyio.create_task_group() as group:
        await group.start(unix.serve, tmp_path / "s", hold)
        stream = await unix.connect(tmp_path / "s")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as inner:

                async def fill() -> None:
                    with pytest.raises(SteadError):
                        await stream.write(bytes(16 << 20))

                inner.start_soon(fill)
                while stream.ready():
                    await anyio.sleep(0.01)
                done.set()
        await stream.close()
        group.cancel_scope.cancel()


async def test_messages_of_any_size_pass(tmp_path: Path) -> None:
    async def reply(stream: TransportBytes) -> None:
        framed = Framed(stream)
        while (message := await framed.receive()) is not None:
            await framed.send(message)

    async with anyio.create_task_group() as group:
        await group.start(unix.serve, tmp_path / "s", reply)
        framed = Framed(await unix.connect(tmp_path / "s"))
        for message in ("", b"", "é" * 1000, bytes(2 << 20)):
            await framed.send(message)
            assert await framed.receive() == message
        await framed.close()
        group.cancel_scope.cancel()


async def test_a_listener_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    """The system does not wait there by itself, and what looks connected is not."""
    with socket.socket(socket.AF_UNIX) as listener, anyio.fail_after(PATIENCE):
        listener.bind(str(tmp_path / "full.sock"))
        listener.listen(0)
        first = await unix.connect(tmp_path / "full.sock")
        async with anyio.create_task_group() as group:
            found: list[TransportBytes] = []

            async def another() -> None:
                found.append(await unix.connect(tmp_path / "full.sock"))

            group.start_soon(another)
            await anyio.sleep(0.05)
            assert not found
            listener.accept()[0].close()
        accepted, _ = listener.accept()
        await found[0].write(b"hello")
        assert accepted.recv(10) == b"hello"
        accepted.close()
        for each in (first, found[0]):
            await each.close()


async def test_without_room_for_one_more_file_it_is_an_error_of_ours(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SteadError, match="open files") as caught:
            await unix.connect(tmp_path / "s")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code == "unavailable"
