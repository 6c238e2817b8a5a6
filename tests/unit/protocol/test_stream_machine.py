"""Any interleaving of loss, delay, duplication, reordering and reconnect delivers every byte once and in order.

Two ends and a network of two bags of frames. The machine writes, takes, ends, delivers from anywhere in the bag, doubles,
drops and resumes in any order, and checks after every step that what was taken is a prefix of what was written and that
both buffers are within their window. At the end the network heals, and everything must arrive, ends and results included.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stead.protocol.flow import WINDOW
from stead.protocol.frames import BULK_BYTES, PAYLOAD_BYTES, Frame
from stead.protocol.stream import StreamEnd

PATTERN = bytes((number * 7 + (number >> 8)) & 255 for number in range(1 << 20))
SIDES = st.integers(0, 1)
SIZES = st.integers(1, 3000) | st.integers(1, 200_000)


class Side:
    """One end with what its program wrote and took."""

    def __init__(self, large: bool) -> None:
        self.end = StreamEnd("st_1", large=large)
        self.written = 0
        self.taken = b""
        self.bag: list[Frame] = []

    def transmit(self, most: int = 1000) -> int:
        """Puts what the end has to send into the network."""
        count = 0
        while count < most and (frame := self.end.next_frame()) is not None:
            self.bag.append(frame)
            count += 1
        return count

    def take(self) -> None:
        self.taken += self.end.take()
        if self.end.at_end:
            self.end.take_end()


class Network(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Side(large=True), Side(large=False))
        self.numbers: list[tuple[int, int]] = []

    @rule(side=SIDES, sizes=st.lists(SIZES, min_size=1, max_size=5))
    def write(self, side: int, sizes: list[int]) -> None:
        """The program writes, and each write goes out."""
        one = self.sides[side]
        for size in sizes:
            one.written += one.end.write(PATTERN[one.written : one.written + size])
            one.transmit()

    @rule(most=st.sampled_from((PAYLOAD_BYTES, 100_000, BULK_BYTES, 2 * BULK_BYTES)))
    def admit(self, most: int) -> None:
        """The hops in between change, and with them how large frames may be."""
        self.sides[1].end.admit(most)

    @rule(side=SIDES, most=st.integers(1, 4))
    def transmit(self, side: int, most: int) -> None:
        self.sides[side].transmit(most)

    @rule(side=SIDES)
    def end(self, side: int) -> None:
        self.sides[side].end.end(b'"result"')
        self.sides[side].transmit()

    @rule(side=SIDES, order=st.lists(st.integers(0, 20), max_size=8), takes=st.booleans())
    def deliver(self, side: int, order: list[int], takes: bool) -> None:
        """Frames arrive from anywhere in the network, in any order, some of them twice; they may arrive again later."""
        bag = self.sides[side].bag
        for where in order if bag else ():
            self.sides[1 - side].end.frame(bag[where % len(bag)])
        if takes:
            self.take(1 - side)

    @rule(side=SIDES)
    def deliver_in_order(self, side: int) -> None:
        bag = self.sides[side].bag
        while bag:
            self.sides[1 - side].end.frame(bag.pop(0))
        self.take(1 - side)

    @rule(side=SIDES, where=st.integers(0, 20), count=st.integers(1, 5))
    def lose(self, side: int, where: int, count: int) -> None:
        del self.sides[side].bag[where : where + count]

    @rule(side=SIDES)
    def take(self, side: int) -> None:
        self.sides[side].take()
        self.sides[side].transmit()

    @rule()
    def cut(self) -> None:
        """The link is lost with everything on it."""
        for side in self.sides:
            side.bag.clear()
            side.end.suspend()

    @rule(side=SIDES)
    def ask(self, side: int) -> None:
        """An end says what it has received; the number arrives some time later."""
        self.numbers.append((1 - side, self.sides[side].end.received))

    @precondition(lambda self: self.numbers)
    @rule(where=st.integers(0, 1000), keep=st.booleans())
    def answer(self, where: int, keep: bool) -> None:
        at = where % len(self.numbers)
        side, received = self.numbers[at] if keep else self.numbers.pop(at)
        self.sides[side].end.resume(received)

    @invariant()
    def what_was_taken_is_what_was_written(self) -> None:
        for one, other in (self.sides, reversed(self.sides)):
            assert one.taken == PATTERN[: len(one.taken)]
            assert len(one.taken) <= other.written

    @invariant()
    def memory_is_bounded(self) -> None:
        for side in self.sides:
            assert side.end.kept <= WINDOW
            assert side.end.waiting <= WINDOW

    @invariant()
    def nothing_failed(self) -> None:
        assert not any(side.end.fault for side in self.sides)

    def teardown(self) -> None:
        """The network heals; everything arrives."""
        self.cut()
        for side in self.sides:
            side.end.end(b'"result"')
        for _ in range(40):
            self.heal()
            if all(side.end.over for side in self.sides):
                break
        for one, other in (self.sides, reversed(self.sides)):
            assert one.end.over
            one.take()
            while one.end.waiting:
                one.take()
            assert one.taken == PATTERN[: other.written]
            assert one.end.result == b'"result"'
            assert one.end.kept == 0

    def heal(self) -> None:
        one, other = self.sides
        one.end.resume(other.end.received)
        other.end.resume(one.end.received)
        moving = True
        while moving:
            moving = False
            for number, side in enumerate(self.sides):
                moving = bool(side.transmit()) or moving
                self.deliver_in_order(number)
                side.take()


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)
