"""A full disk under each operation that writes: it says "disk_full", leaves what was there and nothing else, and works again
when there is room. Full is a disk without a free byte, and one on which no more files can be made."""

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.text.contract import Edit
from stead.toolbox.transfer.contract import CHUNK_BYTES
from support.disk import Disk, small_disk

pytestmark = pytest.mark.anyio

Act = Callable[[LocalToolbox], Awaitable[object]]

BIG = bytes(range(256)) * 1200
"""More than a block, and less than a disk."""
TEXT = "one\n" + "x" * 100_000 + "\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as found:
        found.free()
        yield found


@pytest.fixture
async def toolbox(tmp_path: Path, disk: Disk) -> AsyncIterator[LocalToolbox]:
    """Its files are on the disk, what it remembers is not."""
    async with opened(disk.path, tmp_path / "run") as found:
        yield found


def lying(place: Path) -> dict[str, tuple[int, bytes]]:
    """The mode and the content of all there is."""
    found = {}
    for path in place.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(place))] = (path.lstat().st_mode, content)
    return found


async def full(work: Awaitable[object]) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await work
    assert caught.value.code == "disk_full", caught.value
    return caught.value


async def pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# --- one call --------------------------------------------------------------------------------------------------------

BYTES, NAMES = Disk.fill, Disk.fill_names
PATCH = """--- a/text
+++ b/text
@@ -1 +1,2 @@
-one
+two
+three
--- /dev/null
+++ b/made
@@ -0,0 +1 @@
+new
"""


def tar(*files: tuple[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for name, content in files:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return memory.getvalue()


class Case(NamedTuple):
    """A call, what there must be afterwards, and the ways in which a disk is too full for it."""

    act: Act
    after: dict[str, bytes]
    ways: tuple[Callable[..., None], ...] = (BYTES, NAMES)


CASES = {
    "write": Case(lambda t: t.write("new", BIG), {"new": BIG}),
    "replace": Case(lambda t: t.write("old", BIG), {"old": BIG}),
    "append": Case(lambda t: t.append("old", BIG), {"old": b"old" + BIG}, (BYTES,)),
    "append_new": Case(lambda t: t.append("new", BIG), {"new": BIG}),
    "mkdir": Case(lambda t: t.mkdir("new/er", parents=True), {}, (NAMES,)),
    "upload": Case(lambda t: t.upload("old", pieces(BIG)), {"old": BIG}),
    "copy": Case(lambda t: t.trees.copy("big", "old", overwrite=True), {"old": BIG}),
    "copy_tree": Case(lambda t: t.trees.copy("tree", "twin"), {"twin/in/big": BIG, "twin/a": b"a"}),
    "copy_link": Case(lambda t: t.trees.copy("link", "twin"), {"twin": b"old"}, (NAMES,)),
    "text_write": Case(lambda t: t.text.write("new", TEXT), {"new": TEXT.encode()}),
    "text_replace": Case(lambda t: t.text.replace("text", "one", "two"), {"text": TEXT.replace("one", "two").encode()}),
    "text_edit": Case(lambda t: t.text.edit("text", [Edit(old="one", new="1")]), {"text": b"1" + TEXT[3:].encode()}),
    "text_insert": Case(lambda t: t.text.insert("text", 1, "0"), {"text": b"0\n" + TEXT.encode()}),
    "patch": Case(lambda t: t.text.patch(PATCH), {"text": b"two\nthree\n" + TEXT[4:].encode(), "made": b"new\n"}),
    "tree": Case(lambda t: t.upload_tree("new", pieces(tar(("a/big", BIG)))), {"new/a/big": BIG}, (NAMES,)),
}


async def prepare(toolbox: LocalToolbox) -> None:
    await toolbox.write("old", b"old", mode=0o640)
    await toolbox.write("big", BIG)
    await toolbox.write("text", TEXT.encode())
    await toolbox.write("tree/in/big", BIG, parents=True)
    await toolbox.write("tree/a", b"a")
    link = Path(toolbox.files.root.path, "link")
    link.unlink(missing_ok=True)
    link.symlink_to("old")


@pytest.mark.parametrize(
    ("case", "way"),
    [pytest.param(case, way, id=f"{name}-{way.__name__}") for name, case in CASES.items() for way in case.ways],
)
async def test_a_call_on_a_full_disk(disk: Disk, toolbox: LocalToolbox, case: Case, way: Callable[..., None]) -> None:
    await tried(disk, toolbox, case, way)


@pytest.mark.parametrize("name", ["write", "replace", "append_new", "upload", "patch"])
async def test_where_every_file_has_a_name(disk: Disk, toolbox: LocalToolbox, name: str) -> None:
    """The system may have no files without one."""
    toolbox.files.unnamed = False
    for way in CASES[name].ways:
        await tried(disk, toolbox, CASES[name], way)
        await toolbox.delete("new")
        await toolbox.delete("made")


async def tried(disk: Disk, toolbox: LocalToolbox, case: Case, way: Callable[..., None]) -> None:
    await prepare(toolbox)
    before = lying(disk.path)
    way(disk)
    used = disk.used()
    for _ in range(2):
        await full(case.act(toolbox))
        assert disk.used() == used, "nothing else stays"
    assert lying(disk.path) == before
    disk.free()
    await case.act(toolbox)
    assert {path: (disk.path / path).read_bytes() for path in case.after} == case.after
    assert not [path for path in lying(disk.path) if "stead" in path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_used_up_quota_is_a_full_disk(number: int) -> None:
    error = confine.typed(OSError(number, os.strerror(number)), "f")
    assert (error.code, error.details, error.row.retry) == ("disk_full", {"path": "f"}, True)


async def test_a_toolbox_that_cannot_begin(disk: Disk, tmp_path: Path) -> None:
    (disk.path / "there").write_bytes(b"x")
    for way in (BYTES, NAMES):
        way(disk)
        with pytest.raises(SteadError) as caught:
            async with opened(tmp_path, disk.path / way.__name__):
                pass
        assert caught.value.code == "disk_full"
        disk.free()
    async with opened(tmp_path, disk.path / "run") as toolbox:
        assert (await toolbox.exec(["true"])).status.exit_code == 0


# --- several calls ---------------------------------------------------------------------------------------------------


async def test_an_upload_goes_on_when_there_is_room(disk: Disk, toolbox: LocalToolbox) -> None:
    await prepare(toolbox)
    before = lying(disk.path)
    asked: dict[str, Any] = {"partial": "one", "sha256": hashlib.sha256(BIG).hexdigest(), "size": len(BIG)}
    disk.fill(100_000)
    await full(toolbox.resume_upload("old", lambda start: pieces(BIG[start:]), **asked))
    kept = await toolbox.transfer.partial("one")
    assert 50_000 < kept.received < 100_000
    assert {path: found for path, found in lying(disk.path).items() if not path.startswith(".stead-partial")} == before
    await full(toolbox.resume_upload("old", lambda start: pieces(BIG[start:]), **asked))
    disk.free()
    starts: list[int] = []

    def rest(start: int) -> AsyncIterator[bytes]:
        starts.append(start)
        return pieces(BIG[start:])

    await toolbox.resume_upload("old", rest, **asked)
    assert starts[0] >= kept.received
    assert (disk.path / "old").read_bytes() == BIG
    assert lying(disk.path).keys() == before.keys(), "what was kept is gone"


async def test_an_upload_that_cannot_be_kept_leaves_nothing(disk: Disk, toolbox: LocalToolbox) -> None:
    await prepare(toolbox)
    for way in (BYTES, NAMES):
        way(disk)
        used = disk.used()
        await full(toolbox.resume_upload("old", lambda start: pieces(BIG[start:]), partial="one"))
        assert disk.used() == used
        disk.free()
    await toolbox.resume_upload("old", lambda start: pieces(BIG[start:]), partial="one")
    assert (disk.path / "old").read_bytes() == BIG


async def test_the_writer_of_a_kept_upload_goes_on_itself(disk: Disk, toolbox: LocalToolbox) -> None:
    """What came in part is part of the hash too."""
    writer = await toolbox.writer("new", partial="one", sha256=hashlib.sha256(BIG).hexdigest())
    disk.fill(100_000)
    with pytest.raises(SteadError):
        writer.write(BIG)
    disk.free()
    writer.write(BIG[writer.size :])
    writer.commit()
    assert (disk.path / "new").read_bytes() == BIG


async def test_a_chunk_comes_again_when_there_is_room(disk: Disk, toolbox: LocalToolbox) -> None:
    await prepare(toolbox)
    before = lying(disk.path)
    chunks = [BIG[start : start + CHUNK_BYTES] for start in range(0, len(BIG), CHUNK_BYTES)]
    disk.fill()
    used = disk.used()
    await toolbox.transfer.begin("one", "old", len(BIG), sha256=hashlib.sha256(BIG).hexdigest())
    await full(toolbox.transfer.chunk("one", 0, chunks[0]))
    disk.fill(CHUNK_BYTES // 2)
    await full(toolbox.transfer.chunk("one", 0, chunks[0]))
    assert (disk.used().bytes, lying(disk.path)) == (used.bytes, before)
    disk.free()
    for seq, chunk in enumerate(chunks):
        await toolbox.transfer.chunk("one", seq, chunk)
    await toolbox.transfer.end("one")
    assert (disk.path / "old").read_bytes() == BIG


async def test_the_files_of_a_tree_are_whole_or_not_there(disk: Disk, toolbox: LocalToolbox) -> None:
    await prepare(toolbox)
    archive = tar(("first", b"1"), ("in/old", BIG), ("last", b"2"))
    await toolbox.write("to/in/old", b"old", parents=True)
    disk.fill(100_000)
    await full(toolbox.upload_tree("to", pieces(archive)))
    assert {path: found[1] for path, found in lying(disk.path / "to").items()} == {
        "first": b"1",
        "in": b"",
        "in/old": b"old",
    }
    disk.free()
    await toolbox.upload_tree("to", pieces(archive))
    assert [(disk.path / "to" / name).read_bytes() for name in ("first", "in/old", "last")] == [b"1", BIG, b"2"]


async def test_from_another_disk_to_a_full_one(tmp_path: Path) -> None:
    """A move changes names alone and is refused; a copy is whole or not there."""
    root = tmp_path / "root"
    root.mkdir()
    with small_disk(root / "disk") as disk:
        async with opened(root, tmp_path / "run") as toolbox:
            await toolbox.write("tree/in/big", BIG, parents=True)
            await toolbox.write("disk/there", b"there")
            disk.fill(100_000)
            before, used = lying(root), disk.used()
            with pytest.raises(SteadError) as caught:
                await toolbox.move("tree", "disk/tree")
            assert caught.value.code == "conflict"
            await full(toolbox.trees.copy("tree", "disk/tree"))
            await full(toolbox.trees.copy("tree/in/big", "disk/there", overwrite=True))
            assert (lying(root), disk.used()) == (before, used)
            disk.free()
            await toolbox.trees.copy("tree", "disk/tree")
            assert (disk.path / "tree/in/big").read_bytes() == BIG


async def test_names_move_and_go_on_a_full_disk(disk: Disk, toolbox: LocalToolbox) -> None:
    await prepare(toolbox)
    disk.fill()
    disk.fill_names()
    await toolbox.move("old", "tree/older")
    assert (await toolbox.delete("tree", recursive=True)).existed
    await toolbox.write("big", BIG[:100_000])
