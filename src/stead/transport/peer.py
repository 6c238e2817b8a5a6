"""One side of a live link: reads, answers, asks, pings, and writes in the order of the link's lanes.

Contract. `Handler` is what a program does with what arrives. `Peer.run()` runs until the link is closed and then tells the
handler why. `request` asks and waits for the answer; `relay` does the same and leaves the result undecoded, for who
passes it on (an `msgspec.Raw` may be returned from `Handler.request`). `send` and `tell` are for messages without answer;
`post` is for frames. A link that breaks fails every waiting request with "unavailable" and cancels the handlers' tasks.

Both sides ping when they have heard nothing for a while, and give the link up after `silence_seconds` without a word.
A message that is too large or a frame that is malformed closes the link with a reason; a malformed text message is
answered when its request id is readable, and dropped and counted otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.protocol import codec
from stead.protocol.codec import RawAck
from stead.protocol.connections import Direct, Messages, whole
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.link import CONTROL_BYTES, LINK_WINDOW, QUEUE_BYTES, Link, Silence
from stead.protocol.messages import Ack, Credit, GoAway, Message, Ping, Request
from stead.transport.attempts import UnansweredError

if TYPE_CHECKING:
    from stead.transport.relay import Joint

log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one side of a link."""

    requests_in: int = 512
    """Requests of the other side being handled at once; more are answered "too_many"."""
    requests_out: int = 4096
    """Requests waiting for the other side at once."""
    notices: int = 256
    """Messages without answer that wait for the handler; then nothing more is read."""
    queue_bytes: int = QUEUE_BYTES
    """Payload that waits for the link; then `post` says False."""
    control_bytes: int = CONTROL_BYTES
    """Text that waits for the link; then `send` waits and requests are answered "too_many"."""
    window_bytes: int = LINK_WINDOW
    """Payload outstanding at the other side."""
    malformed: int = 16
    """Unreadable text messages that are dropped before the link is closed."""
    ping_seconds: float = 10.0
    silence_seconds: float = 30.0


DEFAULT = Limits()
CLOSE_CODES = {"too_large": 1009, "malformed": 1002}
"""How a WebSocket is closed over what the other side sent."""


class Handler(Protocol):
    """What a program does with what arrives."""

    async def request(self, peer: Peer, message: Request) -> Any:
        """The result of the ack; a SteadError becomes an ack that is not ok. Runs as a task of its own."""

    async def notice(self, peer: Peer, message: Message) -> None:
        """A message without answer, one after the other in order."""

    def frame(self, peer: Peer, frame: Frame) -> None:
        """A frame; must not block."""

    async def closed(self, peer: Peer, reason: str) -> None:
        """The link is over; the last call for this peer."""


class Peer:
    """One side of a link over a connection."""

    def __init__(self, connection: Messages, handler: Handler, *, name: str, limits: Limits = DEFAULT) -> None:
        self.name = name
        self.closed = anyio.Event()
        self.reason = ""
        self.going_away: GoAway | None = None
        self.dropped = 0
        self.routes: dict[str, Joint] = {}
        self._connection = connection
        self._direct = connection if isinstance(connection, Direct) else None
        self._handler = handler
        self._limits = limits
        self._link = Link(limits.queue_bytes, limits.window_bytes)
        self._loop = asyncio.get_running_loop()
        self._silence = Silence(
            self._loop.time(), limits.ping_seconds * random.uniform(0.85, 1.15), limits.silence_seconds
        )
        self._asked: dict[str, asyncio.Future[msgspec.Raw]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._notices: deque[Message] = deque()
        self._noticing = False
        self._notices_room: anyio.Event | None = None
        self._writing = False
        self._room: deque[Callable[[], None]] = deque()
        self._control_room: anyio.Event | None = None
        self._group: TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading = anyio.CancelScope()
        self._code = 1000
        self._early: list[tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...]]] = []

    def __repr__(self) -> str:
        return f"Peer({self.name})"

    @property
    def lost(self) -> bool:
        """Whether the link is over."""
        return self.closed.is_set()

    # --- life

    async def run(self) -> None:
        """Reads and writes until the link is closed."""
        reason = "the connection was lost"
        try:
            async with anyio.create_task_group() as group:
                self._begin(group)
                try:
                    with self._reading:
                        reason = await self._read()
                finally:
                    self._finish(reason)
                    group.cancel_scope.cancel()
        finally:
            self._group = None
            with anyio.CancelScope(shield=True):
                await self._end()

    async def _end(self) -> None:
        """Nothing of this link goes on."""
        answers = list(self._answers)
        for task in answers:
            task.cancel()
        if answers:
            await asyncio.wait(answers)
        with anyio.move_on_after(5):
            await self._connection.close(self._code, self.reason)
        await self._handler.closed(self, self.reason)

    def _begin(self, group: TaskGroup) -> None:
        """What was told, posted and spawned before now."""
        self._group = group
        for work, args in self._early:
            group.start_soon(work, *args)
        self._early.clear()
        self._watch()
        self._write()

    async def close(self, reason: str = "closed by this side") -> None:
        """Ends the link; `run` returns."""
        self._finish(reason)
        with anyio.move_on_after(5):
            await self._connection.close(1000, reason)

    async def goaway(self, reason: str, retry_after: float = 0.0) -> None:
        """Tells the other side to open nothing new here and to come back after the pause."""
        await self.send(GoAway(reason=reason, retry_after=retry_after))

    def spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Runs something as long as the link lives, from `run` on; nothing happens when it is closed."""
        if self.closed.is_set():
            return
        if self._group is None:
            self._early.append((work, args))
        else:
            self._group.start_soon(work, *args)

    def _finish(self, reason: str) -> None:
        """Everything that waits for this link learns that it is over."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        self._reading.cancel()
        if self._timer is not None:
            self._timer.cancel()
        lost = UnansweredError("unavailable", f"the link to {self.name} was lost: {reason}")
        for waiter in self._asked.values():
            if not waiter.done():
                waiter.set_exception(lost)
        self._asked.clear()
        self._room.clear()
        for event in (self._control_room, self._notices_room):
            if event is not None:
                event.set()

    # --- asking and telling

    async def request(self, message: Request, timeout: float = 30.0) -> Any:
        """The other side's result; its fault, "timeout" or "unavailable" as a SteadError."""
        return msgspec.json.decode(await self.relay(message, timeout))

    async def relay(self, message: Request, timeout: float = 30.0) -> msgspec.Raw:
        """The other side's result as it came, undecoded; UnansweredError for what was sent and not answered."""
        self._check_open()
        if len(self._asked) >= self._limits.requests_out:
            raise SteadError("too_many", f"{self._limits.requests_out} requests wait for {self.name} already")
        request_id = self._link.next_id()
        text = _with_id(message, request_id)
        waiter: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        self._asked[request_id] = waiter
        timer = self._loop.call_later(timeout, _expire, waiter, self.name, timeout)
        try:
            await self._send(text)
            return await waiter
        finally:
            timer.cancel()
            self._asked.pop(request_id, None)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()

    async def send(self, message: Message) -> None:
        """Sends a message without answer; waits while too much text waits for the link."""
        self._check_open()
        await self._send(codec.encode(message).decode())

    def tell(self, message: Message) -> None:
        """The same without waiting, for the few small messages that a frame or a timer causes; nothing when closed."""
        if not self.closed.is_set():
            self._link.send(codec.encode(message).decode())
            self._write()

    async def _send(self, text: str) -> None:
        while self._link.control_waiting > self._limits.control_bytes and not self.closed.is_set():
            if self._control_room is None:
                self._control_room = anyio.Event()
            await self._control_room.wait()
        self._check_open()
        self._link.send(text)
        self._write()

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise SteadError("unavailable", f"the link to {self.name} was lost: {self.reason}")

    # --- frames

    @property
    def waiting(self) -> int:
        """Bytes of frames that wait for this link."""
        return self._link.waiting

    def room(self, size: int) -> bool:
        """Whether `post` would take a frame with this much payload."""
        return not self.closed.is_set() and self._link.room(size)

    def post(self, frame: Frame) -> bool:
        """Queues a frame; False when it was dropped because the queue is full or the link is over."""
        if self.closed.is_set() or not self._link.post(frame):
            return False
        self._write()
        return True

    def when_room(self, call: Callable[[], None]) -> None:
        """Calls once when less than half of the queue waits; never when the link is over."""
        if not self.closed.is_set():
            self._room.append(call)
            self._loop.call_soon(self._tell_room)

    def _tell_room(self) -> None:
        for _ in range(len(self._room)):
            if not self._room or self._link.waiting > self._limits.queue_bytes // 2:
                return
            self._room.popleft()()

    # --- writing

    def _write(self) -> None:
        """Writes what is ready at once where the connection takes it, else leaves it to the writer task."""
        if self._writing or self._group is None or self.closed.is_set():
            return
        if self._direct is not None:
            while self._direct.ready() and (batch := self._link.batch()):
                self._direct.put(batch)
        if self._link.sendable:
            self._writing = True
            self._group.start_soon(self._write_all)
        self._written()

    async def _write_all(self) -> None:
        try:
            while batch := self._link.batch():
                for message in batch:
                    await self._connection.send(whole(message))
                self._written()
        except SteadError as error:
            await self.close(error.message)
        finally:
            self._writing = False

    def _written(self) -> None:
        if self._room and self._link.waiting <= self._limits.queue_bytes // 2:
            self._loop.call_soon(self._tell_room)
        if self._control_room is not None and self._link.control_waiting <= self._limits.control_bytes // 2:
            self._control_room.set()
            self._control_room = None

    # --- reading

    async def _read(self) -> str:
        """Until the end of the connection; the reason for it."""
        try:
            while (data := await self._connection.receive()) is not None:
                if self.closed.is_set():
                    break
                self._silence.heard = self._loop.time()
                if isinstance(data, bytes):
                    self._frame(Frame.decode(data))
                else:
                    self._text(data)
                    while len(self._notices) >= self._limits.notices and not self.closed.is_set():
                        self._notices_room = anyio.Event()
                        await self._notices_room.wait()
        except SteadError as error:
            self._code = CLOSE_CODES.get(error.code, 1011)
            return f"{error.code}: {error.message}"
        return self.reason or "the other side closed the link"

    def _frame(self, frame: Frame) -> None:
        due = self._link.took(frame)
        self._handler.frame(self, frame)
        if due is not None:
            self.tell(Credit(taken=due))

    def _text(self, data: str) -> None:
        try:
            message = codec.decode(data)
        except SteadError as error:
            self._unreadable(error)
            return
        if isinstance(message, RawAck):
            self._answered(message)
        elif isinstance(message, Ping):
            self._link.send(codec.encode(Ack(request_id=message.request_id, ok=True)).decode(), first=True)
            self._write()
        elif isinstance(message, Credit):
            self._link.credited(message.taken)
            self._write()
        elif isinstance(message, Request):
            self._asked_of_us(message)
        else:
            self._notice(message)

    def _unreadable(self, error: SteadError) -> None:
        request_id = error.details.pop("request_id", None)
        if request_id is not None:
            self.tell(Ack(request_id=request_id, ok=False, error=error.fault()))
            return
        if error.code == "method_not_found":
            return
        self.dropped += 1
        log.warning("%s: dropped a message: %s: %s", self.name, error.code, error.message)
        if error.code == "too_large" or self.dropped > self._limits.malformed:
            raise error

    def _answered(self, ack: RawAck) -> None:
        waiter = self._asked.pop(ack.request_id, None)
        if waiter is None or waiter.done():
            return
        if ack.ok:
            waiter.set_result(ack.result)
        elif ack.error is None:
            waiter.set_exception(SteadError("internal", f"{self.name} refused without saying why"))
        else:
            waiter.set_exception(SteadError.of(ack.error))

    def _notice(self, message: Message) -> None:
        if isinstance(message, GoAway):
            self.going_away = message
        self._notices.append(message)
        if not self._noticing and self._group is not None:
            self._noticing = True
            self._group.start_soon(self._notice_all)

    async def _notice_all(self) -> None:
        while self._notices:
            await self._handler.notice(self, self._notices.popleft())
            if self._notices_room is not None:
                self._notices_room.set()
                self._notices_room = None
        self._noticing = False

    # --- answering

    def _asked_of_us(self, message: Request) -> None:
        full = len(self._answers) >= self._limits.requests_in or self._link.control_waiting > self._limits.control_bytes
        if full or self._group is None:
            error = SteadError("too_many", f"this link handles at most {self._limits.requests_in} requests at once")
            self.tell(Ack(request_id=message.request_id, ok=False, error=error.fault()))
            return
        task = self._loop.create_task(self._answer(message, message.request_id))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, message: Request, request_id: str) -> None:
        try:
            text = await self._result(message, request_id)
            if not self.closed.is_set():
                await self._send(text)
        except SteadError as error:
            log.debug("%s: an answer was not sent: %s", self.name, error.message)

    async def _result(self, message: Request, request_id: str) -> str:
        """The ack, ready to send."""
        try:
            result = await self._handler.request(self, message)
            return codec.encode(Ack(request_id=request_id, ok=True, result=result)).decode()
        except SteadError as error:
            fault = error.fault()
        except Exception:
            log.exception("%s: handling %s failed", self.name, type(message).__name__)
            fault = SteadError("internal", "the other side failed to handle this").fault()
        return codec.encode(Ack(request_id=request_id, ok=False, error=fault)).decode()

    # --- liveness

    def _watch(self) -> None:
        """Pings when nothing was heard for a while; ends the link when nothing was heard for too long."""
        if self.closed.is_set():
            return
        now = self._loop.time()
        due = self._silence.due(now)
        if due == "dead":
            self._finish(f"nothing was heard for {self._limits.silence_seconds:g} s")
            if self._group is not None:
                self._group.start_soon(self._connection.close, 1011, self.reason)
            return
        if due == "ping":
            self.tell(Ping(request_id=self._link.next_id()))
        self._timer = self._loop.call_later(max(0.01, self._silence.wait(now)), self._watch)


def _with_id(message: Request, request_id: str) -> str:
    """The message under this id; the caller's message keeps its own."""
    own = message.request_id
    message.request_id = request_id
    try:
        return codec.encode(message).decode()
    finally:
        message.request_id = own


def _expire(waiter: asyncio.Future[msgspec.Raw], name: str, timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(UnansweredError("timeout", f"{name} did not answer within {timeout:g} s"))
