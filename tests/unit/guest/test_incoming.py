"""Lines as they come: whole, in order, and never longer than they may be."""

import socket

import anyio
import pytest

from stead.guest.incoming import Incoming, TooLongError
from stead.transport import unix
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio

MOST = 10


async def _read(content: bytes, **options: bool) -> list[bytes | str]:
    """What comes of it; "too long" where that is told."""
    ours, theirs = socket.socketpair()
    far, near = await unix.over(ours), await unix.over(theirs)
    incoming = Incoming(near, MOST, **options)
    found: list[bytes | str] = []
    with anyio.fail_after(PATIENCE):
        await far.write(content)
        await far.close()
        while True:
            try:
                line = await incoming.next()
            except TooLongError:
                found.append("too long")
                continue
            if line is None:
                break
            found.append(line)
    await near.close()
    return [*found, incoming.rest]


async def test_lines_and_what_is_left() -> None:
    assert await _read(b"one\n\ntwo\r\nhal") == [b"one", b"", b"two\r", b"hal"]
    assert await _read(b"one\rtwo\r\n", returns=True) == [b"one", b"two", b"", b""]


@pytest.mark.parametrize("size", [MOST, MOST + 1, 1000, 200_000])
async def test_a_line_over_the_limit_is_told_once_and_passed_over(size: int) -> None:
    assert await _read(b"a\n" + b"x" * size + b"\nb\n") == [b"a", "too long", b"b", b""]
    assert await _read(b"x" * (MOST - 1) + b"\nb\n") == [b"x" * (MOST - 1), b"b", b""]
