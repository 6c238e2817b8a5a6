"""What can be asked about transfers.

Contract: `Transfer` is the face. A file goes up as `begin`, `chunk` 0, 1, 2, ..., `end`; it comes down as `open`, `fetch` 0, 1,
2, ... Each chunk but the last has `CHUNK_BYTES`. The order is checked: a chunk may be sent or fetched again before the next one
(an answer may have been lost), any other is "conflict"; another length or hash than was said is "invalid". A transfer is
forgotten `EXPIRY_SECONDS` after its last call, and when the guest is replaced: "expired". An upload is in place when it was
ended, not before. Files of more than the limit (20 MB, or `STEAD_TRANSFER_BYTES` in the workspace's environment) are
"too_large": they go through streams.

An upload through a stream that names a `partial` is kept when it breaks off. `partial` tells how much of it is there.
"""

from __future__ import annotations

from stead.toolbox.contract import Params, Result, Written
from stead.toolbox.operations import Asking, Operation, by_name

CHUNK_BYTES = 128 << 10
"""What each chunk has, but the last."""
EXPIRY_SECONDS = 300.0
"""How long a transfer in chunks waits for its next call."""
LIMIT_BYTES = 20_000_000
"""The largest file that goes in chunks, by default."""
LIMIT_VARIABLE = "STEAD_TRANSFER_BYTES"
"""In the environment of a workspace: another limit."""
PARTIAL_SECONDS = 86_400.0
"""How long an upload that broke off is kept."""


class TransferId(Params):
    """transfer.end and transfer.cancel; the id is the caller's, 1 to 64 letters, digits, `-` and `_`."""

    transfer_id: str


class BeginUpload(Params):
    """transfer.begin; again with the same params is the same transfer."""

    transfer_id: str
    path: str
    size: int
    total_chunks: int | None = None
    sha256: str = ""
    mode: int | None = None
    parents: bool = False
    exclusive: bool = False


class SendChunk(Params):
    """transfer.chunk; data as base64 on the wire."""

    transfer_id: str
    seq: int
    data: bytes


class OpenDownload(Params):
    """transfer.open."""

    transfer_id: str
    path: str


class FetchChunk(Params):
    """transfer.fetch."""

    transfer_id: str
    seq: int


class PartialName(Params):
    """transfer.partial and transfer.discard: an upload through a stream by its name."""

    partial: str


class State(Result, frozen=True):
    """Where a transfer is; `next_seq` is the chunk that is due."""

    transfer_id: str
    path: str
    size: int
    total_chunks: int
    next_seq: int
    chunk_bytes: int = CHUNK_BYTES
    etag: str = ""
    expires_in: float = EXPIRY_SECONDS


class Chunk(Result, frozen=True):
    """A chunk of a download; the last has the hash of all."""

    seq: int
    data: bytes
    last: bool = False
    sha256: str = ""


class Ended(Result, frozen=True):
    """What an upload wrote; nothing for a download."""

    written: Written | None = None


class Cancelled(Result, frozen=True):
    """`existed` is false when there was no such transfer (any more)."""

    existed: bool


class Partial(Result, frozen=True):
    """How much of an upload is there, and how long it is kept if nothing more comes."""

    partial: str
    existed: bool
    received: int = 0
    expires_in: float = 0.0


BEGIN = Operation("transfer.begin", BeginUpload, State)
CHUNK = Operation("transfer.chunk", SendChunk, State)
END = Operation("transfer.end", TransferId, Ended)
CANCEL = Operation("transfer.cancel", TransferId, Cancelled)
OPEN = Operation("transfer.open", OpenDownload, State)
FETCH = Operation("transfer.fetch", FetchChunk, Chunk)
PARTIAL = Operation("transfer.partial", PartialName, Partial)
DISCARD = Operation("transfer.discard", PartialName, Cancelled)

OPERATIONS = by_name((BEGIN, CHUNK, END, CANCEL, OPEN, FETCH, PARTIAL, DISCARD))


class Transfer:
    """`toolbox.transfer`."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    async def begin(
        self,
        transfer_id: str,
        path: str,
        size: int,
        *,
        total_chunks: int | None = None,
        sha256: str = "",
        mode: int | None = None,
        parents: bool = False,
        exclusive: bool = False,
    ) -> State:
        """A file is to come; `next_seq` says with which chunk to go on."""
        params = BeginUpload(
            transfer_id=transfer_id,
            path=path,
            size=size,
            total_chunks=total_chunks,
            sha256=sha256,
            mode=mode,
            parents=parents,
            exclusive=exclusive,
        )
        return await self._toolbox.ask(BEGIN, params)

    async def chunk(self, transfer_id: str, seq: int, data: bytes) -> State:
        """The next piece of an upload."""
        return await self._toolbox.ask(CHUNK, SendChunk(transfer_id=transfer_id, seq=seq, data=data))

    async def open(self, transfer_id: str, path: str) -> State:
        """A file is to go out."""
        return await self._toolbox.ask(OPEN, OpenDownload(transfer_id=transfer_id, path=path))

    async def fetch(self, transfer_id: str, seq: int) -> Chunk:
        """The next piece of a download; "precondition_failed" when the file was changed since it was opened."""
        return await self._toolbox.ask(FETCH, FetchChunk(transfer_id=transfer_id, seq=seq))

    async def end(self, transfer_id: str) -> Written | None:
        """Puts an upload in place when it is complete and has its hash; a download is over."""
        return (await self._toolbox.ask(END, TransferId(transfer_id=transfer_id))).written

    async def cancel(self, transfer_id: str) -> Cancelled:
        """Nothing of it is left."""
        return await self._toolbox.ask(CANCEL, TransferId(transfer_id=transfer_id))

    async def partial(self, partial: str) -> Partial:
        """An upload through a stream that broke off."""
        return await self._toolbox.ask(PARTIAL, PartialName(partial=partial))

    async def discard(self, partial: str) -> Cancelled:
        """It is not to be kept."""
        return await self._toolbox.ask(DISCARD, PartialName(partial=partial))
