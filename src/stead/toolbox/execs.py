"""Execs as seen from a program that asks a holder: start, follow, attach, end.

Contract: `Holder` is the connection (JSON lines over a socket pair; see `holding.engine`), `Execs` what can be asked
through it, `LocalRunning` an exec under way. Output is read from the log on disk by offset, so a slow reader costs nothing
and delays nobody but its own exec: one that was started with `hold` waits, as at a full pipe, once it is too far ahead of who
started it, or, when they are gone, of the slowest who attached. A lost holder fails everything with "unavailable".
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from stead.model import ids
from stead.protocol.errors import SteadError
from stead.toolbox import confine, records
from stead.toolbox.contract import (
    CALL_BYTES,
    EXEC_LOG_BYTES,
    EXEC_TIMEOUT,
    Exec,
    ExecList,
    ExecResult,
    ExecState,
    ExecStatus,
    Output,
)
from stead.toolbox.holding.line import READ_BYTES
from stead.toolbox.holding.log import FILE_BYTES, file_of

ARGV_BYTES = 1 << 19
"""Arguments and environment of one exec, in all, with a byte after each as the system has it."""
GRACE = 60.0
"""The longest grace between TERM and KILL."""
SHOWN_BYTES = 1024
"""How much of the arguments a status shows."""
RESULT_BYTES = 1_400_000
"""The most output of a finished exec in one answer, both channels together: in base64 it fits a message."""
STDIN_PIECE = 1 << 16
SIGNALS = range(1, 65)


def new_id() -> str:
    """A fresh exec id."""
    return ids.make(ids.Kind.EXEC, time.time(), os.urandom(ids.ENTROPY_BYTES))


class Place:
    """How far one reader of an exec has read."""

    __slots__ = ("cursor", "owner")

    def __init__(self, cursor: int, owner: bool) -> None:
        self.cursor = cursor
        self.owner = owner


class Followed:
    """What is known of one exec's output: how much there is, and its end. Shared by all its readers. `held`: how far the exec
    may be ahead of them, 0 when it waits for nobody; `told`: what the holder knows to be read."""

    def __init__(self, status: ExecStatus, size: int) -> None:
        self.status = status
        self.size = size
        self.held = 0
        self.told = 0
        self.places: set[Place] = set()
        self._changed = asyncio.Event()

    @property
    def read(self) -> int:
        """What everybody has read who counts: who started the exec, else all."""
        owners = [place.cursor for place in self.places if place.owner]
        return min(owners or [place.cursor for place in self.places], default=self.told)

    @property
    def over(self) -> bool:
        return self.status.state is not ExecState.RUNNING

    def update(self, size: int, status: ExecStatus | None = None) -> None:
        """More output, or the end."""
        self.size = max(self.size, size)
        self.status = status or self.status
        self._changed.set()
        self._changed = asyncio.Event()

    async def more(self, than: int) -> None:
        """Until there is more output, or the end."""
        while self.size <= than and not self.over:
            await self._changed.wait()

    async def end(self) -> ExecStatus:
        """Until the end."""
        while not self.over:
            await self._changed.wait()
        return self.status


class Holder:
    """The connection to a holder."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.followed: weakref.WeakValueDictionary[str, Followed] = weakref.WeakValueDictionary()
        self.lost = asyncio.Event()
        self._in = bytearray()
        self._out = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._readable)

    async def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """One question, one answer; raises SteadError."""
        if self.lost.is_set():
            raise _gone()
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._asked[number] = answer
        self._write(msgspec.json.encode({"id": number, "do": do, **fields}) + b"\n")
        try:
            found = await answer
        finally:
            self._asked.pop(number, None)
        if not found["ok"]:
            raise SteadError(found["code"], found["message"])
        return found

    def tell(self, do: str, **fields: object) -> None:
        """A question whose answer does not matter."""
        if not self.lost.is_set():
            self._write(msgspec.json.encode({"id": None, "do": do, **fields}) + b"\n")

    def close(self) -> None:
        """May be called twice."""
        if not self.lost.is_set():
            self.lost.set()
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            self._connection.close()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(_gone())
            for followed in list(self.followed.values()):
                unknown = msgspec.structs.replace(followed.status, state=ExecState.UNKNOWN, error="the holder is gone")
                followed.update(followed.size, unknown)

    def _write(self, line: bytes) -> None:
        self._out += line
        if len(self._out) == len(line):
            self._writable()

    def _writable(self) -> None:
        try:
            done = self._connection.send(self._out)
        except BlockingIOError:
            done = 0
        except OSError:
            self.close()
            return
        del self._out[:done]
        if self._out:
            self._loop.add_writer(self._connection, self._writable)
        else:
            self._loop.remove_writer(self._connection)

    def _readable(self) -> None:
        try:
            data = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        if b"\n" in data:
            *lines, rest = self._in.split(b"\n")
            self._in = bytearray(rest)
            for line in lines:
                self._heard(msgspec.json.decode(line))

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("on") == "output":
            if (known := self.followed.get(message["exec_id"])) is not None:
                known.update(message["size"])
            else:
                self.tell("unfollow", exec_id=message["exec_id"])
        elif "status" in message and (known := self.followed.get(message["status"]["exec_id"])) is not None:
            known.update(message.get("size", 0), _status(message["status"]) if "on" in message else None)
        if "id" in message:
            answer = self._asked.get(message["id"])
            if answer is not None and not answer.done():
                answer.set_result(message)


class Execs:
    """What can be asked about execs, checked; over one holder and one run directory."""

    def __init__(self, holder: Holder, run: str | Path, *, log_bytes: int = EXEC_LOG_BYTES) -> None:
        self._holder = holder
        self.run = Path(run)
        self._directory = self.run / "execs"
        self._log_bytes = log_bytes

    async def start(
        self, exec: Exec, *, error: str = "", wait: bool = False, hold: bool = False
    ) -> tuple[LocalRunning, bool]:
        """Starts it, or attaches to the one that has its id; `error` records that it cannot be started. True when new.
        With `wait` a new one is over when this returns, at one message less; with `hold` it waits for this reader."""
        request = self._request(exec)
        if wait:
            request["wait"] = True
        if hold:
            request["hold"] = True
        if error:
            request["error"] = error
        exec_id = str(request["exec_id"])
        followed = self._follow(exec_id)
        answer = await self._holder.ask("start", **request)
        _learn(followed, answer)
        return LocalRunning(self, exec_id, followed, cursor=0, owner=hold), bool(answer["new"])

    async def attach(self, exec_id: str, cursor: int = 0) -> LocalRunning:
        """Output from the cursor on, live to the end."""
        _check_id(exec_id)
        followed = self._follow(exec_id)
        _learn(followed, await self._holder.ask("follow", exec_id=exec_id))
        if not 0 <= cursor <= followed.size:
            raise SteadError("invalid", f"cursor must be 0 to {followed.size}", field="cursor")
        if cursor < followed.status.first_cursor:
            raise _no_longer_kept(cursor, followed.status.first_cursor)
        return LocalRunning(self, exec_id, followed, cursor=cursor)

    async def listed(self) -> ExecList:
        """Newest first."""
        answer = await self._holder.ask("list")
        return ExecList(execs=[_status(each) for each in answer["execs"]])

    async def show(self, exec_id: str) -> ExecStatus:
        """One status."""
        _check_id(exec_id)
        return _status((await self._holder.ask("show", exec_id=exec_id))["status"])

    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus:
        """TERM and KILL answer when the whole tree is gone, other signals at once."""
        _check_id(exec_id)
        if signal not in SIGNALS:
            raise SteadError("invalid", "signal must be 1 to 64", field="signal")
        _check_seconds("grace", grace, GRACE)
        return _status((await self._holder.ask("kill", exec_id=exec_id, signal=signal, grace=grace))["status"])

    async def cancel(self, exec_id: str) -> ExecStatus:
        """Ends it; its state becomes `cancelled`."""
        return _status((await self._holder.ask("cancel", exec_id=exec_id))["status"])

    async def end_stdin(self, exec_id: str) -> None:
        """No more input comes."""
        await self._holder.ask("end_stdin", exec_id=exec_id)

    def read(self, exec_id: str, cursor: int) -> None:
        """All before the cursor was read."""
        self._holder.tell("read", exec_id=exec_id, cursor=cursor)

    def let_go(self, exec_id: str) -> None:
        """It waits for nobody any more."""
        self._holder.tell("let_go", exec_id=exec_id)

    def unfollow(self, exec_id: str) -> None:
        """Nobody here reads it."""
        self._holder.tell("unfollow", exec_id=exec_id)

    def log(self, exec_id: str, start: int = 0) -> Path:
        """The file of its output that begins at this place."""
        return Path(file_of(str(self._directory / f"{exec_id}.log"), start))

    def log_starts(self, exec_id: str) -> list[int]:
        """Where the files of its output begin."""
        numbers = (path.name.rpartition(".")[2] for path in self._directory.glob(f"{exec_id}.log.*"))
        later = sorted(int(number) for number in numbers if number.isascii() and number.isdecimal())
        return [0, *later] if self.log(exec_id).exists() else later

    def stdin(self, exec_id: str) -> Path:
        return self._directory / f"{exec_id}.stdin"

    def _request(self, exec: Exec) -> dict[str, object]:
        _check(exec, self._log_bytes)
        argv = ["/bin/sh", "-c", exec.argv[0], "sh", *exec.argv[1:]] if exec.shell else exec.argv
        return {
            "exec_id": exec.exec_id or new_id(),
            "argv": argv,
            "shown": _shown(exec.argv),
            "cwd": exec.cwd,
            "environment": exec.environment,
            "timeout": exec.timeout,
            "grace": exec.grace,
            "stdin": exec.stdin,
            "background": exec.background,
            "log_bytes": min(exec.log_bytes, self._log_bytes),
        }

    def _follow(self, exec_id: str) -> Followed:
        begun = Followed(ExecStatus(exec_id=exec_id, state=ExecState.RUNNING), 0)
        return self._holder.followed.setdefault(exec_id, begun)


class LocalRunning:
    """An exec under way, or over and still to be read. `owner`: an exec that is held waits for this reader above all."""

    def __init__(self, execs: Execs, exec_id: str, followed: Followed, cursor: int, *, owner: bool = False) -> None:
        self.exec_id = exec_id
        self._execs = execs
        self._followed = followed
        self._cursor = cursor
        self._place = Place(cursor, owner)
        followed.places.add(self._place)
        self._log = -1
        self._log_start = 0
        self._stdin = -1

    @property
    def status(self) -> ExecStatus:
        """As last heard."""
        return self._followed.status

    @property
    def cursor(self) -> int:
        """Where it goes on reading."""
        return self._cursor

    async def pieces(self, limit: int = records.DATA_BYTES) -> AsyncIterator[bytes]:
        """The log's bytes from the cursor on, in any pieces, to the end. Who takes them says so with `took`."""
        while True:
            await self._followed.more(self._cursor)
            if self._cursor >= self._followed.size:
                return
            with confine.errors("the log"):
                data = self._read(min(limit, self._followed.size - self._cursor))
            self._cursor += len(data)
            yield data

    def took(self, cursor: int) -> None:
        """All before the cursor was taken by whom it is for; an exec that is held may go on."""
        followed = self._followed
        self._place.cursor = cursor
        if followed.held and (read := followed.read) - followed.told >= followed.held >> 3:
            followed.told = read
            self._execs.read(self.exec_id, read)

    async def output(self) -> AsyncIterator[Output]:
        """Every piece in order, to the end."""
        decoder = records.Decoder(self._cursor)
        async for piece in self.pieces():
            for channel, data, cursor in _decoded(decoder, piece):
                yield Output(channel="stdout" if channel == records.STDOUT else "stderr", data=data, cursor=cursor)
            self.took(decoder.cursor)

    async def write(self, data: bytes) -> None:
        """To its stdin; waits while the exec does not read. "conflict" when it reads no more."""
        view = memoryview(data)
        while view:
            descriptor = self._open_stdin()
            try:
                done = os.write(descriptor, view[:STDIN_PIECE])
            except BlockingIOError:
                await self._writable(descriptor)
            except BrokenPipeError:
                raise SteadError("conflict", "the exec reads no more input") from None
            else:
                view = view[done:]

    async def close_stdin(self) -> None:
        """The exec sees the end of its input."""
        self._close_stdin()
        await self._execs.end_stdin(self.exec_id)

    async def wait(self) -> ExecStatus:
        """Its end; it is not held any more, so what is not read yet may be dropped."""
        self._let_go()
        return await self._followed.end()

    async def end(self) -> ExecStatus:
        """Its end, which may never come while nobody reads what it prints."""
        return await self._followed.end()

    async def kill(self, signal: int = 15) -> None:
        """The whole tree gets it."""
        await self._execs.kill(self.exec_id, signal)

    async def collect(self) -> ExecResult:
        """Waits for the end and gathers what fits into one answer; reads all meanwhile if the exec is held."""
        held = self._followed.held > 0
        if not held:
            await self.end()
        if not held and self._cursor == self._followed.size:
            return ExecResult(status=self.status)
        self._cursor = max(self._cursor, self.status.first_cursor)
        parts: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        room, clipped = RESULT_BYTES, self._cursor > 0
        async for piece in self.output():
            part = parts[piece.channel]
            kept = piece.data[: min(CALL_BYTES - len(part), room)]
            part += kept
            room -= len(kept)
            clipped = clipped or len(kept) < len(piece.data)
            if room == 0 and not held:
                break
        stdout, stderr = bytes(parts["stdout"]), bytes(parts["stderr"])
        return ExecResult(status=self.status, stdout=stdout, stderr=stderr, clipped=clipped)

    def close(self, *, hold: bool = False) -> None:
        """Lets go of the exec, which runs on; may be called twice. With `hold` a held exec waits for the next reader, if
        this was the last one."""
        self._leave()
        if self._followed.places:
            return
        if not self._followed.over:
            if not hold:
                self._let_go()
        elif self._followed.size > FILE_BYTES:
            self._execs.unfollow(self.exec_id)

    def __del__(self) -> None:
        self._leave()

    def _leave(self) -> None:
        self._followed.places.discard(self._place)
        self._close_stdin()
        self._close_log()

    def _let_go(self) -> None:
        if self._followed.held and not self._followed.over:
            self._followed.held = 0
            self._execs.let_go(self.exec_id)

    def _read(self, limit: int) -> bytes:
        """What is next, from this file of the log or the next one; never nothing."""
        if self._log < 0:
            self._open_log(self._first_file())
        data = os.pread(self._log, limit, self._cursor - self._log_start)
        if not data:
            self._close_log()
            self._open_log(self._cursor)
            data = os.pread(self._log, limit, 0)
        if not data:
            raise SteadError("malformed", f"the log ends at {self._cursor}, before the output does")
        return data

    def _first_file(self) -> int:
        if self._cursor == 0 or self._followed.size <= FILE_BYTES:
            return 0
        return max((start for start in self._execs.log_starts(self.exec_id) if start <= self._cursor), default=0)

    def _open_log(self, start: int) -> None:
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            self._log = os.open(self._execs.log(self.exec_id, start), flags)
        except FileNotFoundError:
            later = [start for start in self._execs.log_starts(self.exec_id) if start > self._cursor]
            if not later:
                raise
            raise _no_longer_kept(self._cursor, min(later)) from None
        self._log_start = start

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def _open_stdin(self) -> int:
        if self._stdin < 0:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._stdin = os.open(self._execs.stdin(self.exec_id), flags)
            except OSError:
                raise SteadError("conflict", "the exec reads no input") from None
        return self._stdin

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    async def _writable(self, descriptor: int) -> None:
        """Until the pipe has room or the exec is over."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, _settle, room)
        end = asyncio.ensure_future(self._followed.end())
        try:
            waiters: list[asyncio.Future[Any]] = [room, end]
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_writer(descriptor)
            end.cancel()
        if end.done() and not end.cancelled() and not room.done():
            raise SteadError("conflict", "the exec is over")


def _learn(followed: Followed, answer: dict[str, Any]) -> None:
    """An answer may be older than the end that was told meanwhile."""
    if not followed.over:
        followed.update(answer["size"], _status(answer["status"]))
        followed.held = answer.get("held", 0)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _gone() -> SteadError:
    return SteadError("unavailable", "the holder of this workspace's execs is gone")


def _no_longer_kept(cursor: int, first: int) -> SteadError:
    message = f"the output from {cursor} on is no longer kept; it begins at {first}"
    return SteadError("range_unsatisfiable", message, first_cursor=first)


def _decoded(decoder: records.Decoder, piece: bytes) -> list[tuple[int, bytes, int]]:
    try:
        return decoder.feed(piece)
    except records.BadRecordError as error:
        raise SteadError("malformed", f"the output cannot be read from there: {error}") from None


def _status(value: dict[str, Any]) -> ExecStatus:
    try:
        return msgspec.convert(value, ExecStatus)
    except msgspec.ValidationError:
        return ExecStatus(exec_id=value["exec_id"], state=ExecState.UNKNOWN, error="its record is damaged")


def _check_id(exec_id: str) -> None:
    ids.check(ids.Kind.EXEC, exec_id)


def _check(exec: Exec, log_bytes: int) -> None:
    if exec.exec_id:
        _check_id(exec.exec_id)
    if not exec.argv or not exec.argv[0]:
        raise SteadError("invalid", "argv must name a program", field="argv")
    _check_texts("argv", exec.argv)
    _check_texts("environment", [*exec.environment, *exec.environment.values()])
    if any(not name or "=" in name for name in exec.environment):
        raise SteadError(
            "invalid", "the name of an environment variable is not empty and has no '='", field="environment"
        )
    words = [*exec.argv, *exec.environment, *exec.environment.values()]
    if sum(len(word.encode()) + 1 for word in words) > ARGV_BYTES:
        raise SteadError("too_large", f"arguments and environment have at most {ARGV_BYTES} bytes in all")
    _check_seconds("timeout", exec.timeout, EXEC_TIMEOUT)
    _check_seconds("grace", exec.grace, GRACE)
    if not 0 <= exec.log_bytes <= max(log_bytes, EXEC_LOG_BYTES):
        raise SteadError("invalid", f"log_bytes must be 0 to {log_bytes}", field="log_bytes")


def _check_texts(field: str, texts: list[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise SteadError("invalid", f"{field} has a NUL byte", field=field)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SteadError("invalid", f"{field} is not valid text", field=field) from None


def _check_seconds(field: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise SteadError("invalid", f"{field} must be 0 to {most:g} seconds", field=field)


def _shown(argv: list[str]) -> list[str]:
    shown: list[str] = []
    left = SHOWN_BYTES
    for text in argv:
        if len(text) > left:
            return [*shown, text[: max(0, left)] + "..."]
        shown.append(text)
        left -= len(text) + 1
    return shown
