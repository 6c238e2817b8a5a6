"""A terminal that nobody reads, and one that is closed under its reader."""

import os

import anyio
import pytest

from stead.guest.terminal import TYPED_BYTES, Terminal

pytestmark = pytest.mark.anyio


async def test_keys_that_nobody_reads_are_bounded() -> None:
    terminal = Terminal((24, 80))
    for _ in range(10):
        terminal.write(b"x" * TYPED_BYTES)
    assert len(terminal._typed) <= TYPED_BYTES
    terminal.close()
    terminal.write(b"x")
    assert terminal.pending(10) == b""


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
