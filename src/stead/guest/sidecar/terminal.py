"""Routes about commands, what they printed, and changes of files: also as event streams."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from anyio.abc import TaskGroup

from stead.guest.sidecar.commands import Command, Commands
from stead.guest.sidecar.history import History
from stead.guest.sidecar.http import Event, Events, Request
from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox
from stead.toolbox.watch.contract import Change, ChangeKind, Watching

HISTORY = 1000
REPLAYED = 100

_WORDS = {ChangeKind.CREATED: "created", ChangeKind.MODIFIED: "modified", ChangeKind.DELETED: "deleted"}


class TerminalRoutes:
    """Over one toolbox."""

    def __init__(self, toolbox: LocalToolbox, group: TaskGroup) -> None:
        self._toolbox = toolbox
        self._history = History()
        self._commands = Commands(toolbox, self._history, group)
        self._watching: set[Watching] = set()
        self._paused = False

    def table(self) -> dict[tuple[str, str], Callable[[Request], Awaitable[Any]]]:
        return {
            ("POST", "/api/execute/command"): self.run,
            ("POST", "/execute/command"): self.run,
            ("POST", "/api/execute/command/stream"): self.stream,
            ("POST", "/api/commands/background"): self.background,
            ("GET", "/api/commands/*"): self.show,
            ("DELETE", "/api/commands/*"): self.kill,
            ("GET", "/api/terminal/history"): self.history,
            ("GET", "/api/terminal/stats"): self.stats,
            ("POST", "/api/terminal/clear"): self.clear,
            ("GET", "/api/terminal/stream"): self.follow,
            ("POST", "/api/watcher/pause"): self.pause,
            ("POST", "/api/watcher/resume"): self.resume,
            ("GET", "/api/watcher/status"): self.watcher,
            ("GET", "/api/watcher/stream"): self.changes,
        }

    async def run(self, request: Request) -> dict[str, Any]:
        command = await request.json(Command)
        return await request.attended(self._commands.run(command))

    async def background(self, request: Request) -> dict[str, Any]:
        return await self._commands.background(await request.json(Command))

    async def stream(self, request: Request) -> Events:
        return Events(self._commands.stream(await request.json(Command)))

    async def show(self, request: Request) -> dict[str, Any]:
        return await self._commands.show(request.path.rpartition("/")[2])

    async def kill(self, request: Request) -> dict[str, Any]:
        return await self._commands.kill(request.path.rpartition("/")[2])

    # --- what was printed ------------------------------------------------------------------------------------------------

    async def history(self, request: Request) -> dict[str, Any]:
        count = _count(request, "count", HISTORY)
        if "sinceId" in request.query:
            entries = self._history.after(_count(request, "sinceId", 0), count)
        else:
            entries = self._history.last(count)
        return {"success": True, "entries": entries}

    async def stats(self, request: Request) -> dict[str, Any]:
        return {"success": True, "stats": self._history.stats()}

    async def clear(self, request: Request) -> dict[str, Any]:
        self._history.clear()
        return {"success": True}

    async def follow(self, request: Request) -> Events:
        return Events(self._follow(replay=request.query.get("history") == "true"))

    async def _follow(self, *, replay: bool) -> AsyncGenerator[Event, None]:
        last = self._history.last(REPLAYED if replay else 1)
        seen = last[-1].id if last else 0
        if replay:
            yield Event("history", last)
        while True:
            for entry in await self._history.more(seen):
                seen = entry.id
                yield Event("output", entry)

    # --- changes of files ------------------------------------------------------------------------------------------------

    async def pause(self, request: Request) -> dict[str, Any]:
        self._paused = True
        for watching in list(self._watching):
            await watching.pause()
        return {"success": True, "paused": True}

    async def resume(self, request: Request) -> dict[str, Any]:
        self._paused = False
        for watching in list(self._watching):
            await watching.resume()
        return {"success": True, "paused": False}

    async def watcher(self, request: Request) -> dict[str, Any]:
        watches = (await self._toolbox.watch.status()).watches
        return {"success": True, "paused": self._paused, "watchers": len(self._watching), "watches": watches}

    async def changes(self, request: Request) -> Events:
        return Events(self._changes(request.query.get("path", ".")))

    async def _changes(self, path: str) -> AsyncGenerator[Event, None]:
        async with self._toolbox.watch.open(path, paused=self._paused) as watching:
            self._watching.add(watching)
            try:
                yield Event("ready", {"path": path})
                async for change in watching:
                    yield Event("fs-change", _change(change))
            finally:
                self._watching.discard(watching)
                with contextlib.suppress(SteadError):
                    await watching.close()


def _change(change: Change) -> dict[str, Any]:
    """In the words of this face; a rename is told as one."""
    noun = "directory" if change.directory else "file"
    word = _WORDS.get(change.kind, change.kind.value)
    return {
        "type": "overflow" if change.overflow else f"{noun}-{word}",
        "path": change.path,
        "previousPath": change.previous or None,
    }


def _count(request: Request, name: str, default: int) -> int:
    given = request.query.get(name, str(default))
    if not (given.isascii() and given.isdecimal()) or len(given) > 15:
        raise SteadError("invalid", f"{name}: a whole number is needed", field=name)
    return msgspec.json.decode(given.lstrip("0") or "0", type=int)
