"""Buffers by absolute offset."""

from hypothesis import given
from hypothesis import strategies as st

from stead.protocol.flow import ReceiveBuffer, SendBuffer

WHOLE = bytes(range(256)) * 4


def test_written_bytes_are_kept_until_released() -> None:
    buffer = SendBuffer(bound=10)
    buffer.write(b"0123456")
    assert (buffer.start, buffer.end, buffer.room) == (0, 7, 3)
    assert buffer.peek(2, 3) == b"234"
    buffer.release(4)
    assert (buffer.start, buffer.room) == (4, 7)
    assert buffer.peek(4, 100) == b"456"
    buffer.release(2)
    assert buffer.start == 4
    buffer.release(99)
    assert (buffer.start, buffer.end) == (7, 7)


def test_what_can_change_is_copied_and_what_cannot_is_not() -> None:
    changing, fixed = bytearray(b"x" * 5000), b"y" * 5000
    for data in (changing, memoryview(changing), fixed[:-1], memoryview(fixed)[::-1]):
        buffer = SendBuffer()
        buffer.write(data)
        before = bytes(data)
        changing[0] ^= 1
        assert buffer.peek(0, 5000) == before
        assert buffer.peek(0, 5000) is not fixed
    buffer = SendBuffer()
    buffer.write(memoryview(fixed))
    assert buffer.peek(0, 5000) is fixed


@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 90_000), st.integers(1, 70_000)), max_size=30))
def test_any_writes_and_releases_keep_exactly_the_bytes_between(steps: list[tuple[int, int, int]]) -> None:
    source = WHOLE * 400
    buffer = SendBuffer(bound=200_000)
    for size, gone, limit in steps:
        data = source[buffer.end : buffer.end + min(size, buffer.room)]
        buffer.write(memoryview(data) if size % 2 else data)
        for offset in {buffer.start, (buffer.start + buffer.end) // 2, buffer.end}:
            assert buffer.peek(offset, limit) == source[offset : min(offset + limit, buffer.end)]
        buffer.release(buffer.start + gone)
        assert buffer.start <= buffer.end <= buffer.start + buffer.bound
    buffer.release(buffer.end)
    assert buffer.room == buffer.bound


def test_a_gap_is_told_and_nothing_is_taken() -> None:
    buffer = ReceiveBuffer(window=100)
    assert not buffer.offer(5, b"later")
    assert (buffer.received, buffer.take()) == (0, b"")


def test_what_does_not_fit_the_window_is_left() -> None:
    buffer = ReceiveBuffer(window=4)
    assert not buffer.offer(0, b"abcdef")
    assert (buffer.received, buffer.limit) == (4, 4)
    assert buffer.take() == b"abcd"
    assert buffer.limit == 8
    assert buffer.offer(2, b"cdef")
    assert buffer.take() == b"ef"


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), max_size=60), st.integers(1, 400))
def test_any_pieces_in_any_order_give_a_prefix_within_the_window(pieces: list[tuple[int, int]], window: int) -> None:
    buffer = ReceiveBuffer(window)
    got = b""
    for number, (offset, length) in enumerate(pieces):
        buffer.offer(offset, WHOLE[offset : offset + length])
        assert buffer.received - buffer.taken <= window
        if number % 3 == 0:
            got += buffer.take()
    while chunk := buffer.take():
        got += chunk
    assert got == WHOLE[: len(got)]
    assert buffer.received == buffer.taken == len(got)
