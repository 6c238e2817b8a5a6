"""One side of a link, pure: what waits to be sent, in which order, and what the other side has taken.

Contract. `send` queues a text message, `post` a frame (False: the queue is full, the frame was not taken). `batch` gives
what to write now, in this order: control (text messages, CREDIT and RESET frames), terminal input, terminal output, bulk.
Streams of one lane take fair turns; frames of one stream keep their order. At most `window` payload bytes are outstanding
at the other side, of which bulk may use three quarters; text messages never wait for that. `took` counts what arrived and
tells when a `link.credit` is due; `credited` is what the other side says. `Silence` turns times into what is due.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from stead.protocol.connections import Cut, Outgoing
from stead.protocol.frames import Frame, FrameKind

LINK_WINDOW = 1 << 20
"""The most payload bytes of frames outstanding on one link and direction."""
QUEUE_BYTES = 1 << 20
"""The most payload bytes that wait for one link."""
CONTROL_BYTES = 8 << 20
"""The most bytes of text messages that wait for one link; senders of more wait."""
OVERHEAD = 96
"""What a frame counts beyond its payload, so that empty frames are bounded too."""


class Lane(IntEnum):
    """The turns, first to last."""

    CONTROL = 0
    INPUT = 1
    OUTPUT = 2
    BULK = 3


_LANES: dict[int, Lane] = {
    FrameKind.CREDIT: Lane.CONTROL,
    FrameKind.RESET: Lane.CONTROL,
    FrameKind.TERMINAL_INPUT: Lane.INPUT,
    FrameKind.TERMINAL_OUTPUT: Lane.OUTPUT,
}


def lane_of(kind: int) -> Lane:
    """The lane of a kind of frame; an END follows the bytes of its stream, so it goes last."""
    return _LANES.get(kind, Lane.BULK)


def counted(frame: Frame) -> int:
    """How much of the link's window a frame takes."""
    return 0 if lane_of(frame.kind) is Lane.CONTROL else len(frame.payload)


class _Turns:
    """Frames of one lane: in order within a stream, one frame a turn between streams."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Frame]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def push(self, frame: Frame) -> None:
        queue = self._queues.get(frame.stream_id)
        if queue is None:
            self._queues[frame.stream_id] = deque((frame,))
        else:
            queue.append(frame)

    def first(self) -> Frame:
        return next(iter(self._queues.values()))[0]

    def pop(self) -> Frame:
        name = next(iter(self._queues))
        queue = self._queues.pop(name)
        frame = queue.popleft()
        if queue:
            self._queues[name] = queue
        return frame


class Link:
    """The state of one side."""

    def __init__(self, queue_bytes: int = QUEUE_BYTES, window: int = LINK_WINDOW) -> None:
        self.waiting = 0
        self.control_waiting = 0
        self._queue_bytes = queue_bytes
        self._window = window
        self._control: deque[str | Frame] = deque()
        self._lanes = {lane: _Turns() for lane in (Lane.INPUT, Lane.OUTPUT, Lane.BULK)}
        self._sent = 0
        self._credited = 0
        self._taken = 0
        self._told = 0
        self._requests = 0

    def next_id(self) -> str:
        """A request id that this side has not used on this link."""
        self._requests += 1
        return f"r{self._requests}"

    # --- sending

    def room(self, size: int) -> bool:
        """Whether a frame with this much payload would be taken."""
        return self.waiting + size + OVERHEAD <= self._queue_bytes

    def send(self, text: str, first: bool = False) -> None:
        """Queues a text message, or puts it before everything else."""
        self.control_waiting += len(text)
        if first:
            self._control.appendleft(text)
        else:
            self._control.append(text)

    def post(self, frame: Frame) -> bool:
        """Queues a frame if there is room."""
        size = len(frame.payload)
        if not self.room(size):
            return False
        self.waiting += size + OVERHEAD
        lane = lane_of(frame.kind)
        if lane is Lane.CONTROL:
            self._control.append(frame)
        else:
            self._lanes[lane].push(frame)
        return True

    @property
    def sendable(self) -> bool:
        """Whether `batch` would give something."""
        return bool(self._control) or self._open_lane() is not None

    def batch(self, limit: int = 64 << 10) -> list[Outgoing]:
        """What to write now: at least one message if there is one, then more up to about `limit` bytes."""
        messages: list[Outgoing] = []
        size = 0
        while size < limit and (message := self._next()) is not None:
            messages.append(message)
            size += message.size if isinstance(message, Cut) else len(message)
        return messages

    def _next(self) -> Outgoing | None:
        if self._control:
            first = self._control.popleft()
            if isinstance(first, str):
                self.control_waiting -= len(first)
                return first
            return self._leave(first)
        turns = self._open_lane()
        return None if turns is None else self._leave(turns.pop())

    def _open_lane(self) -> _Turns | None:
        """The first lane with a frame that the other side's window admits."""
        if not self.waiting:
            return None
        outstanding = self._sent - self._credited
        for lane, turns in self._lanes.items():
            if turns:
                window = self._window * 3 // 4 if lane is Lane.BULK else self._window
                if outstanding + len(turns.first().payload) <= window:
                    return turns
        return None

    def _leave(self, frame: Frame) -> bytes | Cut:
        self.waiting -= len(frame.payload) + OVERHEAD
        self._sent += counted(frame)
        return frame.cut()

    # --- receiving

    def took(self, frame: Frame) -> int | None:
        """Counts a frame that arrived; the number for a `link.credit` when one is due."""
        self._taken += counted(frame)
        if self._taken - self._told < self._window * 3 // 8:
            return None
        self._told = self._taken
        return self._taken

    def credited(self, taken: int) -> None:
        """The other side has taken this much; less than before or more than was sent changes nothing."""
        if self._credited < taken <= self._sent:
            self._credited = taken


class Silence:
    """Deadlines of a link as data: when to ping, and when the other side is given up."""

    def __init__(self, now: float, ping: float, dead: float) -> None:
        self.heard = now
        self._ping = ping
        self._dead = dead
        self._pinged = now

    def due(self, now: float) -> str:
        """ "dead", "ping" (counted as sent) or nothing."""
        if now - self.heard >= self._dead:
            return "dead"
        if now - max(self.heard, self._pinged) >= self._ping:
            self._pinged = now
            return "ping"
        return ""

    def wait(self, now: float) -> float:
        """Seconds until something may be due."""
        soonest = min(max(self.heard, self._pinged) + self._ping, self.heard + self._dead)
        return max(0.0, soonest - now)
