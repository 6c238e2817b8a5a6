"""The transfers in chunks that are under way.

Contract: `place.own(Chunks)` has a method an operation; all run in the event loop, their disk work in threads, one call of a
transfer after the other. What is finished is remembered until it expires, or others need the room, so that an `end` may be
asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox import etags
from stead.toolbox.contract import Written
from stead.toolbox.files import Reader, Writer
from stead.toolbox.place import Place
from stead.toolbox.transfer import contract as t
from stead.toolbox.transfer.partial import check_name

TRANSFERS = 64
"""How many may be under way."""


class _Upload(NamedTuple):
    params: t.BeginUpload
    writer: Writer


class _Download(NamedTuple):
    params: t.OpenDownload
    reader: Reader
    etag: str


class _Transfer:
    """One transfer: what it moves, which chunk is due, what came of it."""

    def __init__(self, moves: _Upload | _Download, size: int) -> None:
        self.moves = moves
        self.size = size
        self.next_seq = 0
        self.ended: t.Ended | None = None
        self.last = b""
        self.digest = hashlib.sha256()
        self.lock = asyncio.Lock()
        self.timer: asyncio.TimerHandle | None = None

    @property
    def chunks(self) -> int:
        return _chunks(self.size)

    def length(self, seq: int) -> int:
        """How many bytes a chunk has."""
        return min(t.CHUNK_BYTES, self.size - seq * t.CHUNK_BYTES)

    def close(self) -> None:
        (self.moves.writer if isinstance(self.moves, _Upload) else self.moves.reader).close()


class Chunks:
    """All of one place."""

    def __init__(self, place: Place, *, seconds: float = t.EXPIRY_SECONDS) -> None:
        self._place = place
        self._seconds = seconds
        self._limit = _limit(place.programs.environment.get(t.LIMIT_VARIABLE, ""))
        self._transfers: dict[str, _Transfer] = {}

    def close(self) -> None:
        """Nothing is left of any."""
        for transfer_id in list(self._transfers):
            self._forget(transfer_id)

    async def begin(self, p: t.BeginUpload) -> t.State:
        """A new upload, or the one that has this id."""
        check_name(p.transfer_id, "transfer_id")
        if p.transfer_id in self._transfers:
            return self._known(p)
        if p.size < 0 or p.total_chunks not in {None, _chunks(p.size)}:
            raise SteadError("invalid", f"{p.size} bytes are {_chunks(max(0, p.size))} chunks", field="total_chunks")
        self._check_size(p.size)
        writer = await self._place.in_thread(
            self._place.files.writer,
            p.path,
            mode=p.mode,
            parents=p.parents,
            exclusive=p.exclusive,
            size=p.size,
            sha256=p.sha256,
        )
        return self._take(p, _Transfer(_Upload(p, writer), p.size))

    async def open(self, p: t.OpenDownload) -> t.State:
        """A new download, or the one that has this id."""
        check_name(p.transfer_id, "transfer_id")
        if p.transfer_id in self._transfers:
            return self._known(p)
        reader = await self._place.in_thread(self._place.files.reader, p.path)
        try:
            self._check_size(reader.size)
        except SteadError:
            reader.close()
            raise
        return self._take(p, _Transfer(_Download(p, reader, etags.of(reader.stat())), reader.size))

    async def chunk(self, p: t.SendChunk) -> t.State:
        """The chunk that is due, or the one before it again."""
        async with self._turn(p.transfer_id) as transfer:
            if not isinstance(transfer.moves, _Upload) or transfer.ended:
                raise SteadError("conflict", "the transfer takes no chunks")
            if 0 <= p.seq == transfer.next_seq - 1 and p.data == transfer.last:
                return self._state(p.transfer_id, transfer)
            _check_order(transfer, p.seq)
            if p.seq >= transfer.chunks or len(p.data) != transfer.length(p.seq):
                raise SteadError("invalid", f"chunk {p.seq} has another length than is due", field="data")
            with anyio.CancelScope(shield=True):
                await self._place.in_thread(transfer.moves.writer.write, p.data)
                transfer.last = p.data
                transfer.next_seq += 1
            return self._state(p.transfer_id, transfer)

    async def fetch(self, p: t.FetchChunk) -> t.Chunk:
        """The chunk that is due, or the one before it again."""
        async with self._turn(p.transfer_id) as transfer:
            moves = transfer.moves
            if not isinstance(moves, _Download) or transfer.ended:
                raise SteadError("conflict", "the transfer gives no chunks")
            if p.seq < 0 or p.seq != transfer.next_seq - 1:
                _check_order(transfer, p.seq)
                if p.seq >= transfer.chunks:
                    raise SteadError("invalid", f"the file has {transfer.chunks} chunks", field="seq")
                with anyio.CancelScope(shield=True):
                    await self._next(transfer, moves, p.seq)
            self._state(p.transfer_id, transfer)
            last = p.seq == transfer.chunks - 1
            return t.Chunk(seq=p.seq, data=transfer.last, last=last, sha256=transfer.digest.hexdigest() if last else "")

    async def _next(self, transfer: _Transfer, moves: _Download, seq: int) -> None:
        """Reads a chunk, all or nothing of it."""
        piece = await self._place.in_thread(_read, moves.reader, transfer.length(seq))
        etags.check(moves.etag, etags.of(moves.reader.stat()), moves.params.path)
        transfer.last = piece
        transfer.digest.update(piece)
        transfer.next_seq += 1

    async def end(self, p: t.TransferId) -> t.Ended:
        """In place, or refused and gone; on a full disk it may be asked again."""
        async with self._turn(p.transfer_id) as transfer:
            if transfer.ended is None:
                moves = transfer.moves
                if isinstance(moves, _Upload) and transfer.next_seq < transfer.chunks:
                    raise SteadError("conflict", f"chunk {transfer.next_seq} is due", expected=transfer.next_seq)
                transfer.ended = t.Ended(written=await self._written(p.transfer_id, moves))
                transfer.close()
            return transfer.ended

    async def cancel(self, p: t.TransferId) -> t.Cancelled:
        """Nothing is left."""
        transfer = self._transfers.get(p.transfer_id)
        if transfer is None:
            return t.Cancelled(existed=False)
        async with transfer.lock:
            self._forget(p.transfer_id)
        return t.Cancelled(existed=transfer.ended is None)

    async def _written(self, transfer_id: str, moves: _Upload | _Download) -> Written | None:
        if not isinstance(moves, _Upload):
            return None
        try:
            return await self._place.in_thread(moves.writer.commit)
        except SteadError as error:
            if error.code != "disk_full":
                self._forget(transfer_id)
            raise

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise SteadError(
                "too_large",
                f"files of more than {self._limit} bytes go through streams, not in chunks",
                limit=self._limit,
            )

    def _known(self, p: t.BeginUpload | t.OpenDownload) -> t.State:
        """The one that has this id, when it is the same."""
        known = self._transfers[p.transfer_id]
        if known.moves[0] != p:
            raise SteadError("conflict", "the transfer id is in use for another transfer", field="transfer_id")
        return self._state(p.transfer_id, known)

    def _take(self, p: t.BeginUpload | t.OpenDownload, transfer: _Transfer) -> t.State:
        """A new one, unless the same was begun meanwhile."""
        if p.transfer_id in self._transfers:
            transfer.close()
            return self._known(p)
        over = (name for name, each in self._transfers.items() if each.ended)
        if len(self._transfers) >= TRANSFERS and (oldest := next(over, None)) is not None:
            self._forget(oldest)
        if len(self._transfers) >= TRANSFERS:
            transfer.close()
            raise SteadError("too_many", f"at most {TRANSFERS} transfers at once")
        self._transfers[p.transfer_id] = transfer
        return self._state(p.transfer_id, transfer)

    @asynccontextmanager
    async def _turn(self, transfer_id: str) -> AsyncIterator[_Transfer]:
        """The transfer, while no other call of it is done."""
        transfer = self._transfers.get(transfer_id)
        if transfer is not None:
            async with transfer.lock:
                if self._transfers.get(transfer_id) is transfer:
                    yield transfer
                    return
        raise SteadError("expired", "there is no such transfer, or no more; begin it anew")

    def _state(self, transfer_id: str, transfer: _Transfer) -> t.State:
        """Where it is; from now on, it waits for its next call."""
        if transfer.timer is not None:
            transfer.timer.cancel()
        loop = asyncio.get_running_loop()
        transfer.timer = loop.call_later(self._seconds, self._expire, transfer_id)
        return t.State(
            transfer_id=transfer_id,
            path=transfer.moves.params.path,
            size=transfer.size,
            total_chunks=transfer.chunks,
            next_seq=transfer.next_seq,
            etag=transfer.moves.etag if isinstance(transfer.moves, _Download) else "",
            expires_in=self._seconds,
        )

    def _expire(self, transfer_id: str) -> None:
        """Nobody went on with it; one whose call is under way waits for the next."""
        transfer = self._transfers[transfer_id]
        if transfer.lock.locked():
            transfer.timer = asyncio.get_running_loop().call_later(self._seconds, self._expire, transfer_id)
        else:
            self._forget(transfer_id)

    def _forget(self, transfer_id: str) -> None:
        transfer = self._transfers.pop(transfer_id, None)
        if transfer is not None:
            if transfer.timer is not None:
                transfer.timer.cancel()
            transfer.close()


def _read(reader: Reader, length: int) -> bytes:
    """Exactly so much; a file that shrank gives less, and its mark tells."""
    found = bytearray()
    while len(found) < length and (piece := reader.next(length - len(found))):
        found += piece
    return bytes(found)


def _check_order(transfer: _Transfer, seq: int) -> None:
    if seq != transfer.next_seq:
        raise SteadError(
            "conflict", f"chunk {transfer.next_seq} is due, not {seq}", expected=transfer.next_seq, field="seq"
        )


def _chunks(size: int) -> int:
    return -(-size // t.CHUNK_BYTES)


def _limit(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else t.LIMIT_BYTES
