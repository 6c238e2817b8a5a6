"""Pipes as bytes: with a child over its standard input and output."""

import os
import subprocess
import sys

import anyio
import pytest

from stead.transport import stdio
from stead.transport.framed import Framed

pytestmark = pytest.mark.anyio

CHILD = """
import anyio
from stead.transport import stdio
from stead.transport.framed import Framed
async def main():
    framed = Framed(await stdio.own())
    while (message := await framed.receive()) is not None:
        await framed.send(message)
anyio.run(main)
"""


async def test_messages_to_and_from_a_child() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    framed = Framed(await stdio.over(os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())))
    child.stdin.close()
    child.stdout.close()
    with anyio.fail_after(60):
        for message in ("text", bytes(1 << 20), b""):
            await framed.send(message)
            assert await framed.receive() == message
        await framed.close()
        assert await anyio.to_thread.run_sync(child.wait) == 0


async def test_the_end_of_a_pipe_is_the_end() -> None:
    reading, child_writes = os.pipe()
    child_reads, writing = os.pipe()
    stream = await stdio.over(reading, writing)
    os.write(child_writes, b"last words")
    os.close(child_writes)
    with anyio.fail_after(30):
        assert await stream.read(100) == b"last words"
        assert await stream.read(100) == b""
    os.close(child_reads)
    await stream.close()
