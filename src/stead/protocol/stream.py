"""One end of one stream, pure: bytes and frames in, bytes and frames out.

Contract. The owner calls `write` with at most `room` bytes, `end` once, and sends every frame that `next_frame` gives,
in order; it passes every frame that arrives to `frame`; the consumer calls `take`, and `take_end` when `at_end`. Taking
grants credit to the other end. When the link was lost or frames were dropped, the owner calls `suspend`, exchanges
`received` with the other end (`stream.resume`), and calls `resume` with the other's number: what is missing is sent again,
and what arrives twice is taken once. `gap` says that bytes are missing in front of a frame that arrived, so that a resume
is due. `fault` is set when the stream was reset by either end, or when the two ends cannot be joined without losing bytes.
`over` is true when nothing more can happen. `consumed`: how many written bytes the other end's consumer has taken.

Offsets: an END counts as one more offset when it is consumed, so that its sender knows (`consumed == bytes + 1`).
"""

from __future__ import annotations

import msgspec

from stead.protocol.errors import Fault, SteadError
from stead.protocol.flow import WINDOW, ReceiveBuffer, SendBuffer
from stead.protocol.frames import (
    BULK_BYTES,
    BYTES_KINDS,
    CONSUMED,
    CONSUMED_AND_MOST,
    PAYLOAD_BYTES,
    Frame,
    FrameKind,
    payload_limit,
)

TERMINAL = "terminal"
"""The stream kind whose bytes are typed and shown, in frames of their own kinds and lanes."""


def frame_kind(kind: str, opener: bool) -> FrameKind:
    """The kind of frame in which this end sends its bytes."""
    if kind != TERMINAL:
        return FrameKind.DATA
    return FrameKind.TERMINAL_INPUT if opener else FrameKind.TERMINAL_OUTPUT


class StreamEnd:
    """The state of one end."""

    def __init__(
        self, stream_id: str, kind: FrameKind = FrameKind.DATA, window: int = WINDOW, *, large: bool = False
    ) -> None:
        self.stream_id = stream_id
        self.kind = kind
        self.gap = False
        self.fault: SteadError | None = None
        self.suspended = False
        self.result = b""
        self.end_taken = False
        self.consumed = 0
        self._out = SendBuffer()
        self._limit = WINDOW
        self._sent = 0
        self._ended: bytes | None = None
        self._end_sent = False
        self._end_acknowledged = False
        self._reset_due = False
        self._in = ReceiveBuffer(window)
        self._final: int | None = None
        self._told = WINDOW
        self._large = large
        self._tells_most = False
        self.most = PAYLOAD_BYTES if kind is FrameKind.DATA else payload_limit(kind)
        self._credit_due = window != WINDOW

    # --- sending

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        if self._ended is not None or self.fault:
            return 0
        return max(0, min(self._out.room, self._limit - self._out.end))

    @property
    def ended(self) -> bool:
        """Whether this end's direction is over."""
        return self._ended is not None

    def write(self, data: bytes | memoryview) -> int:
        """Takes what there is room for and says how much that was."""
        count = min(len(data), self.room)
        if count:
            self._out.write(data[:count])
        return count

    def end(self, result: bytes = b"") -> None:
        """This end's direction is over, with a JSON result; again changes nothing."""
        if len(result) > PAYLOAD_BYTES:
            raise SteadError("too_large", f"the result of a stream has at most {PAYLOAD_BYTES} bytes")
        if self._ended is None and not self.fault:
            self._ended = result

    def reset(self, fault: SteadError) -> None:
        """The stream is over in both directions at once; the other end is told."""
        if not self.fault and not self.over:
            self._reset_due = True
            self.fail(fault)

    def fail(self, fault: SteadError) -> None:
        """The stream is over here; the other end is not told, because it is gone or said so itself."""
        if not self.fault:
            self.fault = fault
            self._in.clear()

    def next_frame(self) -> Frame | None:
        """The next frame to send, or None when there is nothing to send now."""
        if self.fault:
            return self._reset_frame()
        if self._credit_due:
            return self._credit_frame()
        if self.suspended:
            return None
        if self._sent < self._out.end:
            return self._bytes_frame()
        if self._ended is not None and not self._end_sent:
            self._end_sent = True
            return Frame(FrameKind.END, self.stream_id, self._out.end, self._ended)
        return None

    def _reset_frame(self) -> Frame | None:
        if not self._reset_due or self.fault is None:
            return None
        self._reset_due = False
        return Frame(FrameKind.RESET, self.stream_id, self._sent, _fault_bytes(self.fault))

    def _credit_frame(self) -> Frame:
        self._credit_due = False
        self._told = self._in.limit
        consumed = self._final + 1 if self.end_taken and self._final is not None else self._in.taken
        payload = CONSUMED_AND_MOST.pack(consumed, self.most) if self._tells_most else CONSUMED.pack(consumed)
        return Frame(FrameKind.CREDIT, self.stream_id, self._told, payload)

    def _bytes_frame(self) -> Frame:
        at = self._sent
        payload = self._out.peek(at, self.most)
        self._sent = at + len(payload)
        return Frame(self.kind, self.stream_id, at, payload)

    # --- receiving

    @property
    def received(self) -> int:
        """How many bytes of the other direction have arrived in order."""
        return self._in.received

    @property
    def waiting(self) -> int:
        """How many bytes have arrived and were not taken."""
        return self._in.received - self._in.taken

    @property
    def kept(self) -> int:
        """How many written bytes are kept until the other end has them."""
        return self._out.end - self._out.start

    @property
    def arrived(self) -> bool:
        """Whether all of the other direction has arrived, its end included."""
        return self._final is not None and self._in.received == self._final

    @property
    def at_end(self) -> bool:
        """Whether the consumer has taken every byte there will be."""
        return self.arrived and self._in.taken == self._final

    @property
    def over(self) -> bool:
        """Whether nothing more can happen: reset and said so, or both directions over and known to be."""
        if self.fault:
            return not self._reset_due
        return self.arrived and self._end_acknowledged and not self._credit_due

    @property
    def complete(self) -> bool:
        """Whether this end has everything of the other and has said everything; only acknowledgements are missing."""
        return self.arrived and self._ended is not None

    def frame(self, frame: Frame) -> None:
        """What arrived for this stream; unknown kinds are ignored."""
        if self.fault:
            return
        if frame.kind in BYTES_KINDS:
            self.gap = not self._in.offer(frame.seq, frame.payload) or self.gap
        elif frame.kind == FrameKind.CREDIT:
            self._credited(frame)
        elif frame.kind == FrameKind.END:
            self._ending(frame)
        elif frame.kind == FrameKind.RESET:
            self.fail(_fault_of(frame.payload))

    def _credited(self, frame: Frame) -> None:
        if len(frame.payload) not in {CONSUMED.size, CONSUMED_AND_MOST.size}:
            return
        (consumed,) = CONSUMED.unpack_from(frame.payload)
        if consumed > self._out.end + self.ended:
            return
        if self._large and len(frame.payload) == CONSUMED_AND_MOST.size:
            self.most = _most(CONSUMED_AND_MOST.unpack(frame.payload)[1])
        self._limit = max(self._limit, frame.seq)
        self.consumed = max(self.consumed, min(consumed, self._out.end))
        self._release(self.consumed)
        if consumed > self._out.end:
            self._end_acknowledged = self._end_sent = True
            self._settle()

    def _release(self, offset: int) -> None:
        self._out.release(offset)
        self._sent = max(self._sent, offset)

    def _ending(self, frame: Frame) -> None:
        if frame.seq > self._in.received:
            self.gap = True
        elif frame.seq == self._in.received and self._final is None:
            self._final = frame.seq
            self.result = bytes(frame.payload)
        elif self.end_taken:
            self._credit_due = True
        self._settle()

    def _settle(self) -> None:
        """Once the other end knows of our end and all of its bytes are here, it need not wait for the consumer."""
        if self.arrived and self._end_acknowledged:
            self.take_end()

    def take(self) -> bytes:
        """The next bytes for the consumer; empty when there are none now."""
        data = self._in.take()
        if self._in.limit - self._told >= self._in.window // 2:
            self._credit_due = True
        return data

    def take_end(self) -> None:
        """The consumer knows of the end; so will the other end."""
        if not self.end_taken:
            self.end_taken = True
            self._credit_due = True

    # --- large frames

    def admit(self, frame_bytes: int) -> None:
        """The opener and all hops take frames with this much payload; the opener is told what this end takes."""
        if self.kind is FrameKind.DATA:
            self.most = _most(frame_bytes)
            self._tells_most = self.most > PAYLOAD_BYTES

    # --- after a loss

    def suspend(self) -> None:
        """Nothing but credit is sent until `resume`."""
        self.suspended = True

    def resume(self, received: int) -> None:
        """Goes on from what the other end has. An old number is harmless: what was acknowledged since stays so. A number
        beyond what was written means that this end lost bytes the other has: "stream_reset" on both sides, with
        `missing` as the two offsets."""
        self.suspended = False
        self.gap = False
        if self._large:
            self.most = PAYLOAD_BYTES
        if received > self._out.end:
            missing = [self._out.end, received]
            self.reset(SteadError("stream_reset", "bytes between two offsets are gone", missing=missing))
            return
        self._out.release(received)
        self._sent = max(received, self._out.start)
        self._end_sent = self._end_acknowledged
        self._credit_due = True


def _most(frame_bytes: int) -> int:
    return max(PAYLOAD_BYTES, min(frame_bytes, BULK_BYTES))


def _fault_bytes(error: SteadError) -> bytes:
    data = msgspec.json.encode(error.fault())
    return data if len(data) <= PAYLOAD_BYTES else msgspec.json.encode(Fault(error.code, error.message[:1000]))


def _fault_of(payload: bytes | memoryview) -> SteadError:
    try:
        return SteadError.of(msgspec.json.decode(payload, type=Fault))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return SteadError("stream_reset", "the other end reset the stream")
