"""Bytes in lines of text: whole and in order, or ended."""

import random

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.transport.carried import HELD_BYTES, PIECE, Carried, ending, name_of, new_name, opened_by

pytestmark = pytest.mark.anyio

NAME = new_name()


class Pair:
    """Two ends joined by lines, which a test may change on the way."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.near = Carried(self._to_far, NAME)
        self.far = Carried(self._to_near, NAME)

    async def _to_far(self, line: bytes) -> None:
        self.lines.append(line)
        await self.far.feed(line)

    async def _to_near(self, line: bytes) -> None:
        await self.near.feed(line)


async def test_bytes_of_any_length_arrive_in_order() -> None:
    pair = Pair()
    content = random.Random(1).randbytes(5 * PIECE + 7)
    await pair.near.write(content)
    await pair.far.write(b"back")
    came = b""
    while len(came) < len(content):
        came += await pair.far.read(1000)
    assert came == content
    assert await pair.near.read(100) == b"back"
    assert [opened_by(line) for line in pair.lines] == [NAME, *[None] * 5]
    assert {name_of(line) for line in pair.lines} == {NAME}


async def test_the_end_is_told_and_what_came_before_is_still_read() -> None:
    pair = Pair()
    await pair.near.write(b"last words")
    await pair.near.close()
    await pair.near.close()
    assert pair.lines[1:] == [ending(NAME)]
    assert await pair.far.read(100) == b"last words"
    assert await pair.far.read(100) == b""
    with pytest.raises(SteadError) as caught:
        await pair.far.write(b"x")
    assert caught.value.code == "unavailable"


def _changed(line: bytes) -> list[bytes]:
    name, offset, crc, coded = line.split(b":")
    kernel = b"[    4.2] usb 1-1: new device"
    lines = [
        line[17:26],
        coded[:8] + kernel,
        offset + b":" + crc + b":" + coded[:12] + kernel,
        offset + b":" + crc + b":" + coded[4:],
        offset + b":" + crc + b":" + coded[:4].swapcase() + coded[4:],
        offset + b":" + crc[:-1] + b":" + coded,
        b"5:" + crc + b":" + coded,
        b"9" * 20 + b":" + crc + b":" + coded,
        offset + b":" + crc + b":",
        b"",
    ]
    return [name + b":" + each for each in lines]


async def test_what_is_not_what_was_sent_ends_the_connection() -> None:
    whole = Pair()
    await whole.near.write(b"some bytes to begin with")
    for line in _changed(whole.lines[0]):
        told: list[bytes] = []

        async def say(answer: bytes, told: list[bytes] = told) -> None:
            told.append(answer)

        end = Carried(say, NAME)
        await end.feed(line)
        assert (end.ended, told) == (True, [ending(NAME)]), line
        assert await end.read(1) == b""
        await end.feed(whole.lines[0])
        assert await end.read(1) == b""


async def test_lines_of_others_are_passed_over() -> None:
    pair = Pair()
    await pair.near.write(b"ours")
    for line in (b"", b"END", ending(new_name()), pair.lines[0].replace(NAME, new_name()), NAME):
        await pair.far.feed(line)
        assert not pair.far.ended
    assert name_of(b"0:00000000:AAAA") is None
    assert await pair.far.read(100) == b"ours"


async def test_a_line_that_is_lost_or_comes_twice_ends_the_connection() -> None:
    whole = Pair()
    await whole.near.write(bytes(3 * PIECE))
    first, second, third = whole.lines
    for lines in ([first, third], [first, first], [second]):
        pair = Pair()
        for line in lines:
            await pair.far.feed(line)
        assert pair.far.ended
        assert pair.near.ended


async def test_who_reads_nothing_is_not_sent_more_than_may_be_held() -> None:
    pair = Pair()
    more = bytes(HELD_BYTES + 10 * PIECE)
    async with anyio.create_task_group() as group:
        group.start_soon(pair.near.write, more)
        with anyio.fail_after(30):
            while sum(map(len, pair.lines)) < HELD_BYTES:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert (len(pair.lines) - 1) * PIECE <= HELD_BYTES
        came = 0
        while came < len(more):
            came += len(await pair.far.read(PIECE))
    assert came == len(more)
