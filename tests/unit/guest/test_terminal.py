"""A terminal that nobody reads, and one that is closed under its reader."""

import contextlib
import os

import anyio
import pytest

from stead.guest.terminal import LEFT_BYTES, TYPED_BYTES, Terminal

pytestmark = pytest.mark.anyio


async def test_keys_that_nobody_reads_are_bounded() -> None:
    terminal = Terminal((24, 80))
    for _ in range(10):
        terminal.write(b"x" * TYPED_BYTES)
    assert len(terminal._typed) <= TYPED_BYTES
    terminal.close()
    terminal.write(b"x")


async def test_what_is_typed_and_shown() -> None:
    terminal = Terminal((24, 80))
    program = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY)
    os.write(program, b"shown")
    with anyio.fail_after(30):
        assert await terminal.read(100) == b"shown"
        terminal.write(b"typed\n")
        assert os.read(program, 100) == b"typed\n"
    os.close(program)
    terminal.close()
    assert not os.path.lexists(terminal.name)


async def test_after_the_end_what_is_left_is_read_and_no_more() -> None:
    terminal = Terminal((24, 80))
    program = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    found = bytearray()
    with anyio.fail_after(30):
        os.write(program, b"last words")
        while len(found) < 10:
            found += await terminal.read(3)
        async with anyio.create_task_group() as group:
            group.start_soon(terminal.read, 3)
            await anyio.wait_all_tasks_blocked()
            terminal.end()
        assert await terminal.read(3) == b""
    assert found == b"last words"
    terminal.close()
    os.close(program)


async def test_a_program_that_goes_on_writing_after_the_end_holds_nobody_up() -> None:
    terminal = Terminal((24, 80))
    program = os.open(terminal.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    terminal.end()
    length = 0
    with anyio.fail_after(30):
        while length < LEFT_BYTES:
            with contextlib.suppress(BlockingIOError):
                os.write(program, b"x" * 1000)
            length += len(await terminal.read(1 << 12))
        os.write(program, b"more")
        assert await terminal.read(10) == b""
    assert length == LEFT_BYTES
    terminal.close()
    os.close(program)


async def test_closing_wakes_who_reads() -> None:
    terminal = Terminal((24, 80))
    found: list[bytes] = []

    async def read() -> None:
        found.append(await terminal.read(100))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            terminal.close()
    assert found == [b""]
