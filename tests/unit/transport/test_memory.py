"""Messages in memory, with and without faults."""

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.testing.faults import Faults
from stead.transport import memory

pytestmark = pytest.mark.anyio


async def test_messages_keep_their_borders_kinds_and_order() -> None:
    one, two = memory.pair()
    await one.send("text")
    await one.send(b"binary")
    one.put(["a", b"b"])
    assert [await two.receive() for _ in range(4)] == ["text", b"binary", "a", b"b"]


async def test_a_full_queue_makes_the_sender_wait() -> None:
    one, two = memory.pair()
    while one.ready():
        await one.send(bytes(60_000))
    with anyio.move_on_after(0.05) as scope:
        await one.send(b"more")
    assert scope.cancelled_caught
    for _ in range(3):
        await two.receive()
    with anyio.fail_after(30):
        await one.send(b"more")


async def test_after_the_end_what_arrived_can_be_read_and_sending_fails() -> None:
    one, two = memory.pair()
    await one.send("last")
    await one.close()
    assert [await two.receive(), await two.receive()] == ["last", None]
    with pytest.raises(SteadError) as caught:
        await two.send("late")
    assert caught.value.code == "unavailable"
    await two.close()


async def test_faults_lose_double_and_delay_by_their_seed() -> None:
    seen = []
    for _ in range(2):
        faults = Faults(7, lose=0.3, double=0.3)
        one, two = memory.pair(faults)
        for number in range(100):
            await one.send(bytes([number]))
        await one.close()
        seen.append([message async for message in received(two)])
        assert faults.lost > 10
        assert faults.doubled > 10
        assert len(seen[-1]) == 100 - faults.lost + faults.doubled
    assert seen[0] == seen[1]


async def test_a_fault_may_cut_the_link() -> None:
    one, two = memory.pair(Faults(1, cut_after=2))
    for text in ("a", "b"):
        await one.send(text)
    await one.send("c")
    assert [message async for message in received(two)] == ["a", "b"]


async def received(end: memory.MemoryEnd):
    while (message := await end.receive()) is not None:
        yield message
