"""Messages over bytes, however they are cut."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.protocol.errors import SteadError
from stead.transport.framed import HEADER, Framed

pytestmark = pytest.mark.anyio


class Pieces:
    """Bytes that arrive in given pieces; what is written is collected."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.written = b""
        self.closed = 0

    async def read(self, limit: int) -> bytes:
        return self.pieces.pop(0)[:limit] if self.pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.closed += 1


async def read_all(framed: Framed) -> list[str | bytes]:
    messages = []
    while (message := await framed.receive()) is not None:
        messages.append(message)
    return messages


messages = st.lists(st.text(max_size=20) | st.binary(max_size=20), max_size=8)


@given(messages, st.lists(st.integers(1, 7), min_size=1), st.integers(0, 9))
def test_messages_survive_any_cuts(sent: list[str | bytes], cuts: list[int], before: int) -> None:
    async def trip() -> list[str | bytes]:
        out = Pieces([])
        for message in sent:
            await Framed(out).send(message)
        data, pieces = out.written[before:], []
        while data:
            size = cuts[len(pieces) % len(cuts)]
            pieces.append(data[:size])
            data = data[size:]
        return await read_all(Framed(Pieces(pieces), before=out.written[:before]))

    assert anyio.run(trip) == sent


@pytest.mark.parametrize(
    "data,code",
    [
        (HEADER.pack(101, 1), "too_large"),
        (HEADER.pack(1, 2) + b"x", "malformed"),
        (HEADER.pack(1, 0) + b"\xff", "malformed"),
    ],
)
async def test_what_cannot_be_is_a_typed_error_before_it_is_kept(data: bytes, code: str) -> None:
    with pytest.raises(SteadError) as caught:
        await Framed(Pieces([data]), limit=100).receive()
    assert caught.value.code == code


async def test_a_message_cut_off_by_the_end_is_no_message() -> None:
    assert await Framed(Pieces([HEADER.pack(5, 1) + b"abc"])).receive() is None


async def test_closing_closes_what_is_below_and_ends_receiving() -> None:
    pieces = Pieces([HEADER.pack(1, 1) + b"a"])
    framed = Framed(pieces)
    assert not framed.ready()
    await framed.close()
    assert await framed.receive() is None
    assert pieces.closed == 1
