"""Where the local areas work: a confined root, threads for what may wait for a disk, and programs of the workspace.

Contract: `Place` is given to each area's `work`. `in_thread` runs what blocks. `programs` runs a program to its end or line by
line (`stead.toolbox.programs`), in a directory that was found inside the root. `LocalWork` is all areas' work at one place.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

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
        self._threads = anyio.CapacityLimiter(THREADS)
        self._owned: dict[Callable[[Place], Owned], Owned] = {}

    async def in_thread(self, work: Callable[..., T], *args: object, **named: object) -> T:
        """Runs what may wait for a disk."""
        return await anyio.to_thread.run_sync(functools.partial(work, *args, **named), limiter=self._threads)

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
