"""The client against real guests: one of ours, and a real qemu-ga on a unix socket."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.client import GuestClient, RpcGuest, connect, who
from stead.sdk.guest.link import GuestLink
from stead.toolbox import behaviour
from stead.transport import unix
from stead.transport.sockets import TransportBytes
from support.deadline import eventually
from support.engines import which
from support.guests import GuestProcess

pytestmark = pytest.mark.anyio

BYTES = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    with GuestProcess(tmp_path_factory.mktemp("guest")) as guest:
        yield guest


@pytest.fixture(scope="module")
def qemu_ga(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A qemu-ga that may do everything but end this machine."""
    place = tmp_path_factory.mktemp("ga")
    program = which("qemu-ga")
    assert program is not None
    forbidden = "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-fsfreeze-freeze"
    argv = [program, "-m", "unix-listen", "-p", str(place / "ga.sock"), "-t", str(place), f"--blacklist={forbidden}"]
    process = subprocess.Popen(argv, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually((place / "ga.sock").exists, "qemu-ga listens")
        yield place / "ga.sock"
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def _client(path: Path) -> AsyncIterator[GuestClient]:
    with anyio.fail_after(60):
        async with connect(path) as client:
            yield client


@pytest.fixture(params=["ours", pytest.param("qemu_ga", marks=pytest.mark.needs_engine("qemu-ga"))])
def socket(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Path) else found.run / "guest.sock"


async def test_it_finds_out_who_is_there(socket: Path) -> None:
    speaks = await who(socket)
    assert speaks == ("qemu-ga" if socket.name == "ga.sock" else "stead")
    async with _client(socket) as client:
        assert client.speaks == speaks
        assert await client.ping() < 60
        assert (await client.info()).capabilities


async def test_a_command_that_fails_is_a_result(socket: Path) -> None:
    async with _client(socket) as client:
        done = await client.exec("/bin/sh", ["-c", "echo out; echo err >&2; exit 7"])
        assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")
        assert (await client.exec("/bin/sh", ["-c", "kill -9 $$"])).exit_code == -1
        with pytest.raises(SteadError) as caught:
            await client.exec("/no/such/program")
        assert caught.value.code in {"program_failed", "not_found"}


async def test_over_its_time_a_command_is_ended(socket: Path) -> None:
    async with _client(socket) as client:
        with pytest.raises(SteadError) as caught:
            await client.exec("/bin/sh", ["-c", "exec sleep 987.654"], seconds=0.5)
        assert caught.value.code == "timeout"
    eventually(lambda: subprocess.run(["pgrep", "-f", "sleep 987.654"], check=False).returncode == 1, "it is gone")


async def test_files_are_what_they_were(socket: Path, tmp_path: Path, ours: GuestProcess) -> None:
    folder = tmp_path if socket.name == "ga.sock" else ours.root
    async with _client(socket) as client:
        path = str(folder / "a" / "b")
        assert await client.write(path, BYTES, parents=True, mode=0o640) == len(BYTES)
        assert await client.read(path) == BYTES
        assert (folder / "a" / "b").stat().st_mode & 0o7777 == 0o640
        large = os.urandom(3 << 20)
        assert await client.write(path, large) == len(large)
        assert await client.read(path) == large
        with pytest.raises(SteadError) as caught:
            await client.read(f"{folder}/nothing")
        assert caught.value.code == "not_found"


async def test_many_at_once(socket: Path) -> None:
    async with _client(socket) as client:
        found: list[str] = []

        async def one(number: int) -> None:
            found.append((await client.exec("/bin/echo", [str(number)])).stdout.strip())

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(one, number)
    assert sorted(found, key=int) == [str(number) for number in range(30)]


async def test_large_files_go_beside_commands(ours: GuestProcess) -> None:
    """Each file has the channel for itself; what was asked before is answered first."""
    large = os.urandom(200_000)
    async with _client(ours.run / "guest.sock") as client:
        found: list[str] = []

        async def command(number: int) -> None:
            found.append((await client.exec("/bin/sh", ["-c", f"sleep 0.1; echo {number}"])).stdout.strip())

        async def file(number: int) -> None:
            await client.write(f"beside-{number}", large)
            assert await client.read(f"beside-{number}") == large

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(command, number)
                group.start_soon(file, number)
        assert sorted(found) == ["0", "1", "2", "3", "4"]


async def test_an_error_leaves_the_client_as_it_is(socket: Path) -> None:
    with pytest.raises(SteadError):
        async with connect(socket) as client:
            await client.exec("/bin/sleep", ["100"], seconds=0.2)


@pytest.mark.needs_engine("qemu-ga")
async def test_a_machine_with_qemu_ga_tells_of_itself(qemu_ga: Path) -> None:
    async with _client(qemu_ga) as client:
        system = await client.system()
        assert system.kernel_version == os.uname().release
        assert system.total_memory_kb == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        lo = next(each for each in (await client.network()).interfaces if each.name == "lo")
        assert "127.0.0.1/8" in lo.ipv4_addresses
        assert lo.mtu == int(Path("/sys/class/net/lo/mtu").read_text())
        assert all(0 <= each.used_percent <= 100 for each in (await client.disks()).filesystems)


@pytest.mark.needs_engine("qemu-ga")
async def test_what_qemu_ga_cannot_do_is_refused(qemu_ga: Path) -> None:
    async with _client(qemu_ga) as client:
        for work in (client.shutdown(seconds=30), client.exec("/bin/true", cwd="/")):
            with pytest.raises(SteadError) as caught:
                await work
            assert caught.value.code == "refused"


@pytest.mark.needs_engine("qemu-ga")
async def test_another_client_left_half_a_request_behind(qemu_ga: Path) -> None:
    with anyio.fail_after(30):
        reader = await anyio.connect_unix(qemu_ga)
        await reader.send(b'{"execute": "guest-in')
        await reader.aclose()
    async with _client(qemu_ga) as client:
        assert (await client.exec("/bin/echo", ["whole"])).stdout == "whole\n"


async def test_a_guest_that_is_killed_is_lost_and_found(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest:
        async with _client(guest.run / "guest.sock") as client:
            await client.ping()
            guest.kill_guest()
            await client.ping()
            assert (await client.exec("/bin/echo", ["back"])).stdout == "back\n"


async def test_the_whole_toolbox_straight_to_a_guest(ours: GuestProcess) -> None:
    async with _client(ours.run / "guest.sock") as client:
        assert isinstance(client, RpcGuest)
        async with client.linked() as link:
            async for outcome in behaviour.run(link.toolbox, ["write-then-read", "upload-then-download", "kill"]):
                assert outcome.ok, outcome.detail
        assert await client.ping() < 60


async def test_calls_go_on_after_the_guest_was_killed(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest:
        async with _client(guest.run / "guest.sock") as client:
            assert isinstance(client, RpcGuest)
            async with client.linked() as link:
                await link.toolbox.write("f", b"before")
                guest.kill_guest()
                assert (await link.toolbox.read("f")).content == b"before"


class Cutting:
    """Stands between a client and a guest, and cuts them apart."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._open: list[TransportBytes] = []
        self.connections = 0

    async def connected(self, client: TransportBytes) -> None:
        guest = await unix.connect(self._target)
        self.connections += 1
        self._open = [client, guest]
        async with anyio.create_task_group() as group:
            group.start_soon(self._pass, client, guest)
            group.start_soon(self._pass, guest, client)

    async def _pass(self, source: TransportBytes, target: TransportBytes) -> None:
        with contextlib.suppress(SteadError):
            while data := await source.read(1 << 16):
                await target.write(data)
        self.cut()

    def cut(self) -> None:
        for each in self._open:
            each.abort()


async def test_streams_go_on_where_they_were_when_the_channel_is_cut(tmp_path: Path, ours: GuestProcess) -> None:
    content = os.urandom(12 << 20)
    proxy = Cutting(ours.run / "guest.sock")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 20):
            if start in {3 << 20, 7 << 20}:
                proxy.cut()
            yield content[start : start + (1 << 20)]

    with anyio.fail_after(90):
        async with anyio.create_task_group() as group:
            await group.start(unix.serve, tmp_path / "cut.sock", proxy.connected)
            async with GuestLink(tmp_path / "cut.sock") as link:
                await link.toolbox.upload("whole", pieces(), sha256=hashlib.sha256(content).hexdigest())
                back = bytearray()
                async for piece in link.toolbox.download("whole"):
                    if len(back) < 5 << 20 <= len(back) + len(piece):
                        proxy.cut()
                    back += piece
            group.cancel_scope.cancel()
    assert back == content
    assert proxy.connections == 4
