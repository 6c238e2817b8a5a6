"""Large content: down and up in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from stead.toolbox.behaviour.checks import check, expect, refused
from stead.toolbox.contract import CALL_BYTES, Toolbox

LARGE = bytes(range(256)) * 8192
"""2 MiB: more than any window on the way."""


async def _pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def _broken(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise AssertionError("the source broke")


async def _collect(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@check
async def upload_then_download(toolbox: Toolbox, place: str) -> None:
    """Large content arrives whole, checked against its size and hash."""
    sha256 = hashlib.sha256(LARGE).hexdigest()
    written = await toolbox.upload(
        f"{place}/d/large", _pieces(LARGE), mode=0o600, parents=True, size=len(LARGE), sha256=sha256
    )
    expect(written.size == len(LARGE) and written.created, f"said {written}")
    expect((await toolbox.stat(f"{place}/d/large")).mode == 0o600, "the mode is another")
    expect(await _collect(toolbox.download(f"{place}/d/large")) == LARGE, "other bytes came back")


@check
async def a_write_of_any_size(toolbox: Toolbox, place: str) -> None:
    """One write takes what no call carries; one append no more than a call does."""
    written = await toolbox.write(f"{place}/f", LARGE, mode=0o600)
    expect(written.size == len(LARGE) and written.created, f"said {written}")
    await refused("already_exists", toolbox.write(f"{place}/f", LARGE, exclusive=True))
    await refused("too_large", toolbox.append(f"{place}/f", LARGE[: CALL_BYTES + 1]))
    expect((await toolbox.stat(f"{place}/f")).mode == 0o600, "the mode is another")
    expect(await _collect(toolbox.download(f"{place}/f")) == LARGE, "other bytes are there")


@check
async def download_a_part(toolbox: Toolbox, place: str) -> None:
    """From an offset, so much or to the end."""
    await toolbox.upload(f"{place}/f", _pieces(LARGE))
    expect(await _collect(toolbox.download(f"{place}/f", 1000, 5000)) == LARGE[1000:6000], "another part came")
    expect(await _collect(toolbox.download(f"{place}/f", len(LARGE) - 7)) == LARGE[-7:], "another end came")
    expect(await _collect(toolbox.download(f"{place}/f", len(LARGE) + 1)) == b"", "something beyond the end came")
    await refused("not_found", _collect(toolbox.download(f"{place}/nothing")))
    await refused("is_directory", _collect(toolbox.download(place)))


@check
async def an_upload_that_fails_leaves_nothing(toolbox: Toolbox, place: str) -> None:
    """Another size, another hash or a source that breaks: the old file stays, and nothing else is there."""
    await toolbox.write(f"{place}/f", b"old")
    await refused("invalid", toolbox.upload(f"{place}/f", _pieces(LARGE), size=len(LARGE) + 1))
    await refused("invalid", toolbox.upload(f"{place}/f", _pieces(LARGE), size=1000))
    await refused("invalid", toolbox.upload(f"{place}/f", _pieces(LARGE), sha256="0" * 64))
    try:
        await toolbox.upload(f"{place}/f", _broken(LARGE))
    except AssertionError as error:
        expect(str(error) == "the source broke", "another error came")
    else:
        raise AssertionError("a broken source was no error")
    expect((await toolbox.read(f"{place}/f")).content == b"old", "the old file is gone")
    listed = [entry.path for entry in (await toolbox.list(place)).entries]
    expect(listed == [f"{place}/f"], f"left behind: {listed}")


@check
async def an_empty_upload(toolbox: Toolbox, place: str) -> None:
    """No content is content."""
    written = await toolbox.upload(f"{place}/f", _pieces(b""), size=0)
    expect(written.size == 0 and written.created, f"said {written}")
    expect(await _collect(toolbox.download(f"{place}/f")) == b"", "something came")
    await refused("already_exists", toolbox.upload(f"{place}/f", _pieces(b"x"), exclusive=True))
