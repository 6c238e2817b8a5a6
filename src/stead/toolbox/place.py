"""Where the local areas work: a confined root, threads for what may wait for a disk, and programs of the workspace.

Contract: `Place` is given to each area's `work`. `in_thread` runs what blocks. `programs` runs a program to its end or line by
line (`stead.toolbox.programs`), in a directory that was found inside the root. `LocalWork` is all areas' work at one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import anyio
import anyio.to_thread

from stead.toolbox.confine import DIRECTORY, Root
from stead.toolbox.files import Files
from stead.toolbox.operations import Work
from stead.toolbox.programs import Programs

T = TypeVar("T")


class Owned(Protocol):
    """What a place has one of, such as the watch of its files."""

    def close(self) -> None: ...


K = TypeVar("K", bound=Owned)

THREADS = 8
"""File operations at once."""
PATIENCE = 10.0
"""How long a caller that is over its time waits for its thread."""


class Place:
    """One workspace's, seen from inside. `machine`: the workspace is a machine of its own, not a part of one.

    `state` is a directory outside the root for what areas remember and can make again.
    """

    def __init__(
        self, root: Root, environment: Mapping[str, str], *, machine: bool = False, state: Path = Path()
    ) -> None:
        self.root = root
        self.machine = machine
        self.state = state
        self.files = Files(root)
        self.programs = Programs(environment)
        self.patience = PATIENCE
        self._threads = anyio.CapacityLimiter(THREADS)
        self._owned: dict[Callable[[Place], Owned], Owned] = {}

    async def in_thread(self, work: Callable[..., T], *args: object, **named: object) -> T:
        """Runs what may wait for a disk. A caller that is cancelled, in whatever way, leaves when the thread is done: until
        then, what it works with is still in use. A disk that never answers is given up after a while."""
        errand = _Errand(functools.partial(work, *args, **named))
        try:
            return await anyio.to_thread.run_sync(errand.run, limiter=self._threads)
        except asyncio.CancelledError:
            until = time.monotonic() + self.patience
            while errand.abandon() and (left := until - time.monotonic()) > 0:
                with anyio.CancelScope(shield=True), contextlib.suppress(asyncio.CancelledError):
                    await anyio.to_thread.run_sync(errand.ended.wait, left)
            raise

    def own(self, make: Callable[[Place], K]) -> K:
        """The one of its kind here, made when it is first wanted."""
        if make not in self._owned:
            self._owned[make] = make(self)
        return cast("K", self._owned[make])

    def close(self) -> None:
        """Ends all that was made so."""
        while self._owned:
            self._owned.popitem()[1].close()
        self.files.close()

    def directory(self, path: str) -> str:
        """The absolute path of a directory inside the root, checked; where a program is to run."""
        os.close(self.root.open(path, DIRECTORY))
        return os.path.normpath(f"{self.root.path.rstrip('/')}/{self.root.relative(path)}")


class _Errand(Generic[T]):
    """What a thread is to do, unless it was abandoned before it began."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self._begun = False
        self._abandoned = False
        self.ended = threading.Event()

    def run(self) -> T:
        with self._turn:
            if self._abandoned:
                raise asyncio.CancelledError
            self._begun = True
        try:
            return self._work()
        finally:
            self.ended.set()

    def abandon(self) -> bool:
        """True when it is under way, and has to be waited for."""
        with self._turn:
            self._abandoned = True
            return self._begun and not self.ended.is_set()


class LocalWork:
    """What does the operations of every area at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loaded: dict[str, Work] = {}

    def of(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        """The work of one operation."""
        area = name.partition(".")[0]
        if area not in self._loaded:
            self._loaded[area] = import_module(f"stead.toolbox.{area}.local").work(self._place)
        return self._loaded[area][name]
