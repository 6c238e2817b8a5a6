"""A real virtual machine with our standalone guest on a virtio-serial port: the protocol's promises over the real channel."""

import hashlib
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
import pytest

from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import RpcGuest
from stead.sdk.guest.link import GuestLink
from stead.toolbox import behaviour
from stead.transport import unix
from support import machines
from support.machines import BOOT_SECONDS, Machine

pytestmark = [pytest.mark.anyio, pytest.mark.needs_engine("qemu"), pytest.mark.timeout(900)]

HUNDRED = 100 << 20


async def test_it_tells_what_it_is(machine: Machine) -> None:
    async with machine.client() as client:
        assert await client.ping() < BOOT_SECONDS
        assert "exec_command" in (await client.info()).capabilities
        system = await client.system()
        kernel = machines.kernel()
        assert kernel is not None
        assert system.kernel_version == kernel.name.removeprefix("vmlinuz-")
        assert (system.hostname, system.cpu_count, system.architecture) == ("machine", 1, "x86_64")
        assert 300_000 < system.total_memory_kb < 512 * 1024
        assert 0 < system.uptime_seconds < 3600
        [loopback] = (await client.network()).interfaces
        assert (loopback.name, loopback.state, loopback.mtu) == ("lo", "up", 65536)
        assert "127.0.0.1/8" in loopback.ipv4_addresses
        assert "/tmp" in [each.mount_point for each in (await client.disks()).filesystems]


async def test_commands_and_files(machine: Machine) -> None:
    async with machine.client() as client:
        done = await client.exec("sh", ["-c", "echo out; echo err >&2; exit 9"])
        assert (done.exit_code, done.stdout, done.stderr) == (9, "out\n", "err\n")
        assert (await client.exec("sh", ["-c", "kill -9 $$"])).exit_code == -1
        assert (await client.exec("pwd", cwd="/tmp")).stdout == "/tmp\n"
        await client.write("/tmp/a/b", b"\0\xff", parents=True, mode=0o640)
        assert await client.read("/tmp/a/b") == b"\0\xff"
        with pytest.raises(SteadError) as caught:
            await client.read("/tmp/nothing")
        assert caught.value.code == "not_found"


class Socat:
    """A person with socat: types requests, and reads what comes."""

    def __init__(self, machine: Machine) -> None:
        argv = ["socat", "-t30", "-", f"UNIX-CONNECT:{machine.socket}"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._number = 0

    def __call__(self, method: str, **params: object) -> Any:
        """The result, or the code of the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            answer = msgspec.json.decode(line) if line.strip() else {}
            if answer.get("id") == self._number:
                return answer["result"] if "result" in answer else answer["error"]["code"]
        raise AssertionError("the guest hung up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._process:
            self._process.kill()


def test_by_hand_through_socat(machine: Machine) -> None:
    """All ten methods; what switches the machine off is asked for what it refuses here, and truly in the last test."""
    anyio.run(machine.up)
    with Socat(machine) as ask:
        assert ask("ping")["pong"] is True
        assert ask("get_agent_info")["protocol_version"] == wire.VERSION
        assert ask("get_system_info")["hostname"] == "machine"
        assert [each["name"] for each in ask("get_network_info")["interfaces"]] == ["lo"]
        assert "/tmp" in [each["mount_point"] for each in ask("get_disk_usage")["filesystems"]]
        assert ask("exec_command", command="echo", args=["by", "hand"])["stdout"] == "by hand\n"
        assert ask("exec_command", command="no-such-program") == wire.COMMAND_FAILED
        written = ask("file_write", path="/tmp/by/hand", content="AP8=", encoding="base64", create_dirs=True)
        assert written == {"bytes_written": 2, "path": "/tmp/by/hand"}
        found = ask("file_read", path="/tmp/by/hand", encoding="base64")
        assert found == {"content": "AP8=", "size_bytes": 2, "encoding": "base64"}
        assert ask("file_read", path="/tmp/nothing") == wire.NOT_FOUND
        assert ask("shutdown", timeout_seconds="soon") == ask("reboot", timeout_seconds=-1) == wire.INVALID_PARAMS
        assert ask("no_such_method") == wire.METHOD_NOT_FOUND


async def test_a_long_command_holds_nobody_up(machine: Machine) -> None:
    async with machine.client() as client:
        ended: list[int] = []

        async def long() -> None:
            ended.append((await client.exec("sleep", ["300"], seconds=300)).exit_code)

        async with anyio.create_task_group() as group:
            group.start_soon(long)
            while (await client.exec("pidof", ["sleep"])).exit_code:
                await anyio.sleep(0.1)
            await client.ping()
            assert not ended
            await client.exec("killall", ["sleep"])
        assert ended == [-1]


async def test_a_hundred_megabytes_both_ways(machine: Machine) -> None:
    content = os.urandom(HUNDRED)
    async with machine.client() as client:
        assert await client.write("/tmp/large", content) == HUNDRED
        told = (await client.exec("sha256sum", ["/tmp/large"], seconds=120)).stdout.split()[0]
        assert told == hashlib.sha256(content).hexdigest()
        assert await client.read("/tmp/large") == content
        await client.exec("rm", ["/tmp/large"])


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff\xfe\x00 nonsense\n",
        b"x" * 200_000 + b"\n",
        b"[" * 60_000 + b"\n",
        b'{"jsonrpc":"2.0","id":1,"method":"file_read","params":{"path":"\\u0000"}}\n',
        b'{"jsonrpc":"2.0","id":{},"method":7}\n[]\n[1,2]\n',
        b'{"jsonrpc":"2.0","id":1,"meth',
    ],
)
async def test_rubbish_on_the_line_costs_nothing(machine: Machine, rubbish: bytes) -> None:
    await machine.up()
    stream = await unix.connect(machine.socket)
    with anyio.fail_after(BOOT_SECONDS):
        await stream.write(rubbish)
        await stream.close()
        async with machine.client() as client:
            assert (await client.exec("echo", ["well"])).stdout == "well\n"


async def test_who_comes_at_once_after_another_loses_nothing(machine: Machine) -> None:
    """The machine's system may say that one client is gone only when the next one was answered already."""
    for number in range(60):
        async with machine.client() as client:
            assert (await client.exec("echo", [str(number)])).stdout == f"{number}\n"
        if number % 4 == 0:
            async with GuestLink(machine.socket) as link:
                assert (await link.toolbox.exec(["echo", "link"])).stdout == b"link\n"


async def test_everything_a_workspace_promises(machine: Machine) -> None:
    await machine.up()
    async with GuestLink(machine.socket) as link:
        found = [outcome async for outcome in behaviour.run(link.toolbox)]
    assert "\n".join(f"{each.name}: {each.detail}" for each in found if not each.ok) == ""
    assert {each.name for each in found if not each.skipped} >= {"search-content", "search-outline", "watch-changes"}


async def test_its_power(image: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path, image)
    with machine:
        async with machine.client() as client:
            assert isinstance(client, RpcGuest)
            with pytest.raises(SteadError) as caught:
                await client.lines.call("shutdown", {"timeout_seconds": "soon"})
            assert caught.value.code == "invalid"
            began = time.monotonic()
            assert (await client.shutdown(seconds=3)).initiated
        assert await anyio.to_thread.run_sync(machine.off)
        assert time.monotonic() - began >= 3


async def test_a_client_outlives_its_machine(image: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path, image)
    with machine:
        async with machine.client() as client:
            assert (await client.reboot(force=True)).initiated
            assert await anyio.to_thread.run_sync(machine.off)
            machine.kill()
            machine.start()
            await machine.up()
            assert (await client.exec("echo", ["again"])).stdout == "again\n"
        with Socat(machine) as ask:
            assert (await anyio.to_thread.run_sync(lambda: ask("shutdown", timeout_seconds=1)))["initiated"] is True
        assert await anyio.to_thread.run_sync(machine.off)
