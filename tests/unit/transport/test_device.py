"""Virtio-serial ports by name, and a character device that comes and goes; the real port is in tests/integration/machine."""

import os
import tty
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.transport.device import Device, find

pytestmark = pytest.mark.anyio

NAME = "org.example.agent.0"


def _port(ports: Path, device: str, name: str) -> None:
    (ports / device).mkdir(parents=True)
    (ports / device / "name").write_text(f"{name}\n")


async def test_a_port_is_found_by_its_link_or_by_what_the_system_calls_it(tmp_path: Path) -> None:
    links, ports = tmp_path / "links", tmp_path / "ports"
    links.mkdir()
    _port(ports, "vport0p1", "another")
    _port(ports, "vport0p2", NAME)
    assert find(NAME, links, ports) == Path("/dev/vport0p2")
    (links / NAME).touch()
    assert find(NAME, links, ports) == links / NAME
    assert find("/dev/other", links, ports) == Path("/dev/other")
    with pytest.raises(SteadError) as caught:
        find("nothing", links, ports)
    assert caught.value.code == "not_found"


async def test_bytes_both_ways_until_the_other_side_is_gone() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    device = Device(Path(os.ttyname(theirs)))
    os.close(theirs)
    with anyio.fail_after(30):
        assert device.present()
        await device.write(b"out")
        assert os.read(ours, 10) == b"out"
        os.write(ours, b"in")
        assert await device.read(10) == b"in"
        os.close(ours)
        assert await device.read(10) == b""
        assert not device.present()
        with pytest.raises(SteadError):
            await device.write(b"x")
        await device.close()
        await device.close()
        assert await device.read(10) == b""


async def test_closing_wakes_who_waits() -> None:
    ours, theirs = os.openpty()
    device = Device(Path(os.ttyname(theirs)))
    found: list[bytes] = []

    async def read() -> None:
        found.append(await device.read(10))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await device.close()
    assert found == [b""]
    os.close(ours)
    os.close(theirs)


async def test_what_is_not_there_or_no_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(SteadError):
        Device(tmp_path / "nothing")
    (tmp_path / "file").touch()
    device = Device(tmp_path / "file")
    with pytest.raises(SteadError):
        device.raw()
    await device.close()


async def test_what_comes_while_nobody_reads_waits_in_order() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    device = Device(Path(os.ttyname(theirs)))
    got = bytearray()
    with anyio.fail_after(30):
        os.write(ours, b"first")
        while got != b"first":
            got += await device.read(2)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            os.write(ours, b"second")
            await anyio.wait_all_tasks_blocked()
            os.write(ours, b"third")
        while got != b"firstsecondthird":
            got += await device.read(3)
        await device.close()
    os.close(ours)
    os.close(theirs)


async def test_a_device_has_its_next_visitor_after_an_end(tmp_path: Path) -> None:
    path = tmp_path / "port"
    os.mkfifo(path)
    device = Device(path)
    found: list[bytes] = []

    async def read() -> None:
        found.append(await device.read(10))

    with anyio.fail_after(30):
        for visitor in (b"one", b"two"):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                with path.open("wb", buffering=0) as file:
                    file.write(visitor)
        await device.close()
    assert found == [b"one", b"two"]


async def _all(descriptor: int, size: int) -> bytes:
    """Reads until so much is there."""
    found = bytearray()
    while len(found) < size:
        await anyio.wait_readable(descriptor)
        found += os.read(descriptor, 1 << 16)
    return bytes(found)


async def test_what_the_system_does_not_take_at_once_goes_out_in_order() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    device = Device(Path(os.ttyname(theirs)))
    first, second, third = b"1" * 70_000, b"2" * 70_000, b"3" * 70_000
    with anyio.fail_after(30):
        assert device.ready()
        device.put([first[:10], memoryview(first)[10:20], b"", memoryview(first)[20:]])
        assert not device.ready()
        async with anyio.create_task_group() as group:
            group.start_soon(device.write, second)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(device.write, third)
            await anyio.wait_all_tasks_blocked()
            assert await _all(ours, 210_000) == first + second + third
        assert device.ready()
        await device.close()
        assert not device.ready()
    os.close(ours)
    os.close(theirs)


async def test_what_waits_for_somebody_who_is_gone_never_reaches_the_next() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    device = Device(Path(os.ttyname(theirs)))
    failed: list[str] = []

    async def write() -> None:
        try:
            await device.write(b"second")
        except SteadError as error:
            failed.append(error.code)

    with anyio.fail_after(30):
        device.put([b"1" * 70_000])
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            device.drop()
        assert failed == ["unavailable"]
        assert device.ready()
        device.put([b"next"])
        found = b""
        while not found.endswith(b"next"):
            found += await _all(ours, 1)
        assert len(found) < 70_000
        assert found.strip(b"1") == b"next"
        await device.close()
    os.close(ours)
    os.close(theirs)
