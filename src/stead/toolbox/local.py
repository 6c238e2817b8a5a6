"""The toolbox over a directory and processes of this machine: used by a guest, and by itself in local mode.

Contract: `LocalToolbox` over confined files and a holder; `opened(root, run)` starts a holder of its own and ends it,
with every exec, at the end. File work runs in threads: a slow disk delays nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from stead import __version__
from stead.protocol.errors import SteadError
from stead.toolbox.areas import Areas
from stead.toolbox.confine import Root, errors
from stead.toolbox.contract import (
    CALL_BYTES,
    LIST_ENTRIES,
    Deleted,
    Exec,
    ExecList,
    ExecResult,
    ExecStatus,
    FileContent,
    Info,
    Listing,
    Params,
    Stat,
    Written,
)
from stead.toolbox.execs import Execs, Holder, LocalRunning, new_id
from stead.toolbox.files import Reader, Writer
from stead.toolbox.holding.settings import Settings
from stead.toolbox.leftovers import LEFTOVERS
from stead.toolbox.operations import Operation
from stead.toolbox.place import LocalWork, Place
from stead.toolbox.programs import python
from stead.toolbox.trees.here import LocalTrees

if TYPE_CHECKING:
    from stead.toolbox.system.contract import ReadLog
    from stead.toolbox.transfer.partial import PartialWriter
    from stead.toolbox.watch.contract import WatchFiles, Watching

P = TypeVar("P", bound=Params)
R = TypeVar("R")

CLOSE_SECONDS = 15.0


class LocalToolbox(LocalTrees, Areas):
    """The contract, here. `environment` is what programs of the areas get."""

    def __init__(self, root: Root, execs: Execs, info: Info, environment: Mapping[str, str]) -> None:
        self.place = Place(root, environment, machine=info.isolation == "vm", state=execs.run)
        self.files = self.place.files
        self.execs_ = execs
        self.in_thread = self.place.in_thread
        self._root = root
        self._info = info
        self._work = LocalWork(self.place)

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        answer: R = await self._work.of(operation.name)(params)
        return answer

    def watching(self, asked: WatchFiles) -> AbstractAsyncContextManager[Watching]:
        from stead.toolbox.watch.hub import hub

        return hub(self.place).reading(asked)

    def following(self, asked: ReadLog) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        from stead.toolbox.system.logs import following

        return following(self.place, asked)

    async def info(self) -> Info:
        return self._info

    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        return await self.in_thread(self.files.read, path, offset, limit)

    async def write(
        self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written:
        return await self.in_thread(self.files.write, path, content, mode, parents, exclusive)

    async def append(self, path: str, content: bytes, *, parents: bool = False) -> Written:
        return await self.in_thread(self.files.append, path, content, parents)

    async def stat(self, path: str) -> Stat:
        return await self.in_thread(self.files.stat, path)

    async def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing:
        return await self.in_thread(self.files.list, path, depth, limit)

    async def mkdir(self, path: str, *, parents: bool = False, exclusive: bool = False) -> Stat:
        return await self.in_thread(self.files.mkdir, path, parents, exclusive)

    async def delete(self, path: str, *, recursive: bool = False) -> Deleted:
        return await self.in_thread(self.files.delete, path, recursive)

    async def move(self, source: str, target: str, *, overwrite: bool = False) -> Stat:
        return await self.in_thread(self.files.move, source, target, overwrite)

    async def download(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        reader = await self.reader(path, offset, length)
        try:
            while data := await self.in_thread(reader.next):
                yield data
        finally:
            reader.close()

    async def upload(
        self,
        path: str,
        content: AsyncIterator[bytes],
        *,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Written:
        writer = await self.writer(path, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256)
        try:
            async for data in content:
                await self.in_thread(writer.write, data)
            return await self.in_thread(writer.commit)
        finally:
            writer.close()

    async def reader(self, path: str, offset: int = 0, length: int | None = None) -> Reader:
        """Opens a file for streaming."""
        return await self.in_thread(self.files.reader, path, offset, length)

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
        """Opens a file for an atomic replacement; with `partial`, what came is kept when it breaks off."""
        open_writer: Callable[..., Writer | PartialWriter] = self.files.writer
        if partial:
            from stead.toolbox.transfer.partial import Partials

            open_writer = functools.partial(self.place.own(Partials).writer, partial)
        checks = functools.partial(open_writer, mode=mode, parents=parents, exclusive=exclusive)
        return await self.in_thread(checks, path, size=size, sha256=sha256)

    async def resume_upload(
        self, path: str, rest: Callable[[int], AsyncIterator[bytes]], *, partial: str, **options: Any
    ) -> Written:
        writer = await self.writer(path, partial=partial, **options)
        try:
            async for data in rest(writer.size):
                await self.in_thread(writer.write, data)
            return await self.in_thread(writer.commit)
        finally:
            writer.close()

    async def exec(self, argv: Sequence[str], **options: object) -> ExecResult:
        try:
            asked = msgspec.convert({"argv": [*argv], **options}, Exec)
        except msgspec.ValidationError as error:
            raise SteadError("invalid", str(error)) from None
        return await self.run(asked)

    async def run(self, exec: Exec) -> ExecResult:
        """Runs to the end, or only starts it when it is to go on in the background. An exec whose caller is cancelled ends, if
        it has no id under which somebody could come back to it."""
        if exec.stdin:
            raise SteadError("invalid", "input needs a stream; start it instead", field="stdin")
        if exec.exec_id or exec.background:
            return await self._result(exec)
        named = msgspec.structs.replace(exec, exec_id=new_id())
        try:
            return await self._result(named)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True), contextlib.suppress(SteadError):
                await self.cancel(named.exec_id)
            raise

    async def _result(self, exec: Exec) -> ExecResult:
        running, _ = await self.begin(exec, wait=not exec.background)
        if exec.background:
            return ExecResult(status=running.status)
        return await running.collect()

    async def start(self, exec: Exec) -> LocalRunning:
        return (await self.begin(exec, hold=not exec.background))[0]

    async def begin(self, exec: Exec, *, wait: bool = False, hold: bool = False) -> tuple[LocalRunning, bool]:
        """Starts it, or attaches to the one that has this id. True when it was started now. `wait`: a new one to its end;
        `hold`: a new one waits when it is too far ahead of this reader."""
        if exec.cwd == ".":
            return await self.execs_.start(exec, wait=wait, hold=hold)
        if error := await self.in_thread(self._cwd_error, exec.cwd):
            return await self.execs_.start(exec, error=error)
        placed = msgspec.structs.replace(exec, cwd="/".join(self._root.parts(exec.cwd)) or ".")
        return await self.execs_.start(placed, wait=wait, hold=hold)

    async def attach(self, exec_id: str, cursor: int = 0) -> LocalRunning:
        return await self.execs_.attach(exec_id, cursor)

    async def execs(self) -> ExecList:
        return await self.execs_.listed()

    async def show(self, exec_id: str) -> ExecStatus:
        return await self.execs_.show(exec_id)

    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus:
        return await self.execs_.kill(exec_id, signal, grace)

    async def cancel(self, exec_id: str) -> ExecStatus:
        """Ends it, and its status says that it was cancelled."""
        return await self.execs_.cancel(exec_id)

    def permit_terminal(self) -> None:
        """Raises "refused" where a shell on a terminal is too much."""

    def _cwd_error(self, cwd: str) -> str:
        """Why it cannot be started there: that is a result of the exec, not an error of the call, unless it is refused."""
        try:
            os.close(self._root.open(cwd, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK))
        except SteadError as error:
            if error.code == "refused":
                raise
            return f"the directory {error.message}"
        return ""


Make = Callable[[Root, Execs, Info, Mapping[str, str]], "LocalToolbox"]


@contextlib.asynccontextmanager
async def opened(
    root: str | Path, run: str | Path, *, workspace_id: str = "local", make: Make = LocalToolbox, **settings: Any
) -> AsyncIterator[LocalToolbox]:
    """A toolbox with a holder of its own; `settings` are those of `holding.settings`."""
    config = {"version": 1, "workspace_id": workspace_id, "root": str(root), "run": str(run), **settings}
    try:
        environment = Settings(config).environment
    except ValueError as error:
        raise SteadError("invalid", str(error)) from None
    confined = Root(root)
    ours, theirs = socket.socketpair()
    try:
        process = await anyio.to_thread.run_sync(_start_holder, config, theirs)
    except BaseException:
        ours.close()
        confined.close()
        raise
    holder = Holder(ours)
    info = Info(
        workspace_id=workspace_id,
        root=str(root),
        boot_id=os.urandom(16).hex(),
        version=__version__,
        isolation="none",
        hostname=socket.gethostname(),
    )
    toolbox: LocalToolbox | None = None
    try:
        execs = Execs(holder, run, log_bytes=settings.get("log_bytes", CALL_BYTES << 6))
        toolbox = make(confined, execs, info, environment)
        toolbox.files.clear_up(f"{run}/{LEFTOVERS}")
        yield toolbox
    finally:
        if toolbox is not None:
            toolbox.place.close()
        holder.close()
        confined.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_end_holder, process)


def _start_holder(config: dict[str, Any], theirs: socket.socket) -> subprocess.Popen[bytes]:
    file = Path(config["run"]) / "settings.json"
    argv = python("-P", "-m", "stead.toolbox.holding", "--config", str(file), "--peer", str(theirs.fileno()))
    with theirs, errors(config["run"]):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(json.dumps(config))
        return subprocess.Popen(
            argv,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )


def _end_holder(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
