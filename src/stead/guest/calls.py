"""The calls of `protocol.methods.CALLS` on the framed link: params decoded, done by the toolbox, bounded answers.

Contract: `Calls.answer(method, params, timeout, limiter)` gives the result or raises SteadError; whatever the params are, the
error is one of the table. What only ends something is never refused for being too much.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from stead.guest.attendance import Attendance
from stead.guest.limiter import Limiter, within
from stead.protocol.codec import MESSAGE_BYTES, decode_as
from stead.protocol.errors import SteadError
from stead.toolbox import areas
from stead.toolbox import contract as t
from stead.toolbox.execs import new_id
from stead.toolbox.files import check_content
from stead.toolbox.local import LocalToolbox
from stead.toolbox.operations import Operation

LISTING_BYTES = MESSAGE_BYTES - (1 << 16)
"""What a listing may have as JSON, with room for the message around it."""

ENDING = frozenset({"exec.kill", "system.kill_process", "transfer.cancel", "transfer.discard"})
UNLIMITED = Limiter()


class Calls:
    """One toolbox's calls."""

    def __init__(self, toolbox: LocalToolbox, attendance: Attendance) -> None:
        self._toolbox = toolbox
        self._attendance = attendance
        self._table: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any], Awaitable[Any]]]] = {
            "workspace.info": (_decoder(t.Params), lambda p: toolbox.info()),
            "files.read": (_decoder(t.ReadFile), lambda p: toolbox.read(p.path, p.offset, p.limit)),
            "files.list": (_decoder(t.ListFiles), self._list),
            "files.stat": (_decoder(t.Path), lambda p: toolbox.stat(p.path)),
            "files.write": (_decoder(t.WriteFile), self._write),
            "files.append": (_decoder(t.WriteFile), self._append),
            "files.mkdir": (
                _decoder(t.MakeDirectory),
                lambda p: toolbox.mkdir(p.path, parents=p.parents, exclusive=p.exclusive),
            ),
            "files.delete": (_decoder(t.Delete), lambda p: toolbox.delete(p.path, recursive=p.recursive)),
            "files.move": (_decoder(t.Move), lambda p: toolbox.move(p.source, p.target, overwrite=p.overwrite)),
            "exec.list": (_decoder(t.Params), lambda p: toolbox.execs()),
            "exec.show": (_decoder(t.ExecId), lambda p: toolbox.show(p.exec_id)),
            "exec.kill": (_decoder(t.Kill), lambda p: toolbox.kill(p.exec_id, p.signal, p.grace)),
        }
        self._exec = _decoder(t.Exec)

    async def answer(
        self, method: str, params: bytes | msgspec.Raw, timeout: float, limiter: Limiter = UNLIMITED
    ) -> Any:
        """The result."""
        if method in ENDING:
            return await self._answer(method, params, timeout, 0.0)
        with limiter.admitted():
            return await self._answer(method, params, timeout, limiter.limits.seconds)

    async def _answer(self, method: str, params: bytes | msgspec.Raw, timeout: float, seconds: float) -> Any:
        """`seconds` hold for what has no time limit of its own."""
        if method == "exec.run":
            return await self._run(decode_as(self._exec, params, "params"), timeout)
        if method in self._table:
            decoder, work = self._table[method]
            async with within(seconds, method):
                return await work(decode_as(decoder, params, "params"))
        operation = areas.find(method)
        if operation is None:
            raise SteadError("method_not_found", f"no method {method[:100]!r}")
        return await self._ask(operation, params, timeout)

    async def _ask(self, operation: Operation[Any, Any], params: bytes | msgspec.Raw, timeout: float) -> msgspec.Raw:
        """An operation of an area, in the time that the call may take; its answer has the size of a message at most."""
        seconds = min(operation.seconds, timeout) if timeout > 0 else operation.seconds
        try:
            async with asyncio.timeout(seconds):
                answer = await self._toolbox.ask(operation, decode_as(_decoder(operation.params), params, "params"))
        except TimeoutError:
            raise SteadError("timeout", f"{operation.name} took longer than {seconds:g} s and was ended") from None
        encoded = msgspec.json.encode(answer)
        if len(encoded) > LISTING_BYTES:
            raise SteadError("too_large", f"the answer to {operation.name} is too large; ask for less at once")
        return msgspec.Raw(encoded)

    async def _run(self, exec: t.Exec, timeout: float) -> t.ExecResult:
        """Waits as long as the call may take; the exec goes on, and the same id asked again waits for the same exec."""
        if exec.stdin:
            raise SteadError("invalid", "input needs a stream; open one of kind exec", field="stdin")
        exec.exec_id = exec.exec_id or new_id()
        self._attendance.enter(exec.exec_id)
        result, failed = None, False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout if timeout > 0 else None):
                    result = await self._result(exec)
        except SteadError:
            failed = True
            raise
        finally:
            if failed or result is not None:
                self._attendance.left(exec.exec_id)
            else:
                self._attendance.leave(exec.exec_id, given_up=False)
        if result is None:
            raise SteadError("timeout", "the exec still runs; ask again under its id", exec_id=exec.exec_id)
        return result

    async def _result(self, exec: t.Exec) -> t.ExecResult:
        """One that is there already may wait for its reader: this one reads as well, and leaves without letting it go."""
        running, _ = await self._toolbox.begin(exec, wait=not exec.background)
        try:
            return t.ExecResult(status=running.status) if exec.background else await running.collect()
        finally:
            running.close(hold=True)

    async def _write(self, p: t.WriteFile) -> t.Written:
        check_content(p.content)
        return await self._toolbox.write(p.path, p.content, mode=p.mode, parents=p.parents, exclusive=p.exclusive)

    async def _append(self, p: t.WriteFile) -> t.Written:
        if p.mode is not None or p.exclusive:
            raise SteadError("invalid", "files.append takes neither mode nor exclusive")
        return await self._toolbox.append(p.path, p.content, parents=p.parents)

    async def _list(self, p: t.ListFiles) -> t.Listing:
        """Cut to what one message carries; `truncated` tells."""
        listing = await self._toolbox.list(p.path, p.depth, p.limit)
        while len(msgspec.json.encode(listing)) > LISTING_BYTES:
            listing = t.Listing(entries=listing.entries[: len(listing.entries) // 2], truncated=True)
        return listing


def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
