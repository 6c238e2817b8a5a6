"""What can be watched: params of the stream "watch", changes, and the face `toolbox.watch`.

Contract: changes of files and directories under a path, in the order in which they happened, those of 100 ms together: what is
made and removed again within that time is not told, and several changes of one file are one. What ignore files leave out and
`.git` is watched only when asked; changes to `.gitignore`, `.ignore` and `.rgignore` apply at once, those above the
workspace and in `.git` with the next watch. Links are not followed; what the kernel shows of itself (/proc, /sys) is not
looked into.

A change of kind `overflow` says that changes may be missing: list anew. It comes when the system or the reader was too slow,
after a pause in which something changed, when a directory came from elsewhere into what is watched, and when the workspace's
guest was replaced. A renamed directory is one change, whatever is in it.

On the wire each side sends lines of JSON: the watch sends lists of `Change`, the reader `Control`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol, TypedDict, Unpack

from stead.toolbox.contract import Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

DEBOUNCE = 0.1
"""Changes of so many seconds come together."""
PENDING = 10_000
"""The most changes that wait for a reader; with more it has to list anew."""
POLL_SECONDS = 0.25
"""How often a polled workspace is looked at; large ones less often."""


class ChangeKind(StrEnum):
    """What happened."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    OVERFLOW = "overflow"


class Change(Result, frozen=True):
    """One change; `previous` is where a renamed file or directory was."""

    kind: ChangeKind
    path: str
    directory: bool = False
    previous: str = ""

    @property
    def overflow(self) -> bool:
        return self.kind is ChangeKind.OVERFLOW


class WatchFiles(Params):
    """The stream "watch". Globs are those of searches. `poll`: look again and again, also where the system would tell."""

    path: str = "."
    include: list[str] = []
    exclude: list[str] = []
    ignored: bool = False
    poll: bool = False
    paused: bool = False


class WatchOptions(TypedDict, total=False):
    """The fields of `WatchFiles` but for the path."""

    include: list[str]
    exclude: list[str]
    ignored: bool
    poll: bool
    paused: bool


class Control(Params):
    """From the reader: changes from now on are not told, or told again."""

    paused: bool


class Nothing(Params):
    """No params: watch.status."""


class Watched(Result, frozen=True):
    """How one set of files is watched. `reason` says why it is polled; `missed` counts overflows."""

    mode: str
    directories: int
    readers: int
    ignored: bool = False
    reason: str = ""
    missed: int = 0


class WatchStatus(Result, frozen=True):
    """What is watched now; readers that want the same files share one watch."""

    watches: list[Watched]


STATUS = Operation("watch.status", Nothing, WatchStatus)

OPERATIONS = by_name([STATUS])


class Watching(Protocol):
    """A watch under way: changes that happen after it was opened are told."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def pause(self) -> None:
        """Nothing is told any more."""

    async def resume(self) -> None:
        """Told again; first an overflow, when something changed meanwhile."""

    async def close(self) -> None: ...


class Watchable(Asking, Protocol):
    """What the face needs of a toolbox."""

    def watching(self, asked: WatchFiles) -> AbstractAsyncContextManager[Watching]: ...


class Watch:
    """Watches of one toolbox."""

    def __init__(self, toolbox: Watchable) -> None:
        self._toolbox = toolbox

    def open(self, path: str = ".", **options: Unpack[WatchOptions]) -> AbstractAsyncContextManager[Watching]:
        """A watch that can be paused; inside, nothing that happens is missed."""
        return self._toolbox.watching(WatchFiles(path=path, **options))

    async def changes(self, path: str = ".", **options: Unpack[WatchOptions]) -> AsyncIterator[Change]:
        """Every change from now on."""
        async with self.open(path, **options) as watching:
            async for change in watching:
                yield change

    async def status(self) -> WatchStatus:
        """What is watched now."""
        return await self._toolbox.ask(STATUS, Nothing())
