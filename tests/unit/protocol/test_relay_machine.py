"""Two ends with a relay between them that has a small queue and drops what does not fit.

The machine writes, sends, lets the relay's links move a little or not at all, takes, ends and resumes in any order. After
every step: what was taken is a prefix of what was written, and neither the relay nor an end keeps more than its bound. At the
end everything must arrive.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stead.protocol.connections import whole
from stead.protocol.flow import WINDOW
from stead.protocol.frames import Frame
from stead.protocol.link import Link
from stead.protocol.stream import StreamEnd

PATTERN = bytes((number * 11 + (number >> 8)) & 255 for number in range(1 << 20))
QUEUE = 150_000
SIDES = st.integers(0, 1)


class Way:
    """One direction: a program and its end, the relay's link away from it, and the end it leads to."""

    def __init__(self) -> None:
        self.end = StreamEnd("st_1")
        self.written = 0
        self.taken = b""
        self.link = Link(queue_bytes=QUEUE, window=200_000)
        self.arrivals = Link(window=200_000)
        self.lost = False
        self.dropped = 0

    def send(self, most: int = 1000) -> bool:
        """The end's frames reach the relay, which queues or drops them."""
        moved = False
        while most and (frame := self.end.next_frame()) is not None:
            most -= 1
            moved = True
            if self.lost or not self.link.post(frame):
                self.lost = True
                self.dropped += 1
        return moved

    def move(self, target: StreamEnd, most: int = 1000) -> bool:
        """Frames leave the relay and arrive."""
        moved = False
        while most and (batch := self.link.batch(1)):
            most -= 1
            moved = True
            data = whole(batch[0])
            assert isinstance(data, bytes)
            frame = Frame.decode(data)
            target.frame(frame)
            due = self.arrivals.took(frame)
            if due is not None:
                self.link.credited(due)
        return moved

    def take(self) -> None:
        self.taken += self.end.take()
        if self.end.at_end:
            self.end.take_end()


class RelayedStream(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.ways = (Way(), Way())

    @rule(side=SIDES, size=st.integers(1, 200_000))
    def write(self, side: int, size: int) -> None:
        way = self.ways[side]
        way.written += way.end.write(PATTERN[way.written : way.written + size])
        way.send()

    @rule(side=SIDES, most=st.integers(1, 5))
    def move(self, side: int, most: int) -> None:
        self.ways[side].move(self.ways[1 - side].end, most)

    @rule(side=SIDES)
    def take(self, side: int) -> None:
        self.ways[side].take()
        self.ways[side].send()

    @rule(side=SIDES)
    def end(self, side: int) -> None:
        self.ways[side].end.end(b'"result"')
        self.ways[side].send()

    @rule()
    def resume(self) -> None:
        """The opener heard of a loss (or of nothing: that must be harmless) and overtakes what still waits in the relay."""
        one, other = self.ways
        one.lost = other.lost = False
        one.end.resume(other.end.received)
        other.end.resume(one.end.received)
        one.send()
        other.send()

    @invariant()
    def what_was_taken_is_what_was_written(self) -> None:
        for one, other in (self.ways, reversed(self.ways)):
            assert one.taken == PATTERN[: len(one.taken)]
            assert len(one.taken) <= other.written

    @invariant()
    def memory_is_bounded(self) -> None:
        for way in self.ways:
            assert way.link.waiting <= QUEUE
            assert way.end.kept <= WINDOW
            assert way.end.waiting <= WINDOW
            assert way.end.fault is None

    def teardown(self) -> None:
        """The links move again; the opener resumes whenever something was lost or a gap shows."""
        for way in self.ways:
            way.end.end(b'"result"')
        for _ in range(60):
            self.settle()
            if all(way.end.over for way in self.ways):
                break
            self.resume()
        for one, other in (self.ways, reversed(self.ways)):
            assert one.end.over
            while one.end.waiting:
                one.take()
            assert one.taken == PATTERN[: other.written]
            assert one.end.result == b'"result"'

    def settle(self) -> None:
        moving = True
        while moving:
            moving = False
            for side, way in enumerate(self.ways):
                moving = way.send() or moving
                moving = way.move(self.ways[1 - side].end) or moving
                self.ways[1 - side].take()


TestRelayedStream = RelayedStream.TestCase
TestRelayedStream.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
