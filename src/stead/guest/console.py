"""A serial line as a door, for machines that have nothing else: what goes over it is told apart by the beginning of each line.

    JSON:{...}     a request or answer of the guest protocol
    EXEC:LINE      runs a shell line; its output and its end come back as EXEC:{"id", "stream", "data"} and EXEC:{"id", "exit"};
                   the lines are numbered from 1 on, as they come
    KILL:3         ends what the third one started
    TERM:BASE64    keys for a shell on a terminal of its own, and what it shows
    SIZE:24x80     rows and columns of that terminal
    LINK:LINE      a channel of its own as on any other door, upgraded to the framed link or not, as `transport.carried` has it

Contract: `Console(connection, rpc, toolbox, connected, limiter).run(greeting)` serves one line until it is gone; `connected`
serves a channel. Lines that begin otherwise, such as what the kernel prints, are passed over on both sides. No line that is
written has more than `LINE_BYTES`. Half a line of which nothing comes any more is dropped after `patience` seconds. What runs
when the line goes is ended.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
import os
import re

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.guest.channel import LINES, Connected
from stead.guest.foreground import ended
from stead.guest.incoming import PATIENCE, Incoming, TooLongError
from stead.guest.limiter import Limiter
from stead.guest.rpc import Rpc
from stead.guest.terminal import ENTER, Terminal, hang_up
from stead.guest.texts import texts
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import LINE_BYTES
from stead.toolbox.contract import Exec
from stead.toolbox.execs import LocalRunning, new_id
from stead.toolbox.local import LocalToolbox
from stead.transport.carried import Carried, ending, name_of, opened_by

PIECE = 3000
"""Bytes of output in one line."""
AT_ONCE = 16
"""Commands of one line at once."""
PREFIX_BYTES = len("JSON:")
_SIZE = re.compile(rb"(\d{1,4})x(\d{1,4})")
_NUMBER = re.compile(rb"\d{1,18}")


class Console:
    """One serial line."""

    def __init__(
        self,
        connection: Bytes,
        rpc: Rpc,
        toolbox: LocalToolbox,
        connected: Connected,
        limiter: Limiter,
        patience: float = PATIENCE,
    ) -> None:
        self._connection = connection
        self._incoming = Incoming(connection, LINE_BYTES + PREFIX_BYTES, patience, returns=True)
        self._rpc = rpc
        self._toolbox = toolbox
        self._connected = connected
        self._limiter = limiter
        self._channel: Carried | None = None
        self._writing = anyio.Lock()
        self._slots = asyncio.Semaphore(LINES)
        self._numbers = itertools.count(1)
        self._commands: dict[int, str] = {}
        self._terminal: Terminal | None = None
        self._size = (24, 80)

    async def run(self, greeting: bytes) -> None:
        """Until the line is gone."""
        try:
            async with anyio.create_task_group() as group:
                with contextlib.suppress(SteadError):
                    await self._say(b"JSON:" + greeting)
                    await self._read(group)
                group.cancel_scope.cancel()
        finally:
            if self._terminal is not None:
                self._terminal.close()
            if self._channel is not None:
                self._channel.end()

    async def _read(self, group: TaskGroup) -> None:
        while True:
            try:
                line = await self._incoming.next()
            except TooLongError:
                continue
            if line is None:
                return
            await self._take(line, group)

    async def _take(self, line: bytes, group: TaskGroup) -> None:
        """One line, by its beginning."""
        kind, _, rest = line.partition(b":")
        if kind == b"TERM":
            try:
                self._type(rest, group)
            except SteadError as error:
                await self._tell(error={"code": error.code, "message": error.message})
        elif kind == b"SIZE" and (found := _SIZE.fullmatch(rest)):
            self._size = (int(found[1]), int(found[2]))
            if self._terminal is not None:
                self._terminal.resize(*self._size)
        elif kind == b"LINK":
            await self._carry(rest, group)
        elif kind == b"EXEC" and rest:
            await self._begin(rest.decode(errors="replace"), group)
        elif kind in {b"JSON", b"KILL"} and rest:
            await self._slots.acquire()
            group.start_soon(self._answer, kind, rest)

    async def _answer(self, kind: bytes, rest: bytes) -> None:
        try:
            if kind == b"KILL":
                await self._kill(rest)
            elif (answer := await self._rpc.answer(rest)) is not None:
                await self._say(b"JSON:" + answer)
        except SteadError:
            return
        finally:
            self._slots.release()

    # --- a channel -------------------------------------------------------------------------------------------------------

    async def _carry(self, line: bytes, group: TaskGroup) -> None:
        """A line of the channel; the first one of a new channel ends the one before."""
        name = name_of(line)
        if self._channel is not None and self._channel.name == name:
            await self._channel.feed(line)
        elif opened_by(line) is not None and name is not None:
            if self._channel is not None:
                self._channel.end()
            self._channel = Carried(self._link, name)
            group.start_soon(self._serve_channel, self._channel)
            await self._channel.feed(line)
        elif name is not None:
            await self._link(ending(name))

    async def _serve_channel(self, channel: Carried) -> None:
        with contextlib.suppress(SteadError):
            await self._connected(channel)
        with contextlib.suppress(SteadError):
            await channel.close()

    async def _link(self, line: bytes) -> None:
        await self._say(b"LINK:" + line)

    # --- commands --------------------------------------------------------------------------------------------------------

    async def _begin(self, line: str, group: TaskGroup) -> None:
        """What is too much is told before anything else is read."""
        number = next(self._numbers)
        if len(self._commands) >= AT_ONCE:
            error = {"code": "too_many", "message": f"at most {AT_ONCE} commands of one serial line at once"}
            await self._tell(id=number, error=error)
            return
        self._commands[number] = new_id()
        group.start_soon(self._run, number, line)

    async def _run(self, number: int, line: str) -> None:
        with contextlib.suppress(SteadError):
            try:
                with self._limiter.admitted():
                    await self._follow(number, line)
            except SteadError as error:
                await self._tell(id=number, error={"code": error.code, "message": error.message})
            finally:
                del self._commands[number]

    async def _follow(self, number: int, line: str) -> None:
        """To its end, whatever that is."""
        exec_id = self._commands[number]
        seconds = self._limiter.limits.exec_seconds
        async with ended(self._toolbox, exec_id):
            running = await self._toolbox.start(Exec(argv=[line], shell=True, exec_id=exec_id, timeout=seconds))
            with contextlib.closing(running):
                await self._pass_on(number, running)

    async def _pass_on(self, number: int, running: LocalRunning) -> None:
        async for channel, text in texts(running, PIECE):
            await self._tell(id=number, stream=channel, data=text)
        status = await running.wait()
        end = {"state": status.state, "code": status.exit_code, "signal": status.signal, "error": status.error}
        await self._tell(id=number, exit=end)

    async def _kill(self, rest: bytes) -> None:
        """Its end is told as every other."""
        exec_id = self._commands.get(int(rest)) if _NUMBER.fullmatch(rest) else None
        try:
            if exec_id is None:
                raise SteadError("exec_unknown", "KILL: takes the number of a command that runs")
            await self._toolbox.kill(exec_id)
        except SteadError as error:
            await self._tell(error={"code": error.code, "message": error.message})

    async def _tell(self, **fields: object) -> None:
        await self._say(b"EXEC:" + msgspec.json.encode(fields))

    # --- the terminal ----------------------------------------------------------------------------------------------------

    def _type(self, coded: bytes, group: TaskGroup) -> None:
        """Keys; the first ones start the shell, and so do the first ones after it has ended."""
        with contextlib.suppress(binascii.Error):
            keys = base64.b64decode(coded, validate=True)
            if self._terminal is None or self._terminal.closed:
                self._toolbox.permit_terminal()
                self._terminal = Terminal(self._size)
                group.start_soon(self._shell, self._terminal)
            self._terminal.write(keys)

    async def _shell(self, terminal: Terminal) -> None:
        """The life of one shell on its terminal."""
        programs = self._toolbox.place.programs
        shell = programs.environment.get("SHELL", "")
        argv = ["sh", "-c", ENTER, terminal.name, shell if os.access(shell, os.X_OK) else "/bin/sh", "-l"]
        given = {"TERM": "xterm-256color"}
        with contextlib.suppress(SteadError):
            async with (
                programs.started(argv, cwd=self._toolbox.place.root.path, environment=given) as process,
                anyio.create_task_group() as group,
            ):
                group.start_soon(self._show, terminal)
                try:
                    await process.wait()
                except BaseException:
                    hang_up(process.pid)
                    raise
                terminal.end()
            await self._say(b"TERM:" + base64.b64encode(b"\r\n[the shell has ended]\r\n"))
        terminal.close()

    async def _show(self, terminal: Terminal) -> None:
        """What the terminal shows, as it comes, and what is left of it at the end."""
        with contextlib.suppress(SteadError):
            while data := await terminal.read(PIECE):
                await self._say(b"TERM:" + base64.b64encode(data))

    async def _say(self, line: bytes) -> None:
        async with self._writing:
            await self._connection.write(line + b"\n")
