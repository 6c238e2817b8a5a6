"""What a command prints, as text, for those who are told of it in JSON.

Contract: `texts(running)` gives its outputs piece by piece, each with the name of its channel, to the end. A character that
comes in two pieces is put together again; what is no UTF-8 becomes a replacement character, also at the very end.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from typing import Literal

from stead.toolbox.execs import LocalRunning

PIECE = 1 << 16

Channel = Literal["stdout", "stderr"]


async def texts(running: LocalRunning, most: int = PIECE) -> AsyncIterator[tuple[Channel, str]]:
    """Of at most so many bytes each."""
    make = codecs.getincrementaldecoder("utf-8")
    decoders: dict[Channel, codecs.IncrementalDecoder] = {"stdout": make("replace"), "stderr": make("replace")}
    async for piece in running.output():
        for start in range(0, len(piece.data), most):
            if text := decoders[piece.channel].decode(piece.data[start : start + most]):
                yield piece.channel, text
    for channel, decoder in decoders.items():
        if text := decoder.decode(b"", final=True):
            yield channel, text
