"""The index of a workspace: made when it is first wanted, kept right by the watch, told honestly.

Contract: `Index(place)` is owned by the place. `await index.ask(wait, question)` brings in what has changed, waiting at most so
many seconds, asks, and tells how far the index was: `complete` is true only when everything that is to be in it is in it as of
now. A few files are brought in at once, many by a process of their own, which goes on when the caller has waited long enough.
When that process fails, `problem` says so, and the next question tries again. A disk that takes nothing, such as a full one, is
such a problem too: what there is of the index is asked, and where there is none, a few files are read into memory instead.

The index lies in the run directory of the workspace, never among the user's files.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from asyncio import TimerHandle
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from stead.protocol.errors import SteadError
from stead.toolbox.ignoring.levels import NAMES
from stead.toolbox.place import Place
from stead.toolbox.programs import python
from stead.toolbox.search import indexer, ripgrep
from stead.toolbox.search.files import FileList
from stead.toolbox.search.store import Store, unwritable
from stead.toolbox.watch.contract import Change, ChangeKind, WatchFiles
from stead.toolbox.watch.hub import Reading, hub

T = TypeVar("T")

FEW = 64
"""So many files are brought in while the caller waits."""
IDLE_SECONDS = 600.0
NAME = "search-1.sqlite"


class Progress(NamedTuple):
    """How far the index is."""

    complete: bool
    files: int
    waiting: int
    skipped: int
    problem: str


class Index:
    """One workspace's."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = asyncio.Lock()
        self._reading: Reading | None = None
        self._store: Store | None = None
        self._todo: dict[str, None] = {}
        self._compared = False
        self._building: asyncio.Task[None] | None = None
        self._left = 0
        self._problem = ""
        self._unkept = ""
        self._timer: TimerHandle | None = None

    async def ask(self, wait: float, question: Callable[[Store], T]) -> tuple[T, Progress]:
        """The answer of the store to a question, and how far the index was then."""
        try:
            progress = await self.fresh(wait)
            return await self._place.in_thread(question, self.store), progress
        except sqlite3.ProgrammingError as error:
            raise SteadError("unavailable", f"the index was let go; ask again ({error})") from error
        except sqlite3.Error as error:
            if unwritable(error):
                self._let_go()
                raise SteadError("unavailable", f"the index cannot be read now: {error}") from error
            self._throw_away()
            raise SteadError(
                "unavailable", f"the index is damaged and will be made anew; ask again ({error})"
            ) from error

    @property
    def store(self) -> Store:
        """After `fresh`, unless another question had to let it go meanwhile."""
        if self._store is None:
            raise SteadError("unavailable", "the index was let go; ask again")
        return self._store

    async def fresh(self, wait: float) -> Progress:
        self._rest()
        async with self._lock:
            if self._building is None:
                self._problem = ""
            try:
                await self._gather()
                if self._todo and self._building is None:
                    await self._bring()
            except SteadError:
                self._let_go()
                raise
            except sqlite3.Error as error:
                if not unwritable(error):
                    raise
                self._problem = f"the index cannot be kept: {error}"
        if self._building is not None:
            await asyncio.wait([self._building], timeout=wait)
        return await self._progress()

    def close(self) -> None:
        """What is being built is given up."""
        if self._building is not None:
            self._building.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._let_go()

    # --- what has changed --------------------------------------------------------------------------------------------

    async def _gather(self) -> None:
        """What has to be brought in."""
        if self._store is None or self._store.file is None:
            await self._open()
        if self._reading is None:
            self._reading = await hub(self._place).join(WatchFiles())
            self._compared = False
        changes = await self._reading.now()
        if not self._compared or any(_much(change) for change in changes):
            self._compared = False
            await self._compare()
        elif changes:
            for change in changes:
                if not change.directory:
                    self._todo |= dict.fromkeys(path for path in (change.previous, change.path) if path)

    async def _open(self) -> None:
        """On the disk, or else in memory, and on the disk as soon as that is possible."""
        try:
            store = await self._place.in_thread(Store, self._place.state / NAME)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and not unwritable(error):
                raise
            self._unkept = f"the index cannot be kept: {error}"
            if self._store is not None:
                return
            store = await self._place.in_thread(Store, None)
        if self._store is not None:
            self._store.close()
        self._store = store
        self._compared = False

    async def _compare(self) -> None:
        """Every file with what is known of it; what is gone, or left out now, is forgotten."""
        listing = await self._place.own(FileList).of(ignored=False)
        self._todo = await self._place.in_thread(self._different, listing.paths)
        self._compared = True

    def _different(self, paths: list[str]) -> dict[str, None]:
        known, now = self.store.known(), indexer.states(self._place.root, paths)
        if gone := [path for path in known if path not in now]:
            with self.store.changing():
                self.store.forget(gone)
        return dict.fromkeys(path for path, state in now.items() if known.get(path) != state)

    # --- bringing it in ----------------------------------------------------------------------------------------------

    async def _bring(self) -> None:
        paths = list(self._todo)
        if len(paths) > FEW and self.store.file is None:
            self._problem = self._unkept
            return
        if len(paths) > FEW:
            self._building = asyncio.create_task(self._build())
            return
        await self._place.in_thread(indexer.update, self._place.root, self.store, paths)
        self._done(paths)

    async def _build(self) -> None:
        """In a process of its own, until nothing is left to do."""
        try:
            while self._todo:
                paths = list(self._todo)
                self._todo, self._left = {}, len(paths)
                try:
                    await self._process(paths)
                except BaseException:
                    self._todo = dict.fromkeys(paths) | self._todo
                    raise
        except (SteadError, OSError) as error:
            self._problem = str(error)
        finally:
            self._building = None

    async def _process(self, paths: list[str]) -> None:
        argv = python("-I", "-m", "stead.toolbox.search.indexer")
        head = json.dumps({"root": self._place.root.path, "store": str(self.store.file)})
        given = head.encode() + b"\n" + b"\0".join(path.encode() for path in paths)
        async with self._place.programs.started(argv, cwd="/") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            async with ripgrep.complaints(process.stderr) as complaints:
                process.stdin.write(given)
                await process.stdin.drain()
                process.stdin.close()
                async for line in process.stdout:
                    self._left = len(paths) - int(line)
                if (code := await process.wait()) != 0:
                    words = (await complaints).strip()[-500:]
                    if code == indexer.DAMAGED:
                        self._throw_away()
                    raise SteadError("program_failed", f"the index could not be built: {words or code}")
        self._left = 0

    def _done(self, paths: list[str]) -> None:
        for path in paths:
            self._todo.pop(path, None)

    async def _progress(self) -> Progress:
        waiting = len(self._todo) + (self._left if self._building is not None else 0)
        complete = waiting == 0 and self._building is None and not self._problem
        files, skipped = await self._place.in_thread(self._counts)
        return Progress(complete, files, waiting, skipped, self._problem)

    def _counts(self) -> tuple[int, int]:
        return int(self.store.all("SELECT COUNT(*) FROM file")[0][0]), self.store.skipped()

    # --- rest --------------------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._idle)

    def _idle(self) -> None:
        if self._building is None:
            self._let_go()
        else:
            self._rest()

    def _throw_away(self) -> None:
        """It is made anew when there is another question."""
        self._let_go()
        (self._place.state / NAME).unlink(missing_ok=True)

    def _let_go(self) -> None:
        """The watch may end; all is compared when there is another question."""
        if self._reading is not None:
            hub(self._place).leave(self._reading)
            self._reading = None
        if self._store is not None:
            self._store.close()
            self._store = None
        self._compared = False


def _much(change: Change) -> bool:
    """Whether more than the files that are told may be different."""
    if change.overflow or not NAMES.isdisjoint(path.rpartition("/")[2] for path in (change.path, change.previous)):
        return True
    return change.directory and change.kind in {ChangeKind.RENAMED, ChangeKind.DELETED}
