"""Commands that came over HTTP: run to the end, streamed, or in the background; what they print goes into the history too.

Contract: a command that fails is a result with its exit code. One in the foreground ends with its caller. One in the background
goes on when nobody listens; its output is in the history and, whole, under its id.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from anyio.abc import TaskGroup

from stead.guest.foreground import ended
from stead.guest.sidecar.history import History
from stead.guest.sidecar.http import Event
from stead.guest.texts import Channel, texts
from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec, ExecState, ExecStatus
from stead.toolbox.execs import LocalRunning, new_id
from stead.toolbox.local import LocalToolbox

SECONDS = 30.0
TEXT_CHARACTERS = 1 << 20
"""What an answer carries of each output."""


class Command(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A shell line (`command`), or a program and its arguments (`argv`). `timeout` in milliseconds."""

    command: str = ""
    argv: list[str] = []
    is_background: bool = False
    timeout: float | None = None
    cwd: str = "."
    environment: dict[str, str] = {}
    explanation: str = ""

    def exec(self, exec_id: str, *, background: bool) -> Exec:
        """As the toolbox has it."""
        if bool(self.command) == bool(self.argv):
            raise SteadError("invalid", "either command (a shell line) or argv (a program and its arguments) is needed")
        seconds = self.timeout / 1000 if self.timeout is not None else 0.0 if background else SECONDS
        if seconds < 0:
            raise SteadError("invalid", "timeout: milliseconds from 0 on", field="timeout")
        return Exec(
            argv=self.argv or [self.command],
            exec_id=exec_id,
            shell=not self.argv,
            cwd=self.cwd,
            environment=self.environment,
            timeout=seconds,
            background=background,
        )

    @property
    def line(self) -> str:
        return self.command or " ".join(self.argv)


class Commands:
    """Those of one sidecar."""

    def __init__(self, toolbox: LocalToolbox, history: History, group: TaskGroup) -> None:
        self._toolbox = toolbox
        self._history = history
        self._group = group

    async def run(self, command: Command) -> dict[str, Any]:
        """To its end, or only its start."""
        if command.is_background:
            return await self.background(command)
        kept = {"stdout": "", "stderr": ""}
        clipped = False
        async with ended(self._toolbox, exec_id := new_id()):
            running = await self._begin(command, exec_id, background=False)
            with contextlib.closing(running):
                async for channel, text in self._pieces(running):
                    clipped = clipped or len(kept[channel]) + len(text) > TEXT_CHARACTERS
                    kept[channel] += text[: TEXT_CHARACTERS - len(kept[channel])]
                status = await running.wait()
        return _ended(status) | kept | {"truncated": clipped or status.truncated}

    async def background(self, command: Command) -> dict[str, Any]:
        """Its id; it goes on by itself."""
        running = await self._begin(command, new_id(), background=True)
        self._group.start_soon(self._follow, running)
        return {"success": True, "commandId": running.exec_id, "isBackground": True}

    async def stream(self, command: Command) -> AsyncGenerator[Event, None]:
        """What it prints as it comes, and its end. Who stops listening ends it."""
        async with ended(self._toolbox, exec_id := new_id()):
            running = await self._begin(command, exec_id, background=False)
            with contextlib.closing(running):
                async for channel, text in self._pieces(running):
                    yield Event(channel, {"content": text})
                status = await running.wait()
        yield Event("exit", _ended(status))

    async def show(self, exec_id: str) -> dict[str, Any]:
        status = await self._toolbox.show(exec_id)
        return _ended(status) | {"command": " ".join(status.argv), "running": status.state is ExecState.RUNNING}

    async def kill(self, exec_id: str) -> dict[str, Any]:
        return _ended(await self._toolbox.kill(exec_id))

    async def _begin(self, command: Command, exec_id: str, *, background: bool) -> LocalRunning:
        running = await self._toolbox.start(command.exec(exec_id, background=background))
        self._history.add("command", command.line, running.exec_id, time.time())
        if running.status.state is ExecState.FAILED:
            self._history.add("system", running.status.error, running.exec_id, time.time())
        return running

    async def _follow(self, running: LocalRunning) -> None:
        with contextlib.suppress(SteadError):
            async for _ in self._pieces(running):
                pass

    async def _pieces(self, running: LocalRunning) -> AsyncIterator[tuple[Channel, str]]:
        """Output as text, also into the history."""
        async for channel, text in texts(running):
            self._history.add(channel, text, running.exec_id, time.time())
            yield channel, text


def _ended(status: ExecStatus) -> dict[str, Any]:
    """A status as this face has it; a command that failed is no failure of the request."""
    return {
        "success": status.ok,
        "commandId": status.exec_id,
        "exitCode": status.exit_code,
        "signal": status.signal,
        "timedOut": status.state is ExecState.TIMED_OUT,
        "state": status.state.value,
        "message": status.error,
    }
