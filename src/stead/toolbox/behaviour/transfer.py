"""Transfers: in chunks, and uploads that go on after a cut."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from stead.toolbox.behaviour.checks import check, expect, refused
from stead.toolbox.contract import Toolbox
from stead.toolbox.transfer.contract import CHUNK_BYTES, EXPIRY_SECONDS

LARGE = bytes(range(256)) * 4096
"""A mebibyte: eight chunks."""


@check
async def upload_in_chunks(toolbox: Toolbox, place: str) -> None:
    """In order, with its hash; in place at the end and not before; each call may be asked again."""
    path = f"{place}/d/f"
    sha256 = hashlib.sha256(LARGE).hexdigest()
    begun = await toolbox.transfer.begin(
        "up", path, len(LARGE), total_chunks=8, sha256=sha256, parents=True, mode=0o600
    )
    expect((begun.total_chunks, begun.next_seq, begun.chunk_bytes) == (8, 0, CHUNK_BYTES), f"said {begun}")
    expect((begun.path, begun.size) == (path, len(LARGE)) and 0 < begun.expires_in <= EXPIRY_SECONDS, f"said {begun}")
    for seq in range(8):
        data = LARGE[seq * CHUNK_BYTES : (seq + 1) * CHUNK_BYTES]
        state = await toolbox.transfer.chunk("up", seq, data)
        expect((await toolbox.transfer.chunk("up", seq, data)).next_seq == state.next_seq == seq + 1, f"said {state}")
    again = await toolbox.transfer.begin(
        "up", path, len(LARGE), total_chunks=8, sha256=sha256, parents=True, mode=0o600
    )
    expect(again.next_seq == 8, f"begun anew: {again}")
    await refused("not_found", toolbox.stat(path))
    written = await toolbox.transfer.end("up")
    expect(written is not None and written.size == len(LARGE) and written.created, f"said {written}")
    expect(await toolbox.transfer.end("up") == written, "the end is another when asked again")
    expect((await toolbox.stat(path)).mode == 0o600, "the mode is another")
    found = await toolbox.trees.fingerprint(path, sha256=True)
    expect(found.sha256 == sha256, "other bytes are there")
    await toolbox.transfer.cancel("up")


@check
async def chunks_out_of_order(toolbox: Toolbox, place: str) -> None:
    """Refused with what is due; wrong lengths, wrong hashes, too much, unknown ids: each has its code."""
    path = f"{place}/f"
    await toolbox.write(path, b"old")
    size = CHUNK_BYTES + 10
    await toolbox.transfer.begin("x", path, size, sha256="0" * 64)
    error = await refused("conflict", toolbox.transfer.chunk("x", 1, b"x" * 10))
    expect(error.details["expected"] == 0, f"details {error.details}")
    await refused("invalid", toolbox.transfer.chunk("x", 0, b"short"))
    await toolbox.transfer.chunk("x", 0, b"x" * CHUNK_BYTES)
    await refused("conflict", toolbox.transfer.end("x"))
    await refused("conflict", toolbox.transfer.begin("x", path, size + 1))
    await refused("conflict", toolbox.transfer.fetch("x", 0))
    await toolbox.transfer.chunk("x", 1, b"x" * 10)
    await refused("invalid", toolbox.transfer.end("x"))
    await refused("expired", toolbox.transfer.end("x"))
    await refused("invalid", toolbox.transfer.begin("y", path, 10, total_chunks=2))
    await refused("invalid", toolbox.transfer.begin("../y", path, 10))
    await refused("too_large", toolbox.transfer.begin("y", path, 1 << 60))
    await refused("path_outside", toolbox.transfer.begin("y", "../f", 10))
    await toolbox.transfer.begin("z", path, 10)
    expect((await toolbox.transfer.cancel("z")).existed and not (await toolbox.transfer.cancel("z")).existed, "told")
    await refused("expired", toolbox.transfer.chunk("z", 0, b"x" * 10))
    expect((await toolbox.read(path)).content == b"old", "the old file is gone")
    expect([entry.path for entry in (await toolbox.list(place)).entries] == [path], "something is left")


@check
async def download_in_chunks(toolbox: Toolbox, place: str) -> None:
    """In order, with the hash of all at the end; a file that was changed meanwhile is told."""
    path = f"{place}/f"
    await toolbox.write(path, LARGE[:-5])
    opened = await toolbox.transfer.open("down", path)
    expect((opened.size, opened.total_chunks) == (len(LARGE) - 5, 8) and opened.etag, f"said {opened}")
    await refused("conflict", toolbox.transfer.fetch("down", 3))
    pieces = []
    for seq in range(8):
        piece = await toolbox.transfer.fetch("down", seq)
        expect(await toolbox.transfer.fetch("down", seq) == piece, "another piece came when asked again")
        pieces.append(piece)
    expect(b"".join(piece.data for piece in pieces) == LARGE[:-5], "other bytes came")
    expect(pieces[-1].last and pieces[-1].sha256 == hashlib.sha256(LARGE[:-5]).hexdigest(), "the hash is another")
    expect(await toolbox.transfer.end("down") is None, "something was written")
    await toolbox.transfer.cancel("down")
    await toolbox.transfer.open("down", path)
    await toolbox.transfer.fetch("down", 0)
    await toolbox.append(path, b"more")
    await refused("precondition_failed", toolbox.transfer.fetch("down", 1))
    await toolbox.transfer.cancel("down")
    await refused("not_found", toolbox.transfer.open("down", f"{place}/nothing"))


@check
async def an_upload_that_was_cut_goes_on(toolbox: Toolbox, place: str) -> None:
    """What came is kept under its name; the next one sends only the rest; the hash of all is checked."""
    path, name = f"{place}/f", f"check-{abs(hash(place)) % 10**9}"
    sha256 = hashlib.sha256(LARGE).hexdigest()
    starts: list[int] = []

    async def rest(start: int, upto: int = len(LARGE)) -> AsyncIterator[bytes]:
        starts.append(start)
        for at in range(start, upto, 100_000):
            yield LARGE[at : min(at + 100_000, upto)]
        if upto < len(LARGE):
            raise AssertionError("the source broke")

    await toolbox.transfer.discard(name)
    await toolbox.write(path, b"old")
    try:
        await toolbox.resume_upload(
            path, lambda start: rest(start, 700_000), partial=name, size=len(LARGE), sha256=sha256
        )
    except AssertionError as error:
        expect(str(error) == "the source broke", "another error came")
    expect((await toolbox.read(path)).content == b"old", "half a file is in place")
    kept = await toolbox.transfer.partial(name)
    expect(kept.existed and 0 < kept.received <= 700_000 and kept.expires_in > 3600, f"kept {kept}")
    done = await toolbox.resume_upload(path, rest, partial=name, size=len(LARGE), sha256=sha256, mode=0o640)
    expect(starts == [0, kept.received] and done.size == len(LARGE), f"started at {starts}, said {done}")
    found = await toolbox.trees.fingerprint(path, sha256=True)
    expect(found.sha256 == sha256 and (await toolbox.stat(path)).mode == 0o640, "something else is there")
    expect(not (await toolbox.transfer.partial(name)).existed, "it is kept although it is in place")
    await refused("invalid", toolbox.resume_upload(path, rest, partial=name, size=len(LARGE), sha256="0" * 64))
    expect(not (await toolbox.transfer.partial(name)).existed, "what is wrong is kept")
    await refused("invalid", toolbox.resume_upload(path, rest, partial="../x"))
    await refused("path_outside", toolbox.resume_upload("../x", rest, partial=name))
    await refused("not_found", toolbox.stat(".stead-partial"))
