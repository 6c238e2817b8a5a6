"""The streams of `protocol.methods.STREAMS`: execs, attaching to them, files down and up.

Contract: `Streams.open(peer, message, limiter)` is the answer to a `stream.open`; the same id again is answered the same and
opens nothing twice. It takes as long as the message says, and as the limiter does, at most; an exec that was begun too late for
that is ended. For the limiter a stream is one request, for as long as it flows. A stream outlives its link
(`StreamEnds`); one that its opener resets or leaves for too long ends, and a foreground exec with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.guest.attendance import Attendance
from stead.guest.limiter import Limiter, within
from stead.protocol.codec import decode_as
from stead.protocol.errors import SteadError
from stead.protocol.messages import StreamOpen
from stead.toolbox import contract as t
from stead.toolbox.confine import errors
from stead.toolbox.execs import LocalRunning, new_id
from stead.toolbox.files import Reader, Writer
from stead.toolbox.local import LocalToolbox
from stead.toolbox.observer import Observer
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

if TYPE_CHECKING:
    from stead.toolbox.transfer.partial import PartialWriter

STREAMS = 256
"""Streams of one guest at once."""
SLOW_SECONDS = 0.02
"""After a write that took longer, others have to wait for none until the disk was quick again for a while."""
STEADY_PIECES = 32
"""How many quick writes in turn that is."""
READ_BYTES = 1 << 18
"""What is read of a file at once where it is in memory."""
WAITED_PIECES = 4
"""How much more is read of it in one thread elsewhere: a turn of a thread costs as much as reading."""

KEPT_BYTES = 4 << 20
"""The C library gives memory for large pieces back and asks the system anew each time, until it has once seen such a one go."""

log = logging.getLogger(__name__)

Serve = Callable[[], Awaitable[None]]
Begin = Callable[[Stream, Any], Awaitable[tuple[Any, Serve]]]
"""What the opener is told, and the work that follows."""


class Streams:
    """All streams of one guest."""

    def __init__(
        self, toolbox: LocalToolbox, ends: StreamEnds, attendance: Attendance, group: TaskGroup, observer: Observer
    ) -> None:
        bytes(KEPT_BYTES)
        self._toolbox = toolbox
        self._observer = observer
        self._ends = ends
        self._attendance = attendance
        self._group = group
        self._serving = 0
        self._opening: dict[str, asyncio.Future[Any]] = {}
        self._kinds: dict[str, Begin] = {
            "exec": self._exec,
            "exec.attach": self._attach,
            "file.read": self._file_read,
            "file.write": self._file_write,
            "log.follow": self._follow,
            "tree.read": self._tree,
            "tree.write": self._tree,
            "watch": self._watch,
        }
        self._params: dict[str, msgspec.json.Decoder[Any]] = {
            "exec": msgspec.json.Decoder(t.Exec),
            "exec.attach": msgspec.json.Decoder(t.Attach),
            "file.read": msgspec.json.Decoder(t.ReadStream),
            "file.write": msgspec.json.Decoder(t.WriteStream),
            "log.follow": msgspec.json.Decoder(msgspec.Raw),
            "tree.read": msgspec.json.Decoder(msgspec.Raw),
            "tree.write": msgspec.json.Decoder(msgspec.Raw),
            "watch": msgspec.json.Decoder(msgspec.Raw),
        }

    async def open(self, peer: Peer, message: StreamOpen, limiter: Limiter) -> Any:
        """What the opener is told."""
        begin = self._kinds.get(message.kind)
        if begin is None:
            raise SteadError("method_not_found", f"no stream of kind {message.kind[:100]!r}")
        known = self._ends.known(message.stream_id)
        if known is None:
            if self._serving >= STREAMS:
                raise SteadError("too_many", f"at most {STREAMS} streams at once")
            limiter.enter()
        try:
            stream = self._ends.accept(message.stream_id, message.workspace_id, message.kind, peer, message.frame_bytes)
        except SteadError:
            if known is None:
                limiter.leave()
            raise
        if not stream.fresh:
            opening = self._opening.get(stream.id)
            return stream.opened if opening is None else await asyncio.shield(opening)
        opening = self._opening[stream.id] = asyncio.get_running_loop().create_future()
        self._group.start_soon(self._begin, stream, message, begin, opening, limiter)
        return await asyncio.shield(opening)

    async def _begin(
        self,
        stream: Stream,
        message: StreamOpen,
        begin: Begin,
        opening: asyncio.Future[Any],
        limiter: Limiter,
    ) -> None:
        """Runs on its own, so that a link lost meanwhile leaves nothing half open."""
        self._serving += 1
        try:
            await self._serve(stream, message, begin, opening, _shorter(limiter.limits.seconds, message.timeout))
        finally:
            self._serving -= 1
            limiter.leave()

    async def _serve(
        self,
        stream: Stream,
        message: StreamOpen,
        begin: Begin,
        opening: asyncio.Future[Any],
        seconds: float,
    ) -> None:
        self._observer.at("stream.opening", stream.kind)
        try:
            params = decode_as(self._params[message.kind], message.params, "params")
            async with within(seconds, f"opening {message.kind}"), _telling(message.kind):
                stream.opened, serve = await begin(stream, params)
        except SteadError as error:
            stream.fail(error)
            opening.set_exception(error)
            opening.exception()
            return
        finally:
            self._opening.pop(stream.id, None)
        self._observer.at("stream.begun", stream.kind)
        opening.set_result(stream.opened)
        try:
            await serve()
        except Exception:
            log.exception("a stream of kind %s failed", stream.kind)
            await stream.reset(SteadError("internal", "serving the stream failed"))

    # --- execs -------------------------------------------------------------------------------------------------------

    async def _exec(self, stream: Stream, params: t.Exec) -> tuple[Any, Serve]:
        """One that is there before its opener has given up, or comes back, is attended; else it ends in time."""
        params.exec_id = params.exec_id or new_id()
        try:
            running, _ = await self._toolbox.begin(params, hold=not params.background)
        except asyncio.CancelledError:
            self._attendance.watch(params.exec_id)
            raise
        return running.status, lambda: self._serve_exec(stream, running, stdin=params.stdin, owner=True)

    async def _attach(self, stream: Stream, params: t.Attach) -> tuple[Any, Serve]:
        running = await self._toolbox.attach(params.exec_id, params.cursor)
        return running.status, lambda: self._serve_exec(stream, running, stdin=False, owner=False)

    async def _serve_exec(self, stream: Stream, running: LocalRunning, *, stdin: bool, owner: bool) -> None:
        self._attendance.enter(running.exec_id)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._input, stream, running, stdin, group)
                await self._output(stream, running, group)
        except BaseException:
            self._attendance.leave(running.exec_id, given_up=False)
            raise
        finally:
            running.close(hold=True)
        if stream.fault is None:
            self._attendance.left(running.exec_id)
        else:
            self._attendance.leave(running.exec_id, given_up=owner)

    async def _output(self, stream: Stream, running: LocalRunning, group: TaskGroup) -> None:
        first = running.cursor
        try:
            async for piece in running.pieces():
                await stream.send(piece)
                self._observer.at("stream.sent", running.exec_id)
                running.took(first + stream.consumed)
            await stream.end(await running.wait())
            self._observer.at("stream.ended", running.exec_id)
        except SteadError as error:
            await stream.reset(error)
        group.cancel_scope.cancel()

    async def _input(self, stream: Stream, running: LocalRunning, stdin: bool, group: TaskGroup) -> None:
        """Passes input on; what an exec does not want is dropped. A reset ends the whole stream."""
        try:
            while (data := await stream.receive()) is not None:
                if stdin:
                    stdin = await _wanted(running, data)
            if stdin:
                await running.close_stdin()
        except SteadError:
            group.cancel_scope.cancel()

    async def _tree(self, stream: Stream, params: msgspec.Raw) -> tuple[Any, Serve]:
        """Loaded when first used."""
        from stead.guest import trees

        return await trees.begin(self._toolbox, stream, params)

    async def _watch(self, stream: Stream, params: msgspec.Raw) -> tuple[Any, Serve]:
        """Loaded when first wanted."""
        from stead.guest import watches

        return await watches.begin(self._toolbox, stream, decode_as(watches.ASKED, params, "params"))

    async def _follow(self, stream: Stream, params: msgspec.Raw) -> tuple[Any, Serve]:
        """Loaded when first wanted."""
        from stead.guest import follows

        return await follows.begin(self._toolbox, stream, decode_as(follows.ASKED, params, "params"))

    # --- files -------------------------------------------------------------------------------------------------------

    async def _file_read(self, stream: Stream, params: t.ReadStream) -> tuple[Any, Serve]:
        reader = await self._toolbox.reader(params.path, params.offset, params.length)
        opened = {"size": reader.size, "offset": params.offset}
        return opened, lambda: self._serve_read(stream, reader)

    async def _serve_read(self, stream: Stream, reader: Reader) -> None:
        first = reader.offset
        try:
            while pieces := await self._next(reader):
                for piece in pieces:
                    await stream.send(piece)
            await stream.end({"size": reader.offset - first})
        except SteadError as error:
            await stream.reset(error)
        finally:
            reader.close()

    async def _next(self, reader: Reader) -> list[bytes]:
        """What comes next of a file; nothing at its end."""
        if reader.over:
            return []
        if data := reader.ready(READ_BYTES):
            return [data]
        return await self._toolbox.in_thread(_pieces, reader)

    async def _file_write(self, stream: Stream, params: t.WriteStream) -> tuple[Any, Serve]:
        writer = await self._toolbox.writer(
            params.path,
            mode=params.mode,
            parents=params.parents,
            exclusive=params.exclusive,
            size=params.size,
            sha256=params.sha256,
            partial=params.partial,
        )
        opened = {"received": writer.size} if params.partial else None
        return opened, lambda: self._serve_write(stream, writer)

    async def _serve_write(self, stream: Stream, writer: Writer | PartialWriter) -> None:
        try:
            await self._gather(stream, writer)
            await stream.end(await self._toolbox.in_thread(writer.commit))
        except SteadError as error:
            await stream.reset(error)
        finally:
            writer.close()

    async def _gather(self, stream: Stream, writer: Writer | PartialWriter) -> None:
        """Writes what comes at once, until the disk shows that it may make one wait; then in threads until it is quick."""
        in_threads = 0
        while (data := await stream.receive()) is not None:
            if in_threads:
                seconds = await self._toolbox.in_thread(_timed, writer.write, data)
            else:
                seconds = _timed(writer.write, data)
            in_threads = STEADY_PIECES if seconds > SLOW_SECONDS else max(0, in_threads - 1)


@contextlib.asynccontextmanager
async def _telling(kind: str) -> AsyncIterator[None]:
    """The opener is told, whatever goes wrong: it is no end of the guest."""
    try:
        with errors(kind):
            yield
    except SteadError:
        raise
    except Exception as error:
        log.exception("opening a stream of kind %s failed", kind)
        raise SteadError("internal", "opening the stream failed") from error


def _pieces(reader: Reader) -> list[bytes]:
    """Several, of which none has to be copied to be sent."""
    found: list[bytes] = []
    while len(found) < WAITED_PIECES and (piece := reader.next(READ_BYTES)):
        found.append(piece)
    return found


def _shorter(*seconds: float) -> float:
    """The shortest of some times; 0 is none."""
    return min((each for each in seconds if each > 0), default=0.0)


def _timed(write: Callable[[bytes], None], data: bytes) -> float:
    """Writes; how many seconds that took."""
    began = time.monotonic()
    write(data)
    return time.monotonic() - began


async def _wanted(running: LocalRunning, data: bytes) -> bool:
    """Writes to the exec's input; False when it reads no more."""
    try:
        await running.write(data)
    except SteadError as error:
        if error.code != "conflict":
            raise
        return False
    return True
