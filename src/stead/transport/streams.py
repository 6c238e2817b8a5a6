"""The ends of streams in one program: they outlive the links they run over.

Contract. A client makes one `StreamEnds()` and calls `open`; a guest makes one and calls `accept` from its handler of
`stream.open`. Both `attach(peer)` when a link is up and `detach(peer)` when it is lost, and pass on `frame(peer, frame)`,
`request(peer, StreamResume)` and `notice(peer, message)` (False: not about streams).

`Stream`: `receive` gives bytes and then None, or raises the SteadError of a reset; receiving grants credit. `send` takes
any size and waits for credit. Each side ends its own direction with `end`; an opener's direction ends by itself when it
has received the other's end (`half_open=True` keeps it). `async with stream` resets what was left unfinished.

An opener whose link came back, or who hears that frames were lost, resumes by itself, again and again while the error is
one that passes, for at most `patience` seconds. An accepted stream that stays detached for `DETACHED` seconds is reset.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.flow import BULK_WINDOW, WINDOW
from stead.protocol.frames import BULK_BYTES, PAYLOAD_BYTES, Frame, FrameKind
from stead.protocol.messages import Message, Request, StreamDetached, StreamLost, StreamOpen, StreamResume
from stead.protocol.stream import StreamEnd, frame_kind
from stead.transport.attempts import CLIENT_GRACE, Deadline, opened
from stead.transport.backoff import Absence, Backoff
from stead.transport.peer import Peer

PATIENCE = 600.0
"""How long an opener tries to resume a stream."""
DETACHED = 120.0
"""How long an accepted stream waits for its opener."""
LARGE = frozenset({"file.read", "file.write"})
"""The kinds of stream that ask for large frames."""
REMEMBERED = 256
"""How many streams that were reset are remembered, to say why; and how many that were reset before they were opened here."""


class Stream:
    """One end of one stream."""

    def __init__(self, ends: StreamEnds, end: StreamEnd, workspace_id: str, kind: str, *, opener: bool) -> None:
        self.id = end.stream_id
        self.workspace_id = workspace_id
        self.kind = kind
        self.opener = opener
        self.opened: Any = None
        self.fresh = True
        self.half_open = False
        self.opening = False
        self.closed = anyio.Event()
        self._ends = ends
        self._end = end
        self._peer: Peer | None = None
        self._crowded: Peer | None = None
        self._changed = anyio.Event()
        self._resuming = False
        self._again = False
        self._told_gap = False
        self._timer: asyncio.TimerHandle | None = None

    # --- for the program

    async def receive(self) -> bytes | None:
        """The next bytes; None when the other end is over."""
        while True:
            if self._end.fault:
                raise self._end.fault
            if data := self._end.take():
                self.pump()
                return data
            if self._end.at_end:
                self._take_end()
                return None
            await self._change()

    def _take_end(self) -> None:
        self._end.take_end()
        if self.opener and not self.half_open:
            self._end.end()
        self.pump()

    async def send(self, data: bytes) -> None:
        """Sends all of it, waiting for credit."""
        rest = memoryview(data)
        while rest:
            if self._end.fault:
                raise self._end.fault
            if self._end.ended:
                raise SteadError("invalid", "this direction of the stream has ended")
            taken = self._end.write(rest)
            rest = rest[taken:]
            self.pump()
            if rest and not self._end.room:
                await self._change()

    async def end(self, result: Any = None) -> None:
        """Ends this direction, with a JSON result for the other end."""
        self._end.end(b"" if result is None else msgspec.json.encode(result))
        self.pump()

    async def reset(self, error: SteadError) -> None:
        """Ends both directions at once; the other end gets the error."""
        self._end.reset(error)
        self.pump()

    @property
    def result(self) -> Any:
        """The JSON of the other end's end; None while there is none."""
        return msgspec.json.decode(self._end.result) if self._end.result else None

    @property
    def fault(self) -> SteadError | None:
        """Why the stream was reset, if it was."""
        return self._end.fault

    @property
    def received(self) -> int:
        """How many bytes have arrived in order."""
        return self._end.received

    @property
    def consumed(self) -> int:
        """How many of the bytes sent the other end's consumer has taken, as far as it has said so."""
        return self._end.consumed

    @property
    def attached(self) -> bool:
        """Whether a link carries the stream now."""
        return self._peer is not None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._end.complete:
            await self.reset(SteadError("cancelled", "the other end went away before the stream was over"))

    # --- for StreamEnds

    def pump(self) -> None:
        """Sends what can be sent now; called again when the link has room."""
        self._settle()
        while (peer := self._peer) is not None:
            if not peer.room(self._end.most):
                self._wait_for_room(peer)
                return
            frame = self._end.next_frame()
            if frame is None or not peer.post(frame):
                break
        self._settle()

    def _wait_for_room(self, peer: Peer) -> None:
        """Asks once, however often there was none."""
        if self._crowded is not peer:
            self._crowded = peer
            peer.when_room(self._room)

    def _room(self) -> None:
        self._crowded = None
        self.pump()

    def _settle(self) -> None:
        if self._end.over and not self.closed.is_set():
            self.closed.set()
            self._ends.forget(self)
            self._wake()

    async def _change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def arrived(self, frame: Frame) -> None:
        """A frame of this stream."""
        self._end.frame(frame)
        if self._end.gap:
            self.lost()
        self.pump()
        self._wake()

    def lost(self) -> None:
        """Frames are missing: the opener resumes, an accepted stream asks its opener to."""
        peer = self._peer
        if peer is None or self._end.fault:
            return
        if not self.opener:
            if not self._told_gap:
                self._told_gap = True
                peer.tell(StreamLost(stream_id=self.id))
        elif self._resuming or self.opening:
            self._again = self._again or not self._end.gap
        else:
            self._resuming = True
            self._end.suspend()
            peer.spawn(self._resume, peer)

    def begin(self, resume: bool) -> None:
        """The other end exists; frames may have been lost meanwhile."""
        self.opening = False
        if resume or self._again or self._end.gap or self._end.suspended:
            self.lost()
        else:
            self.pump()

    def give_up(self, error: SteadError) -> None:
        """The stream is over on both ends, whether the other one exists or not."""
        self.opening = False
        self._end.reset(error)
        self.pump()
        self.fail(error)

    def carried_by(self, peer: Peer) -> bool:
        """Whether this link carries the stream."""
        return self._peer is peer

    def attach(self, peer: Peer) -> None:
        """This link carries the stream from now on."""
        self._stop_timer()
        self._peer = peer

    def detach(self) -> None:
        """No link carries the stream."""
        self._peer = None
        self._resuming = False
        self._end.suspend()
        if not self.opener and self._timer is None and not self.closed.is_set():
            self._timer = asyncio.get_running_loop().call_later(self._ends.detached, self._give_up)

    def _give_up(self) -> None:
        self.fail(SteadError("stream_reset", f"no link for {self._ends.detached:g} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, error: SteadError) -> None:
        """The stream is over here. When both sides had said everything, that is no failure."""
        self._stop_timer()
        if not self._end.complete:
            self._end.fail(error)
        self.closed.set()
        self._ends.forget(self)
        self._wake()

    def admit(self, frame_bytes: int) -> None:
        """The opener and all hops take frames of this size."""
        self._end.admit(frame_bytes)

    def resumed(self, received: int) -> None:
        """The other end has this much."""
        self._told_gap = False
        self._end.resume(received)
        self.pump()
        self._wake()

    async def _resume(self, peer: Peer) -> None:
        """Joins the two ends again over this link."""
        backoff = Backoff()
        until = time.monotonic() + self._ends.patience
        while self._peer is peer and not self.closed.is_set():
            self._again = False
            try:
                answer = await self._ask(peer)
            except SteadError as error:
                if peer.closed.is_set():
                    return
                if not error.retry or time.monotonic() > until:
                    self.fail(error)
                    return
                await anyio.sleep(backoff.delay())
                continue
            if not self._again:
                self._resuming = False
                self.resumed(answer)
                return

    async def _ask(self, peer: Peer) -> int:
        message = StreamResume(
            request_id="",
            stream_id=self.id,
            workspace_id=self.workspace_id,
            received=self._end.received,
            frame_bytes=_frame_bytes(self.kind),
        )
        answer = await peer.request(message)
        received = answer.get("received") if isinstance(answer, dict) else None
        if not isinstance(received, int):
            raise SteadError("malformed", "a resume is answered with the bytes received")
        return received


class GivenUp:
    """Streams that were reset by who opens them before they were opened here: a frame may overtake the work for a request."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def heard(self, frame: Frame) -> None:
        """A frame of a stream that is not known here."""
        if frame.kind == FrameKind.RESET:
            self._ids[frame.stream_id] = None
            if len(self._ids) > REMEMBERED:
                del self._ids[next(iter(self._ids))]

    def check(self, stream_id: str) -> None:
        """Raises "cancelled" for one of these."""
        if stream_id in self._ids:
            raise SteadError("cancelled", "the opener has given this stream up")


class StreamEnds:
    """The ends of one program."""

    def __init__(
        self,
        *,
        window: int = WINDOW,
        patience: float = PATIENCE,
        detached: float = DETACHED,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self.patience = patience
        self.detached = detached
        self._window = window
        self._new_id = new_id or _new_id
        self._streams: dict[str, Stream] = {}
        self._faults: dict[str, SteadError] = {}
        self._given_up = GivenUp()
        self._peer: Peer | None = None
        self._attached = anyio.Event()

    def __len__(self) -> int:
        """How many streams are not over."""
        return len(self._streams)

    def __bool__(self) -> bool:
        return True

    def known(self, stream_id: str) -> Stream | None:
        """The stream of this id that is not over."""
        return self._streams.get(stream_id)

    # --- opening and accepting

    async def open(
        self, workspace_id: str, kind: str, params: Any = None, *, half_open: bool = False, timeout: float = 60.0
    ) -> Stream:
        """Opens a stream, within so many seconds for all hops; when the link breaks meanwhile, asks again under the same id."""
        message = StreamOpen(
            request_id="",
            stream_id=self._new_id(),
            workspace_id=workspace_id,
            kind=kind,
            frame_bytes=_frame_bytes(kind),
        )
        if params is not None:
            message.params = msgspec.Raw(msgspec.json.encode(params))
        window = self._window_of(kind in {"file.read", "tree.read"})
        end = StreamEnd(message.stream_id, frame_kind(kind, True), window, large=kind in LARGE)
        stream = Stream(self, end, workspace_id, kind, opener=True)
        stream.half_open = half_open
        stream.opening = True
        self._streams[stream.id] = stream
        try:
            await self._open(stream, message, Deadline(timeout))
        except BaseException:
            self._abandon(stream)
            raise
        return stream

    async def _open(self, stream: Stream, message: StreamOpen, deadline: Deadline) -> None:
        again = False
        absence = Absence()
        while True:
            peer = await self._link(deadline)
            stream.attach(peer)
            try:
                stream.opened = msgspec.json.decode(await opened(message, peer, deadline, grace=CLIENT_GRACE))
            except SteadError as error:
                await self._may_come_back(peer, error, deadline, absence)
                again = True
                continue
            stream.begin(again)
            return

    async def _may_come_back(self, peer: Peer, error: SteadError, deadline: Deadline, absence: Absence) -> None:
        """Returns when it is worth asking again under the same id; raises the error when it is not."""
        if deadline.left <= 0:
            raise error
        if not peer.closed.is_set():
            await absence.pause(error)

    def _abandon(self, stream: Stream) -> None:
        """The opening failed or was cancelled: the other end, if there is one, is told."""
        stream.give_up(SteadError("cancelled", "the opener gave up"))

    async def _link(self, deadline: Deadline) -> Peer:
        """The link that is up, or will be in time."""
        while self._peer is None or self._peer.closed.is_set():
            with anyio.move_on_after(deadline.left) as scope:
                await self._attached.wait()
            if scope.cancelled_caught:
                raise SteadError("unavailable", "there is no link to the server")
        return self._peer

    def accept(
        self,
        stream_id: str,
        workspace_id: str,
        kind: str,
        peer: Peer | None = None,
        frame_bytes: int = PAYLOAD_BYTES,
    ) -> Stream:
        """The accepting end. The same id again gives the same stream, with `fresh` false. "cancelled" for one that its opener
        gave up meanwhile."""
        self._given_up.check(stream_id)
        found = self._streams.get(stream_id)
        if found is not None:
            if (found.workspace_id, found.kind) != (workspace_id, kind):
                raise SteadError("conflict", "the stream id is in use for another stream")
            found.fresh = False
        else:
            end = StreamEnd(stream_id, frame_kind(kind, False), self._window_of(kind in {"file.write", "tree.write"}))
            found = Stream(self, end, workspace_id, kind, opener=False)
            self._streams[stream_id] = found
        found.admit(frame_bytes)
        if carrier := peer or self._peer:
            found.attach(carrier)
        return found

    def _window_of(self, file: bool) -> int:
        """Who receives a file grants more."""
        return max(self._window, BULK_WINDOW) if file and self._window == WINDOW else self._window

    # --- links

    def attach(self, peer: Peer) -> None:
        """A link is up: opened streams resume over it."""
        self._peer = peer
        self._attached.set()
        for stream in list(self._streams.values()):
            if stream.opener and not stream.opening:
                stream.attach(peer)
                stream.lost()

    def detach(self, peer: Peer | None = None) -> None:
        """A link (or any) is lost: its streams wait."""
        if peer is None or self._peer is peer:
            self._peer = None
            self._attached = anyio.Event()
        for stream in list(self._streams.values()):
            if peer is None or stream.carried_by(peer):
                stream.detach()

    def close(self, error: SteadError) -> None:
        """Everything is over here; the other ends are not told."""
        for stream in list(self._streams.values()):
            stream.fail(error)

    # --- what arrives

    def frame(self, peer: Peer, frame: Frame) -> None:
        """A frame; those of unknown streams are dropped."""
        stream = self._streams.get(frame.stream_id)
        if stream is not None:
            stream.arrived(frame)
        else:
            self._given_up.heard(frame)

    async def request(self, peer: Peer, message: Request) -> Any:
        """Answers `stream.resume` of an opener."""
        if not isinstance(message, StreamResume):
            raise SteadError("method_not_found", f"{type(message).__name__} is not about streams")
        stream = self._streams.get(message.stream_id)
        if stream is None or stream.workspace_id != message.workspace_id:
            raise self._faults.get(message.stream_id) or SteadError("stream_unknown", "no such stream here")
        stream.attach(peer)
        stream.admit(message.frame_bytes)
        stream.resumed(message.received)
        if stream.fault:
            raise stream.fault
        return {"received": stream.received}

    async def notice(self, peer: Peer, message: Message) -> bool:
        """`stream.lost` and `stream.detached`; False for any other message."""
        if not isinstance(message, StreamLost | StreamDetached):
            return False
        stream = self._streams.get(message.stream_id)
        if stream is None:
            return True
        if isinstance(message, StreamLost):
            stream.lost()
        elif not stream.opener:
            stream.detach()
        return True

    def forget(self, stream: Stream) -> None:
        """The stream is over."""
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
        if stream.fault is not None:
            self._faults[stream.id] = stream.fault
            while len(self._faults) > REMEMBERED:
                del self._faults[next(iter(self._faults))]


def _frame_bytes(kind: str) -> int:
    return BULK_BYTES if kind in LARGE else PAYLOAD_BYTES


def _new_id() -> str:
    return ids.make(ids.Kind.STREAM, time.time(), os.urandom(ids.ENTROPY_BYTES))
