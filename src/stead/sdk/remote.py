"""The remote toolbox: `stead.toolbox.contract.Toolbox` over the link, wherever the workspace is.

It outlives every loss on the way. A call is repeated only where that cannot do a thing twice, as the table of methods has it
(reads, say, and `exec.run`, whose exec id makes a repetition attach instead of running again). Streams resume byte for byte;
when the guest itself was replaced the exec is attached again where its output stopped, so that output is complete and in order.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import msgspec

from stead.model import ids
from stead.protocol.errors import SteadError
from stead.toolbox import contract
from stead.toolbox.areas import Areas
from stead.toolbox.contract import (
    CALL_BYTES,
    LIST_ENTRIES,
    Attach,
    Deleted,
    Exec,
    ExecId,
    ExecList,
    ExecResult,
    ExecStatus,
    FileContent,
    Info,
    Kill,
    Listing,
    Output,
    Stat,
    Written,
)
from stead.toolbox.operations import Operation
from stead.toolbox.records import STDOUT, Decoder
from stead.transport.backoff import Backoff
from stead.transport.streams import Stream

if TYPE_CHECKING:
    from stead.toolbox.system.contract import ReadLog
    from stead.toolbox.trees.contract import Links, Unpacked
    from stead.toolbox.watch.contract import WatchFiles, Watching

T = TypeVar("T")
P = TypeVar("P", bound=contract.Params)
R = TypeVar("R")
Argv = list[str]

EXEC_SLICE = 45.0
"""How long one `exec.run` call waits before it is asked again."""
ANSWER = 15.0
"""How much longer than the work itself its answer may take."""
RETURN = 120.0
"""How long a workspace whose guest died may take to answer again."""
GONE = frozenset({"stream_unknown", "stream_reset", "workspace_unreachable"})
"""Faults after which an exec's output goes on by attaching again."""


def new_exec_id() -> str:
    return ids.make(ids.Kind.EXEC, time.time(), os.urandom(ids.ENTROPY_BYTES))


class Link(Protocol):
    """What a toolbox needs: of a control plane's link, or of one straight to a guest."""

    async def call(
        self, workspace_id: str, method: str, params: msgspec.Struct, *, timeout: float = 60.0
    ) -> bytes | msgspec.Raw: ...
    async def open(self, workspace_id: str, kind: str, params: msgspec.Raw) -> Stream: ...


class RemoteToolbox(Areas):
    """The toolbox of one workspace."""

    def __init__(self, link: Link, workspace_id: str) -> None:
        self.link = link
        self._workspace_id = workspace_id

    @property
    def workspace_id(self) -> str:
        """The id, or what the workspace was called by."""
        return self._workspace_id

    async def ask(self, operation: Operation[P, R], params: P) -> R:
        """An operation of an area. One that may not be repeated is asked once, also when the answer is lost."""
        return await self._call(operation.name, params, operation.result, timeout=operation.seconds + ANSWER)

    @asynccontextmanager
    async def watching(self, asked: WatchFiles) -> AsyncIterator[Watching]:
        """A watch that goes on through reconnects and the guest's restarts."""
        from stead.sdk.watching import RemoteWatching

        watching = RemoteWatching(self, asked)
        await watching.begin()
        try:
            yield watching
        finally:
            with anyio.CancelScope(shield=True):
                await watching.close()

    @asynccontextmanager
    async def following(self, asked: ReadLog) -> AsyncIterator[AsyncIterator[bytes]]:
        """A log; it goes on through reconnects, and ends with an error when the guest itself is replaced."""
        stream = await self.opened("log.follow", asked)
        try:
            yield _received(stream)
        finally:
            with anyio.CancelScope(shield=True):
                await stream.reset(SteadError("cancelled", "the caller let go of the log"))

    async def opened(self, kind: str, params: contract.Params) -> Stream:
        """A bare stream of this workspace."""
        with _unicode():
            raw = msgspec.Raw(msgspec.json.encode(params))
        return await self.link.open(self._workspace_id, kind, raw)

    # --- files -----------------------------------------------------------------------------------------------------

    async def info(self) -> Info:
        return await self._call("workspace.info", contract.Params(), Info)

    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        return await self._call("files.read", contract.ReadFile(path=path, offset=offset, limit=limit), FileContent)

    async def write(
        self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False, exclusive: bool = False
    ) -> Written:
        """Replaces the file atomically; content beyond one call goes through a stream by itself."""
        if len(content) > CALL_BYTES:
            pieces = _pieces(content)
            return await self.upload(path, pieces, mode=mode, parents=parents, exclusive=exclusive, size=len(content))
        params = contract.WriteFile(path=path, content=content, mode=mode, parents=parents, exclusive=exclusive)
        return await self._call("files.write", params, Written)

    async def append(self, path: str, content: bytes, *, parents: bool = False) -> Written:
        params = contract.WriteFile(path=path, content=content, parents=parents)
        return await self._call("files.append", params, Written)

    async def stat(self, path: str) -> Stat:
        return await self._call("files.stat", contract.Path(path=path), Stat)

    async def list(self, path: str = ".", depth: int = 1, limit: int = LIST_ENTRIES) -> Listing:
        return await self._call("files.list", contract.ListFiles(path=path, depth=depth, limit=limit), Listing)

    async def mkdir(self, path: str, *, parents: bool = False, exclusive: bool = False) -> Stat:
        params = contract.MakeDirectory(path=path, parents=parents, exclusive=exclusive)
        return await self._call("files.mkdir", params, Stat)

    async def delete(self, path: str, *, recursive: bool = False) -> Deleted:
        return await self._call("files.delete", contract.Delete(path=path, recursive=recursive), Deleted)

    async def move(self, source: str, target: str, *, overwrite: bool = False) -> Stat:
        params = contract.Move(source=source, target=target, overwrite=overwrite)
        return await self._call("files.move", params, Stat)

    async def download(self, path: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes as they come."""
        params = contract.ReadStream(path=path, offset=offset, length=length)
        stream = await self.opened("file.read", params)
        async with stream:
            while (data := await stream.receive()) is not None:
                yield data

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
        """Replaces the file when all has arrived, not before."""
        params = contract.WriteStream(
            path=path, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256
        )
        stream = await self.opened("file.write", params)
        async with stream:
            async for piece in content:
                await stream.send(piece)
            await stream.end()
            while await stream.receive() is not None:
                pass
            return _convert(stream.result, Written)

    async def resume_upload(
        self,
        path: str,
        rest: Callable[[int], AsyncIterator[bytes]],
        *,
        partial: str,
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
        size: int | None = None,
        sha256: str = "",
    ) -> Written:
        """An upload that another program, or the same one tomorrow, can go on with: `rest(start)` gives the content from there.

        What came is kept under the name `partial` for a day; the file is replaced when all has arrived.
        """
        params = contract.WriteStream(
            path=path, partial=partial, mode=mode, parents=parents, exclusive=exclusive, size=size, sha256=sha256
        )
        stream = await self.opened("file.write", params)
        async with stream:
            async for piece in rest(int((stream.opened or {}).get("received", 0))):
                await stream.send(piece)
            await stream.end()
            while await stream.receive() is not None:
                pass
            return _convert(stream.result, Written)

    async def download_tree(
        self,
        path: str = ".",
        *,
        ignore: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        names: Sequence[str] | None = None,
    ) -> AsyncIterator[bytes]:
        """A directory as a tar archive, in pieces as they come; with `names` only these, which are below it."""
        from stead.toolbox.trees.contract import read_tree

        params = read_tree(path, ignore=ignore, include=include, exclude=exclude, names=names)
        stream = await self.opened("tree.read", params)
        async with stream:
            while (data := await stream.receive()) is not None:
                yield data

    async def upload_tree(
        self, path: str, content: AsyncIterator[bytes], *, links: Links | str = "refuse", limit: int = 1 << 40
    ) -> Unpacked:
        """A tar archive into a directory, which is made when it is missing; each file is put in place whole."""
        from stead.toolbox.trees.contract import Links, Unpacked, WriteTree

        params = WriteTree(path=path, links=Links(links), limit=limit)
        stream = await self.opened("tree.write", params)
        async with stream:
            async for piece in content:
                await stream.send(piece)
            await stream.end()
            while await stream.receive() is not None:
                pass
            return _convert(stream.result, Unpacked)

    # --- execs -----------------------------------------------------------------------------------------------------

    async def exec(self, argv: Argv, **options: Any) -> ExecResult:
        """Runs to the end: one message each way for what ends within a slice, the same exec asked again beyond."""
        params = _exec(argv, options)
        while True:
            try:
                return await self._call("exec.run", params, ExecResult, timeout=EXEC_SLICE)
            except SteadError as error:
                if error.code != "timeout":
                    raise

    async def start(self, exec: Exec) -> RemoteRunning:
        """Starts it on a stream; with `background` it goes on when the stream is gone."""
        named = _named(exec)
        stream = await self.opened("exec", named)
        return RemoteRunning(self, stream, named.exec_id, 0, takes_input=True)

    async def attach(self, exec_id: str, cursor: int = 0) -> RemoteRunning:
        return RemoteRunning(self, await self.attachment(exec_id, cursor), exec_id, cursor)

    async def attachment(self, exec_id: str, cursor: int) -> Stream:
        """The bare stream of an exec's output from `cursor` on."""
        return await self.opened("exec.attach", Attach(exec_id=exec_id, cursor=cursor))

    async def execs(self) -> ExecList:
        return await self._call("exec.list", contract.Params(), ExecList)

    async def show(self, exec_id: str) -> ExecStatus:
        return await self._call("exec.show", ExecId(exec_id=exec_id), ExecStatus)

    async def kill(self, exec_id: str, signal: int = 15, grace: float = 2.0) -> ExecStatus:
        """The whole tree gets the signal."""
        params = Kill(exec_id=exec_id, signal=signal, grace=grace)
        return await self._call("exec.kill", params, ExecStatus)

    async def _call(self, method: str, params: contract.Params, kind: type[T], *, timeout: float = 60.0) -> T:
        with _unicode():
            answer = await self.link.call(self._workspace_id, method, params, timeout=timeout)
        return _checked(kind, lambda: msgspec.json.decode(answer, type=kind))


class RemoteRunning:
    """An exec under way; `cursor` is where its output was read to.

    Input goes only over the stream that started it: once its guest was replaced, as where it was attached, it is refused.
    """

    def __init__(
        self, toolbox: RemoteToolbox, stream: Stream, exec_id: str, cursor: int, *, takes_input: bool = False
    ) -> None:
        self._toolbox = toolbox
        self._stream = stream
        self._takes_input = takes_input
        self._records = Decoder(cursor)
        self._status: ExecStatus | None = None
        self.exec_id = exec_id
        self.cursor = cursor

    async def output(self) -> AsyncIterator[Output]:
        """Every piece in order, to the end, once."""
        while self._status is None:
            try:
                data = await self._stream.receive()
            except SteadError as error:
                if error.code not in GONE:
                    raise
                await self._attach_again()
                continue
            if data is None:
                self._status = _convert(self._stream.result, ExecStatus)
                return
            for channel, piece, cursor in self._records.feed(data):
                self.cursor = cursor
                yield Output(channel="stdout" if channel == STDOUT else "stderr", data=piece, cursor=cursor)

    async def write(self, data: bytes) -> None:
        """To its stdin; "conflict" when it does not get there any more."""
        self._check_input()
        try:
            await self._stream.send(data)
        except SteadError as error:
            if error.code not in GONE:
                raise
            self._takes_input = False
            self._check_input()

    async def close_stdin(self) -> None:
        self._check_input()
        await self._stream.end()

    def _check_input(self) -> None:
        if not self._takes_input:
            raise SteadError(
                "conflict", "what is written does not reach the exec: it was attached, or its guest was replaced"
            )

    async def wait(self) -> ExecStatus:
        """Its end; output not read yet is dropped."""
        async for _ in self.output():
            pass
        assert self._status is not None
        return self._status

    async def kill(self, signal: int = 15) -> None:
        await self._toolbox.kill(self.exec_id, signal)

    async def close(self) -> None:
        """Lets go: a foreground exec ends, one in the background goes on."""
        if self._status is None:
            await self._stream.reset(SteadError("cancelled", "the caller let go of the exec"))

    async def _attach_again(self) -> None:
        """The guest that held the stream is gone; its successor knows the exec as soon as it answers."""
        self._takes_input = False
        backoff = Backoff()
        until = time.monotonic() + RETURN
        while True:
            try:
                self._stream = await self._toolbox.attachment(self.exec_id, self.cursor)
                break
            except SteadError as error:
                if not error.retry or time.monotonic() > until:
                    raise
            await anyio.sleep(backoff.delay())
        self._records = Decoder(self.cursor)


@contextmanager
def _unicode() -> Iterator[None]:
    """What is asked travels as JSON."""
    try:
        yield
    except UnicodeEncodeError:
        raise SteadError("invalid", "what goes into a workspace is UTF-8: names, arguments and variables") from None


async def _received(stream: Stream) -> AsyncIterator[bytes]:
    while (piece := await stream.receive()) is not None:
        yield piece


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _exec(argv: list[str], options: dict[str, Any]) -> Exec:
    """The options are checked against the contract; an id makes repetitions harmless."""
    try:
        return _named(Exec(argv=argv, **options))
    except TypeError as error:
        raise SteadError("invalid", f"exec: {error}") from error


def _named(exec: Exec) -> Exec:
    return exec if exec.exec_id else msgspec.structs.replace(exec, exec_id=new_exec_id())


def _convert(answer: Any, kind: type[T]) -> T:
    return _checked(kind, lambda: msgspec.convert(answer, kind))


def _checked(kind: type[T], decode: Callable[[], T]) -> T:
    try:
        return decode()
    except msgspec.ValidationError as error:
        raise SteadError(
            "malformed", f"the workspace's answer is no {kind.__name__} as this version knows it: {error}"
        ) from error
