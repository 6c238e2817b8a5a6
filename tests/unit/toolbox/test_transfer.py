"""Transfers: forgotten when nothing comes, kept when they broke off, taken over, put in place on another disk; a full disk."""

import asyncio
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.remote import RemoteToolbox
from stead.toolbox.confine import Root
from stead.toolbox.place import THREADS, Place
from stead.toolbox.transfer import contract as t
from stead.toolbox.transfer.chunks import TRANSFERS, Chunks
from stead.toolbox.transfer.partial import DIRECTORY, KEPT, Partials
from support.deadline import eventually_async
from support.disk import small_disk
from support.guests import WORKSPACE, GuestProcess

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "root").mkdir()
    found = Place(Root(tmp_path / "root"), {})
    yield found
    found.close()
    found.root.close()


def inside(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def refused(code: str, work: object) -> SteadError:
    with pytest.raises(SteadError) as found:
        await work  # type: ignore[misc]
    assert found.value.code == code
    return found.value


async def test_a_transfer_that_nobody_goes_on_with_is_forgotten(place: Place, tmp_path: Path) -> None:
    chunks = Chunks(place, seconds=0.05)
    await chunks.begin(t.BeginUpload(transfer_id="x", path="f", size=10))

    async def gone() -> bool:
        try:
            await chunks.end(t.TransferId(transfer_id="x"))
        except SteadError as error:
            return error.code == "expired"
        return False

    with anyio.fail_after(30):
        while not await gone():
            await anyio.sleep(0.2)
    assert inside(tmp_path / "root") == []


async def test_so_many_transfers_at_once(place: Place) -> None:
    chunks = place.own(Chunks)
    for number in range(TRANSFERS):
        await chunks.begin(t.BeginUpload(transfer_id=f"x{number}", path="f", size=10))
    await refused("too_many", chunks.begin(t.BeginUpload(transfer_id="more", path="f", size=10)))
    assert (await chunks.cancel(t.TransferId(transfer_id="x0"))).existed
    await chunks.begin(t.BeginUpload(transfer_id="more", path="f", size=10))


async def test_what_is_over_takes_no_room(place: Place) -> None:
    chunks = place.own(Chunks)
    for number in range(TRANSFERS + 5):
        await chunks.begin(t.BeginUpload(transfer_id=f"x{number}", path=f"f{number}", size=0))
        await chunks.end(t.TransferId(transfer_id=f"x{number}"))
    assert (await chunks.end(t.TransferId(transfer_id="x5"))).written is not None, "those that may stay are remembered"
    await refused("expired", chunks.end(t.TransferId(transfer_id="x4")))


async def test_the_same_at_once_is_one(place: Place, tmp_path: Path) -> None:
    chunks = place.own(Chunks)
    asked = t.BeginUpload(transfer_id="x", path="f", size=3)
    states = await asyncio.gather(*(chunks.begin(asked) for _ in range(4)))
    assert {state.next_seq for state in states} == {0}
    await chunks.chunk(t.SendChunk(transfer_id="x", seq=0, data=b"abc"))
    await chunks.end(t.TransferId(transfer_id="x"))
    assert inside(tmp_path / "root") == ["f"]
    (tmp_path / "root/g").write_text("g")
    opened = await asyncio.gather(*(chunks.open(t.OpenDownload(transfer_id="y", path="g")) for _ in range(2)))
    assert opened[0] == opened[1]


async def test_no_chunks_before_the_first_and_after_the_end(place: Place, tmp_path: Path) -> None:
    (tmp_path / "root/f").write_bytes(b"x" * (t.CHUNK_BYTES + 1))
    chunks = place.own(Chunks)
    await chunks.open(t.OpenDownload(transfer_id="x", path="f"))
    await refused("conflict", chunks.fetch(t.FetchChunk(transfer_id="x", seq=-1)))
    await chunks.fetch(t.FetchChunk(transfer_id="x", seq=0))
    await chunks.end(t.TransferId(transfer_id="x"))
    for seq in (0, 1):
        await refused("conflict", chunks.fetch(t.FetchChunk(transfer_id="x", seq=seq)))
    await chunks.begin(t.BeginUpload(transfer_id="y", path="g", size=3))
    await refused("conflict", chunks.chunk(t.SendChunk(transfer_id="y", seq=-1, data=b"")))


async def test_a_slow_disk_is_no_reason_to_forget_a_transfer(place: Place, tmp_path: Path) -> None:
    chunks = Chunks(place, seconds=0.25)
    free = threading.Event()
    async with anyio.create_task_group() as group:
        await chunks.begin(t.BeginUpload(transfer_id="x", path="f", size=3))
        for _ in range(THREADS):
            group.start_soon(place.in_thread, free.wait)
        group.start_soon(chunks.chunk, t.SendChunk(transfer_id="x", seq=0, data=b"abc"))
        group.start_soon(chunks.end, t.TransferId(transfer_id="x"))
        await anyio.sleep(0.6)
        free.set()
    assert (tmp_path / "root/f").read_bytes() == b"abc"


async def test_who_comes_behind_a_cancel_is_told(place: Place) -> None:
    chunks = place.own(Chunks)
    await chunks.begin(t.BeginUpload(transfer_id="x", path="f", size=t.CHUNK_BYTES * 2))
    pieces = [t.SendChunk(transfer_id="x", seq=seq, data=bytes(t.CHUNK_BYTES)) for seq in (0, 1)]
    first, cancelled, behind = await asyncio.gather(
        chunks.chunk(pieces[0]),
        chunks.cancel(t.TransferId(transfer_id="x")),
        chunks.chunk(pieces[1]),
        return_exceptions=True,
    )
    assert isinstance(first, t.State)
    assert cancelled == t.Cancelled(existed=True)
    assert isinstance(behind, SteadError)
    assert behind.code == "expired"


async def test_the_limit_is_the_workspaces(tmp_path: Path) -> None:
    place = Place(Root(tmp_path), {t.LIMIT_VARIABLE: "1000"})
    (tmp_path / "f").write_bytes(b"x" * 1001)
    chunks = place.own(Chunks)
    error = await refused("too_large", chunks.begin(t.BeginUpload(transfer_id="x", path="g", size=1001)))
    assert error.details["limit"] == 1000
    await refused("too_large", chunks.open(t.OpenDownload(transfer_id="x", path="f")))
    await chunks.begin(t.BeginUpload(transfer_id="x", path="g", size=1000))
    place.close()
    place.root.close()


async def test_an_empty_file_needs_no_chunk(place: Place, tmp_path: Path) -> None:
    chunks = place.own(Chunks)
    state = await chunks.begin(t.BeginUpload(transfer_id="x", path="f", size=0, total_chunks=0))
    assert state.total_chunks == 0
    await chunks.end(t.TransferId(transfer_id="x"))
    assert (tmp_path / "root/f").read_bytes() == b""


def test_who_comes_later_takes_an_upload_over(place: Place, tmp_path: Path) -> None:
    partials = place.own(Partials)
    first = partials.writer("name", "f", size=len(CONTENT), sha256=SHA256)
    first.write(CONTENT[:1000])
    second = partials.writer("name", "f", size=len(CONTENT), sha256=SHA256)
    assert second.size == 1000
    with pytest.raises(SteadError) as found:
        first.write(CONTENT[1000:2000])
    assert found.value.code == "conflict"
    first.close()
    second.write(CONTENT[1000:])
    second.commit()
    assert (tmp_path / "root/f").read_bytes() == CONTENT
    assert inside(tmp_path / "root") == ["f"]


@pytest.mark.needs_engine("git")
def test_what_is_kept_is_hidden_from_git_and_goes(place: Place, tmp_path: Path) -> None:
    kept = tmp_path / "root" / DIRECTORY
    partials = place.own(Partials)
    subprocess.run(["git", "init", "-q", str(tmp_path / "root")], check=True)
    for number in range(KEPT + 3):
        writer = partials.writer(f"name{number}", "f")
        writer.write(b"x")
        writer.close()
        os.utime(kept / f"name{number}", (time.time() - 100 + number,) * 2)
    status = ["git", "-C", str(tmp_path / "root"), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, check=True).stdout == b""
    assert len(inside(kept)) == KEPT + 1
    assert "name2" not in inside(kept)
    os.utime(kept / "name5", (time.time() - t.PARTIAL_SECONDS - 10,) * 2)
    partials.writer("last", "f").close()
    assert "name5" not in inside(kept)
    for name in inside(kept):
        if not name.startswith("."):
            partials.discard(name)
    assert not kept.exists()


def test_a_kept_upload_leaves_a_file_its_mode_and_no_rights_of_others(place: Place, tmp_path: Path) -> None:
    (tmp_path / "root/f").touch()
    (tmp_path / "root/f").chmod(0o6751)
    writer = place.own(Partials).writer("name", "f")
    writer.write(b"x")
    assert not writer.commit().created
    assert (tmp_path / "root/f").stat().st_mode & 0o7777 == 0o751


def test_an_upload_of_another_size_begins_anew(place: Place) -> None:
    partials = place.own(Partials)
    writer = partials.writer("name", "f", size=100)
    writer.write(b"x" * 100)
    writer.close()
    assert partials.writer("name", "f", size=50).size == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 65, "\u00e4", "a b", "a\0"])
def test_names_of_uploads_are_plain(place: Place, name: str) -> None:
    partials = place.own(Partials)
    for work in (partials.writer, lambda name, _path: partials.discard(name), lambda name, _path: partials.show(name)):
        with pytest.raises(SteadError) as found:
            work(name, "f")
        assert found.value.code == "invalid"


def test_a_link_in_the_way_of_what_is_kept_leads_nowhere(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / DIRECTORY).symlink_to("../outside")
    with pytest.raises(SteadError) as found:
        place.own(Partials).writer("name", "f")
    assert found.value.code in {"already_exists", "path_outside"}
    assert inside(tmp_path / "outside") == []


@pytest.fixture
def tiny(tmp_path: Path, place: Place) -> Iterator[Path]:
    """A file system of one MiB inside of the root."""
    with small_disk(tmp_path / "root" / "tiny") as disk:
        yield disk.path


def test_to_another_disk_and_to_a_full_one(place: Place, tiny: Path) -> None:
    partials = place.own(Partials)
    writer = partials.writer("name", "tiny/f", mode=0o600)
    writer.write(CONTENT[:500_000])
    assert writer.commit().size == 500_000
    assert (tiny / "f").read_bytes() == CONTENT[:500_000]
    assert (tiny / "f").stat().st_mode & 0o777 == 0o600
    writer = partials.writer("name", "tiny/g")
    writer.write(CONTENT[:800_000])
    with pytest.raises(SteadError) as found:
        writer.commit()
    assert found.value.code == "disk_full"
    writer.close()
    assert inside(tiny) == ["f"]
    assert partials.show("name").received == 800_000, "it can go on when there is room"


async def test_an_upload_goes_on_after_the_guest_was_killed(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest:
        arrived = guest.root / DIRECTORY / "name"
        async with guest.linked() as client:
            toolbox = RemoteToolbox(client, WORKSPACE)

            async def some(start: int) -> AsyncIterator[bytes]:
                yield CONTENT[start:500_000]
                await eventually_async(lambda: arrived.exists() and arrived.stat().st_size, "a part has arrived")
                raise RuntimeError("enough")

            with pytest.raises(RuntimeError):
                await toolbox.resume_upload("f", some, partial="name", size=len(CONTENT), sha256=SHA256)
        guest.kill_guest()
        starts: list[int] = []

        async def rest(start: int) -> AsyncIterator[bytes]:
            starts.append(start)
            yield CONTENT[start:]

        async with guest.linked() as client:
            toolbox = RemoteToolbox(client, WORKSPACE)
            done = await toolbox.resume_upload("f", rest, partial="name", size=len(CONTENT), sha256=SHA256)
        assert done.size == len(CONTENT)
        assert 0 < starts[0] <= 500_000
        assert (guest.root / "f").read_bytes() == CONTENT
        assert inside(guest.root) == ["f"]
