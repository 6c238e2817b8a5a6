"""The language servers of a workspace: which run, until when, and how often they crashed.

Contract: `pool(place)` is the one of a place. `async with pool.serving(program, project)` is a server that is ready, up to date
with the disk, and nobody else's meanwhile. One that is idle or in the way of others is ended; one that crashed is started by
the next question, until it has crashed too often.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

import msgspec
import psutil

from stead.protocol.errors import SteadError
from stead.toolbox.language.contract import VARIABLE, LanguageServer, Limits
from stead.toolbox.language.running import Running
from stead.toolbox.language.servers import Program
from stead.toolbox.place import Place

REMEMBERED = 256
"""Servers whose crashes are remembered."""

Key = tuple[str, str]


class _Turn:
    """Who asks one server or waits for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.asking = 0


class Pool:
    """Those of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._limits = _limits(place.programs.environment.get(VARIABLE))
        self._running: dict[Key, Running] = {}
        self._crashes: dict[Key, deque[tuple[float, str]]] = {}
        self._turns: dict[Key, _Turn] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def serving(self, program: Program, project: str) -> AsyncIterator[Running]:
        """One that is ready, while the caller is inside."""
        key = (program.kind.program, project)
        try:
            async with self._turn(key):
                server = await self._ready(key, program)
                try:
                    yield server
                finally:
                    server.used = time.monotonic()
        finally:
            self._watch_the_clock()

    @contextlib.asynccontextmanager
    async def _turn(self, key: Key) -> AsyncIterator[None]:
        """One after the other."""
        turn = self._turns.setdefault(key, _Turn())
        turn.asking += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.asking -= 1
            if not turn.asking:
                del self._turns[key]

    async def status(self) -> list[LanguageServer]:
        """Those that run, the last used first."""
        found = sorted(self._running.items(), key=lambda each: -each[1].used)
        return [
            LanguageServer(
                name=server.name,
                root=server.project,
                pid=server.pid,
                memory=await self._place.in_thread(_memory, server.pid),
                documents=len(server.documents),
                restarts=len(self._recent(key)),
                idle=max(0.0, round(time.monotonic() - server.used, 3)),
            )
            for key, server in found
        ]

    async def stop(self) -> int:
        """Ends all."""
        found = list(self._running.values())
        for server in found:
            server.end()
        for server in found:
            await server.gone()
        return len(found)

    def close(self) -> None:
        """Nothing is left running."""
        if self._timer is not None:
            self._timer.cancel()
        for server in list(self._running.values()):
            server.end()

    async def _ready(self, key: Key, program: Program) -> Running:
        found = self._running.get(key)
        if found is not None:
            if not found.over and await found.refresh():
                return found
            await self._end(found)
        self._refuse_what_crashes(key)
        await self._make_room()
        server = Running(self._place, program, key[1], self._limits, lambda why: self._over(key, server, why))
        self._running[key] = server
        try:
            await server.begin()
        except SteadError:
            await server.gone()
            raise
        finally:
            if server.over and self._running.get(key) is server:
                del self._running[key]
        return server

    def _over(self, key: Key, server: Running, why: str) -> None:
        if self._running.get(key) is server:
            del self._running[key]
        if why:
            while len(self._crashes) >= REMEMBERED:
                del self._crashes[next(iter(self._crashes))]
            crashes = self._crashes.setdefault(key, deque(maxlen=self._limits.crashes))
            crashes.append((time.monotonic(), why))

    def _recent(self, key: Key) -> list[str]:
        """Why it crashed lately."""
        since = time.monotonic() - self._limits.crash_seconds
        return [why for when, why in self._crashes.get(key, ()) if when > since]

    def _refuse_what_crashes(self, key: Key) -> None:
        recent = self._recent(key)
        if recent and len(recent) >= self._limits.crashes:
            within = f"{len(recent)} times within {self._limits.crash_seconds:g} s"
            raise SteadError("lsp_failed", f"{key[0]} crashed {within} and is left alone for now; at last {recent[-1]}")

    async def _make_room(self) -> None:
        while len(self._running) >= self._limits.servers:
            idle = [each for key, each in self._running.items() if key not in self._turns]
            if not idle:
                raise SteadError("too_many", f"{self._limits.servers} language servers are at work at once")
            await self._end(min(idle, key=lambda each: each.used))

    async def _end(self, server: Running) -> None:
        server.end()
        await server.gone()

    def _watch_the_clock(self) -> None:
        idle = [server.used for key, server in self._running.items() if key not in self._turns]
        if self._timer is None and idle:
            wait = max(0.01, min(idle) + self._limits.idle_seconds - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._end_idle)

    def _end_idle(self) -> None:
        self._timer = None
        since = time.monotonic() - self._limits.idle_seconds
        for key, server in list(self._running.items()):
            if server.used <= since and key not in self._turns:
                server.end()
                del self._running[key]
        self._watch_the_clock()


def pool(place: Place) -> Pool:
    """The one of a place."""
    return place.own(Pool)


def _limits(text: str | None) -> Limits:
    if text is None:
        return Limits()
    try:
        return msgspec.json.decode(text, type=Limits)
    except msgspec.DecodeError as error:
        raise SteadError("invalid", f"{VARIABLE}: {error}") from None


def _memory(pid: int) -> int:
    """Of a process with its children; what ends meanwhile has none."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += int(each.memory_info().rss)
    return total
