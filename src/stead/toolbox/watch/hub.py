"""Who watches a workspace: readers that want the same files share one engine, which runs while there is a reader.

Contract: `Hub(place)`; `async with hub.reading(asked)` is a `Reading`: a `Watching` that is told everything from then on. A
reader that falls behind by more than `PENDING` changes gets an overflow instead. `close` ends all. Everything here happens in
one event loop, but for the engines' own threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET
from stead.toolbox.ignoring.globs import Chosen
from stead.toolbox.place import Place
from stead.toolbox.watch.contract import PENDING, Change, ChangeKind, Watched, WatchFiles
from stead.toolbox.watch.engine import Begun, Engine, Synced

END_SECONDS = 5.0
_LOOK = getattr(os, "O_PATH", os.O_RDONLY | QUIET) | os.O_CLOEXEC

OVERFLOW = Change(kind=ChangeKind.OVERFLOW, path=".", directory=True)


class Reading:
    """One reader's changes."""

    def __init__(self, path: str, asked: WatchFiles) -> None:
        self._path = "" if path == "." else path
        self._include = Chosen(asked.include, "include") if asked.include else None
        self._exclude = Chosen(asked.exclude, "exclude")
        self._paused = asked.paused
        self._changes: list[Change] = []
        self._missed = False
        self._closed = False
        self._fault: SteadError | None = None
        self._any = asyncio.Event()
        self.shared: Shared | None = None

    async def batch(self) -> list[Change]:
        """What has happened since the last time; waits for it. Empty when it was closed."""
        while not self._changes:
            if self._closed:
                return []
            if self._fault is not None:
                raise self._fault
            self._any.clear()
            await self._any.wait()
        found, self._changes = self._changes, []
        return found

    async def __aiter__(self) -> AsyncIterator[Change]:
        while batch := await self.batch():
            for change in batch:
                yield change

    async def now(self) -> list[Change]:
        """What has happened so far, without waiting for more."""
        assert self.shared is not None
        await self.shared.sync()
        if self._fault is not None:
            raise self._fault
        found, self._changes = self._changes, []
        return found

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False
        if self._missed:
            self._missed = False
            self._add([OVERFLOW])

    async def close(self) -> None:
        self._closed = True
        self._any.set()

    def offer(self, changes: list[Change]) -> None:
        """What happened in the workspace."""
        mine = [mine for change in changes if (mine := self._mine(change)) is not None]
        if not mine:
            return
        if self._paused:
            self._missed = True
        else:
            self._add(mine)

    def fail(self, error: SteadError) -> None:
        """Nothing comes any more."""
        self._fault = self._fault or error
        self._any.set()

    def _add(self, changes: list[Change]) -> None:
        if len(self._changes) + len(changes) > PENDING:
            self._changes = [OVERFLOW]
        else:
            self._changes += changes
        self._any.set()

    def _mine(self, change: Change) -> Change | None:
        """As it is seen from here: a file that comes from elsewhere is new, a directory may have much in it, and what goes
        elsewhere is gone."""
        if change.overflow:
            return change
        to = self._wants(change.path, directory=change.directory)
        if change.kind is not ChangeKind.RENAMED:
            return change if to else None
        out = self._wants(change.previous, directory=change.directory)
        if to and out:
            return change
        if to:
            return OVERFLOW if change.directory else Change(kind=ChangeKind.CREATED, path=change.path)
        return Change(kind=ChangeKind.DELETED, path=change.previous, directory=change.directory) if out else None

    def _wants(self, path: str, *, directory: bool) -> bool:
        if self._path and path != self._path and not path.startswith(self._path + "/"):
            return self._path.startswith(path + "/")
        if self._exclude.has(path, directory=directory):
            return False
        return directory or self._include is None or self._include.has(path)


class Shared:
    """An engine and its readers."""

    def __init__(self, place: Place, *, ignored: bool, poll: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._readings: list[Reading] = []
        self._joining = 0
        self._token = 0
        self._syncing: list[tuple[int, asyncio.Future[None]]] = []
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self.engine = Engine(place.root, self._told, ignored=ignored, poll=poll)
        self.engine.start()

    @property
    def watched(self) -> Watched:
        return self.engine.watched(len(self._readings))

    async def add(self, reading: Reading) -> None:
        """It is told what happens from now on, not what others still wait for."""
        reading.shared = self
        self._joining += 1
        try:
            await asyncio.shield(self._begun)
            await self.sync()
            self._readings.append(reading)
        finally:
            self._joining -= 1

    async def sync(self) -> None:
        """What has happened so far has been told when it returns."""
        if self.over:
            self._begun.result()
        self._token += 1
        done: asyncio.Future[None] = self._loop.create_future()
        self._syncing.append((self._token, done))
        self.engine.sync(self._token)
        await done

    def end(self) -> None:
        """Nothing comes any more; who waits hears that it was ended."""
        self.engine.stop()
        self._fail(SteadError("cancelled", "the watch was ended"))

    def remove(self, reading: Reading) -> bool:
        """True when there is no reader left."""
        if reading in self._readings:
            self._readings.remove(reading)
        return not self._readings and not self._joining

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._begun.done() and self._begun.exception() is not None

    def _told(self, what: Begun | Synced | list[Change] | SteadError) -> None:
        """In the engine's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, nobody listens
            self._loop.call_soon_threadsafe(self._take, what)

    def _take(self, what: Begun | Synced | list[Change] | SteadError) -> None:
        if isinstance(what, list):
            for reading in self._readings:
                reading.offer(what)
        elif isinstance(what, SteadError):
            self._fail(what)
        elif isinstance(what, Synced):
            for _, done in [each for each in self._syncing if each[0] <= what.token]:
                if not done.done():
                    done.set_result(None)
            self._syncing = [each for each in self._syncing if each[0] > what.token]
        elif not self._begun.done():
            self._begun.set_result(None)

    def _fail(self, error: SteadError) -> None:
        if self._begun.done():
            self._begun = self._loop.create_future()
        self._begun.set_exception(error)
        self._begun.exception()
        for reading in self._readings:
            reading.fail(error)
        for _, done in self._syncing:
            if not done.done():
                done.set_exception(error)
        self._syncing.clear()


class Hub:
    """All that is watched at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._shared: dict[tuple[bool, bool], Shared] = {}

    @contextlib.asynccontextmanager
    async def reading(self, asked: WatchFiles) -> AsyncIterator[Reading]:
        """A reader, as long as the caller is inside."""
        reading = await self.join(asked)
        try:
            yield reading
        finally:
            self.leave(reading)

    async def join(self, asked: WatchFiles) -> Reading:
        """A reader, until it leaves."""
        reading = Reading(await self._place.in_thread(self._inside, asked.path), asked)
        key = (asked.ignored, asked.poll)
        shared = self._shared.get(key)
        if shared is None or shared.over:
            shared = self._shared[key] = Shared(self._place, ignored=asked.ignored, poll=asked.poll)
        try:
            await shared.add(reading)
        except BaseException:
            self.leave(reading)
            raise
        return reading

    def leave(self, reading: Reading) -> None:
        """The engine ends with its last reader."""
        shared = reading.shared
        if shared is not None and shared.remove(reading):
            shared.end()
            self._shared = {key: each for key, each in self._shared.items() if each is not shared}

    def _inside(self, path: str) -> str:
        """Relative to the root, and not led out of it; it need not be there yet."""
        try:
            os.close(self._place.root.open(path, _LOOK))
        except SteadError as error:
            if error.code not in {"not_found", "permission_denied"}:
                raise
        return self._place.root.relative(path)

    def status(self) -> list[Watched]:
        return [shared.watched for shared in self._shared.values()]

    def close(self) -> None:
        """Ends what is left."""
        for shared in self._shared.values():
            shared.end()
        for shared in self._shared.values():
            shared.engine.join(END_SECONDS)
        self._shared.clear()


def hub(place: Place) -> Hub:
    """The one of a place."""
    return place.own(Hub)
