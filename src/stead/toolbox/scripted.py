"""The scripted toolbox: a real one that obeys a script. Slow, failing now and then, dying, losing its channel; the same for
the same seed.

Contract: `ScriptedToolbox` takes a `Script`; without faults in it, it behaves like any other. Every operation waits, may
fail with "unavailable" before it has any effect, and is counted; `on_death` and `on_loss` are called once when their count
comes.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.contract import (
    CALL_BYTES,
    LIST_ENTRIES,
    Deleted,
    Exec,
    ExecList,
    ExecStatus,
    FileContent,
    Info,
    Listing,
    Params,
    Stat,
    Written,
)
from stead.toolbox.execs import Execs, LocalRunning
from stead.toolbox.files import Reader, Writer
from stead.toolbox.local import LocalToolbox
from stead.toolbox.operations import Operation

if TYPE_CHECKING:
    from stead.toolbox.system.contract import ReadLog
    from stead.toolbox.transfer.partial import PartialWriter
    from stead.toolbox.trees.contract import ReadTree, WriteTree
    from stead.toolbox.trees.pack import Packer
    from stead.toolbox.trees.unpack import Unpacker
    from stead.toolbox.watch.contract import WatchFiles, Watching

P = TypeVar("P", bound=Params)
R = TypeVar("R")

VARIABLE = "STEAD_TOOLBOX_SCRIPT"
"""A workspace may bring its script as JSON in its environment."""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong. Times in seconds, rates from 0 to 1, counts of operations; zero is never."""

    latency: float = 0.0
    jitter: float = 0.0
    """A share of the latency that is drawn anew each time."""
    fail_rate: float = 0.0
    fail_first: int = 0
    die_after: int = 0
    """From then on everything fails; a guest ends."""
    lose_channel_after: int = 0
    """A guest closes the channel, once."""
    seed: int = 0


def script_of(environment: dict[str, str]) -> Script:
    """The script in an environment, or one without faults."""
    text = environment.get(VARIABLE)
    if text is None:
        return Script()
    try:
        return msgspec.json.decode(text, type=Script)
    except msgspec.DecodeError as error:
        raise SteadError("invalid", f"{VARIABLE}: {error}") from None


def _nothing() -> None:
    """Nobody minds."""


class ScriptedToolbox(LocalToolbox):
    """The contract, with a script."""

    def __init__(
        self,
        root: Root,
        execs: Execs,
        info: Info,
        environment: Mapping[str, str],
        script: Script | None = None,
    ) -> None:
        super().__init__(root, execs, info, environment)
        self.script = script or Script()
        self.operations = 0
        self.on_death: Callable[[], None] = _nothing
        self.on_loss: Callable[[], None] = _nothing
        self._random = random.Random(self.script.seed)

    async def turn(self) -> None:
        """What comes before every operation."""
        script = self.script
        self.operations += 1
        draw, slower = self._random.random(), self._random.random()
        if script.die_after and self.operations >= script.die_after:
            if self.operations == script.die_after:
                self.on_death()
            raise SteadError("unavailable", "the script ended the workspace")
        if script.lose_channel_after and self.operations == script.lose_channel_after:
            self.on_loss()
        if script.latency:
            await anyio.sleep(script.latency * (1 + script.jitter * slower))
        if self.operations <= script.fail_first or draw < script.fail_rate:
            raise SteadError("unavailable", "the script fails now and then")

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        await self.turn()
        return await super().ask(operation, params)

    @asynccontextmanager
    async def watching(self, asked: WatchFiles) -> AsyncIterator[Watching]:
        await self.turn()
        async with super().watching(asked) as watching:
            yield watching

    @asynccontextmanager
    async def following(self, asked: ReadLog) -> AsyncIterator[AsyncIterator[bytes]]:
        await self.turn()
        async with super().following(asked) as pieces:
            yield pieces

    async def info(self) -> Info:
        await self.turn()
        return await super().info()

    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        await self.turn()
        return await super().read(path, offset, limit)

    async def write(
        self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written:
        await self.turn()
        return await super().write(path, content, mode=mode, parents=parents, exclusive=exclusive)

    async def append(self, path: str, content: bytes, *, parents: bool = False) -> Written:
        await self.turn()
        return await super().append(path, content, parents=parents)

    async def stat(self, path: str) -> Stat:
        await self.turn()
        return await super().stat(path)

    async def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing:
        await self.turn()
        return await super().list(path, depth, limit)

    async def mkdir(self, path: str, *, parents: bool = False, exclusive: bool = False) -> Stat:
        await self.turn()
        return await super().mkdir(path, parents=parents, exclusive=exclusive)

    async def delete(self, path: str, *, recursive: bool = False) -> Deleted:
        await self.turn()
        return await super().delete(path, recursive=recursive)

    async def move(self, source: str, target: str, *, overwrite: bool = False) -> Stat:
        await self.turn()
        return await super().move(source, target, overwrite=overwrite)

    async def reader(self, path: str, offset: int = 0, length: int | None = None) -> Reader:
        await self.turn()
        return await super().reader(path, offset, length)

    async def writer(
        self,
        path: str,
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
        partial: str = "",
    ) -> Writer | PartialWriter:
        await self.turn()
        return await super().writer(
            path, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256, partial=partial
        )

    async def packer(self, p: ReadTree) -> Packer:
        await self.turn()
        return await super().packer(p)

    async def unpacker(self, p: WriteTree) -> Unpacker:
        await self.turn()
        return await super().unpacker(p)

    async def begin(self, exec: Exec, *, wait: bool = False, hold: bool = False) -> tuple[LocalRunning, bool]:
        await self.turn()
        return await super().begin(exec, wait=wait, hold=hold)

    async def attach(self, exec_id: str, cursor: int = 0) -> LocalRunning:
        await self.turn()
        return await super().attach(exec_id, cursor)

    async def execs(self) -> ExecList:
        await self.turn()
        return await super().execs()

    async def show(self, exec_id: str) -> ExecStatus:
        await self.turn()
        return await super().show(exec_id)

    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus:
        await self.turn()
        return await super().kill(exec_id, signal, grace)
