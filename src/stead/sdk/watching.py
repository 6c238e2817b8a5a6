"""A watch of a workspace wherever it is: it outlives lost links and a replaced guest.

Contract: `RemoteWatching` is a `Watching`; `begin` opens it. A link that was lost resumes byte for byte. When the guest itself
was replaced the watch is opened again, and one change of kind `overflow` says that some may be missing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.sdk.remote import GONE, RETURN
from stead.toolbox.watch.contract import Change, ChangeKind, Control, WatchFiles
from stead.transport.backoff import Backoff

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox
    from stead.transport.streams import Stream

LINE_BYTES = 16 << 20
_CHANGES = msgspec.json.Decoder(list[Change])
OVERFLOW = Change(kind=ChangeKind.OVERFLOW, path=".", directory=True)


class RemoteWatching:
    """One watch."""

    def __init__(self, toolbox: RemoteToolbox, asked: WatchFiles) -> None:
        self._toolbox = toolbox
        self._asked = asked
        self._stream: Stream | None = None
        self._closed = False

    async def begin(self) -> None:
        """Changes are told from now on."""
        asked = self._asked
        self._stream = await self._toolbox.opened("watch", asked)
        if self._closed:
            await self.close()
        elif self._asked.paused is not asked.paused:
            await self._control(paused=self._asked.paused)

    async def __aiter__(self) -> AsyncIterator[Change]:
        rest = b""
        while True:
            try:
                assert self._stream is not None
                data = await self._stream.receive()
            except SteadError as error:
                if self._closed:
                    return
                if error.code not in GONE:
                    raise
                rest = b""
                await self._again()
                yield OVERFLOW
                continue
            if data is None:
                return
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_BYTES:
                raise SteadError("malformed", "the workspace's list of changes has no end")
            for line in whole:
                for change in _decoded(line):
                    yield change

    async def pause(self) -> None:
        await self._control(paused=True)

    async def resume(self) -> None:
        await self._control(paused=False)

    async def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            await self._stream.reset(SteadError("cancelled", "the caller let go of the watch"))

    async def _control(self, *, paused: bool) -> None:
        """Told to the guest; one that is being replaced is told when the watch is opened again."""
        self._asked = msgspec.structs.replace(self._asked, paused=paused)
        assert self._stream is not None
        try:
            await self._stream.send(msgspec.json.encode(Control(paused=paused)) + b"\n")
        except SteadError as error:
            if error.code not in GONE:
                raise

    async def _again(self) -> None:
        backoff = Backoff()
        until = time.monotonic() + RETURN
        while True:
            try:
                return await self.begin()
            except SteadError as error:
                if not error.retry or time.monotonic() > until:
                    raise
            await anyio.sleep(backoff.delay())


def _decoded(line: bytes) -> list[Change]:
    try:
        return _CHANGES.decode(line)
    except msgspec.DecodeError as error:
        raise SteadError("malformed", f"the workspace's changes are not as this version knows them: {error}") from error
