"""Serving the streams "tree.read" and "tree.write": a directory as tar, down and up.

Contract: `begin(toolbox, stream, params)` is what `Streams` does for a stream of these kinds. Both end with what was done as
their result; a failure resets the stream with its error. Memory holds one piece of each stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from stead.protocol.codec import decode_as
from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox
from stead.toolbox.trees.contract import ReadTree, WriteTree
from stead.toolbox.trees.pack import Packer
from stead.toolbox.trees.unpack import Unpacker
from stead.transport.streams import Stream

Serve = Callable[[], Awaitable[None]]

_READ = msgspec.json.Decoder(ReadTree)
_WRITE = msgspec.json.Decoder(WriteTree)


async def begin(toolbox: LocalToolbox, stream: Stream, params: msgspec.Raw) -> tuple[Any, Serve]:
    """What the opener is told, and the work that follows."""
    if stream.kind == "tree.read":
        packer = await toolbox.packer(decode_as(_READ, params, "params"))
        return None, lambda: _send(toolbox, stream, packer)
    unpacker = await toolbox.unpacker(decode_as(_WRITE, params, "params"))
    return None, lambda: _take(toolbox, stream, unpacker)


async def _send(toolbox: LocalToolbox, stream: Stream, packer: Packer) -> None:
    try:
        while piece := await toolbox.in_thread(packer.next):
            await stream.send(piece)
        await stream.end({"files": packer.files, "size": packer.size})
    except SteadError as error:
        await stream.reset(error)
    finally:
        packer.close()


async def _take(toolbox: LocalToolbox, stream: Stream, unpacker: Unpacker) -> None:
    try:
        while (piece := await stream.receive()) is not None:
            await toolbox.in_thread(unpacker.feed, piece)
        await stream.end(await toolbox.in_thread(unpacker.finish))
    except SteadError as error:
        await stream.reset(error)
    finally:
        unpacker.close()
