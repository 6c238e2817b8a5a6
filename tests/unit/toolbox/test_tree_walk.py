"""Through trees and copying them: what cannot be read, what changes underneath, what is too deep, what is cancelled."""

import gc
import io
import os
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.files import Files
from stead.toolbox.trees import contract as t
from stead.toolbox.trees import slices
from stead.toolbox.trees.copying import copy
from stead.toolbox.trees.here import Here
from stead.toolbox.trees.local import LIST_BYTES
from stead.toolbox.trees.pack import Packer
from stead.toolbox.trees.walk import LEVELS, PATTERNS, PATTERNS_BYTES, Choice, walk

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "root").mkdir()
    found = Here(tmp_path / "root")
    yield found
    found.close()


def names(root: Root, path: str = ".", after: str = "", **choice: object) -> list[str]:
    return [entry.path for entry in walk(root, path, Choice(**choice), after)]  # type: ignore[arg-type]


def open_files() -> int:
    """What earlier tests left to the collector does not count."""
    gc.collect()
    return len(list(Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir()))


def inside(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def test_every_cursor_goes_on_where_it_was(here: Here, tmp_path: Path) -> None:
    for raw in (b"a/b/c", b"a/b-", b"a.d", b"b/\xe9/x", b"b/\xe4", b"b/%41", b"c"):
        path = tmp_path / "root" / os.fsdecode(raw)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    root = here.place.root
    whole = [*walk(root, ".", Choice())]
    assert [entry.path for entry in whole] == sorted(
        (entry.path for entry in whole), key=lambda p: os.fsencode(p).split(b"/")
    )
    for number, entry in enumerate(whole):
        rest = [other.path for other in walk(root, ".", Choice(), entry.cursor)]
        assert rest == [other.path for other in whole[number + 1 :]]


async def test_a_page_is_no_larger_than_an_answer(here: Here, tmp_path: Path) -> None:
    """However long the way to the directory is, and whatever the names and the links are."""
    deep = "/".join("d" * 250 for _ in range(4))
    root = tmp_path / "root" / deep
    root.mkdir(parents=True)
    for number in range(2000):
        (root / ("\x01" * 40 + str(number))).symlink_to("\x02" * 100)
    found: list[str] = []
    after = ""
    while True:
        page = await here.trees.list(deep, after=after)
        assert len(msgspec.json.encode(page)) < LIST_BYTES + (1 << 16)
        found += [entry.path for entry in page.entries]
        after = page.cursor
        if not page.truncated:
            break
    assert len(found) == len(set(found)) == 2000


async def test_what_is_gone_or_new_between_two_pages(here: Here, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in "abcd":
        (root / name).mkdir()
        (root / name / "f").touch()
    page = await here.trees.list(limit=3)
    assert [entry.path for entry in page.entries] == ["a", "a/f", "b"]
    for path in ("b/f", "c/f"):
        (root / path).unlink()
    (root / "b").rmdir()
    (root / "bb").touch()
    (root / "aa").touch()
    rest = await here.trees.list(after=page.cursor)
    assert [entry.path for entry in rest.entries] == ["bb", "c", "d", "d/f"]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
async def test_closed_directories_are_named(here: Here, tmp_path: Path) -> None:
    (tmp_path / "root/closed").mkdir(mode=0)
    tree = await here.trees.list()
    assert ([entry.path for entry in tree.entries], tree.unread) == (["closed"], ["closed"])
    (tmp_path / "root/closed").chmod(0o700)


async def test_a_deep_tree_is_refused_and_nothing_stays_open(here: Here, tmp_path: Path) -> None:
    (tmp_path / "root" / "/".join("d" * (LEVELS + 5))).mkdir(parents=True)
    before = open_files()
    with pytest.raises(SteadError) as found:
        await here.trees.list()
    assert found.value.code == "too_large"
    assert len((await here.trees.list(depth=10)).entries) == 10
    assert open_files() <= before


async def test_a_listing_that_is_left_early_closes_everything(here: Here, tmp_path: Path) -> None:
    (tmp_path / "root/a/b/c").mkdir(parents=True)
    before = open_files()
    entries = walk(here.place.root, ".", Choice(ignore=True))
    assert next(entries).path == "a"
    assert next(entries).path == "a/b"
    entries.close()
    assert open_files() <= before


async def test_rules_count_from_the_top_of_the_repository_only(here: Here, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path in ("repo/.git/info", "repo/sub/inner"):
        (root / path).mkdir(parents=True)
    (root / ".gitignore").write_text("*\n")
    (root / "repo/.gitignore").write_text("/sub/inner/x\n")
    (root / "repo/.git/info/exclude").write_text("y\n")
    for name in "xyz":
        (root / "repo/sub/inner" / name).touch()
    assert names(here.place.root, "repo/sub/inner", ignore=True) == ["z"]
    assert names(here.place.root, "repo", ignore=True) == [".gitignore", "sub", "sub/inner", "sub/inner/z"]
    (root / "repo/sub/.gitignore").symlink_to("../.gitignore")
    assert "sub/inner/z" in names(here.place.root, "repo", ignore=True), "git follows no such link"
    judged = await here.trees.ignored("repo/sub", ["inner/x", "inner/z", "y/", "new/y", ".git/"])
    assert judged.names == ["inner/x", "y/", "new/y", ".git/"]


async def test_a_cancelled_copy_leaves_nothing(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    (root / "many").mkdir()
    for number in range(200):
        (root / "many" / f"f{number}").write_bytes(b"x" * 20_000)
    steps = copy(here.place.files, t.Copy(source="many", target="other"))
    for _ in range(5):
        next(steps)
    assert [name for name in inside(root) if name.endswith(".part")], "it is under way"
    steps.close()
    assert inside(root) == ["many"]
    with anyio.CancelScope() as scope:
        scope.cancel()
        await slices.driven(here.place, copy(here.place.files, t.Copy(source="many", target="other")))
    assert inside(root) == ["many"]


async def test_what_a_killed_copy_left_is_cleared_up(here: Here, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x" * 300_000)
    (root / "d/g").write_bytes(b"x" * 300_000)
    files = here.place.files
    files.clear_up(str(tmp_path / "notes"))
    steps = copy(files, t.Copy(source="d", target="e"))
    next(steps)
    assert len(inside(root)) == 2
    (tmp_path / "notes").rename(tmp_path / "kept")
    later = Files(Root(root))
    later.clear_up(str(tmp_path / "kept"))
    assert inside(root) == ["d"]
    steps.close()
    later.close()
    later.root.close()


async def test_copies_through_links_do_not_go_in_circles(here: Here, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d/in").mkdir(parents=True)
    (root / "to").symlink_to("d/in")
    for target in ("d/in/x", "to/x", "d/x"):
        with pytest.raises(SteadError) as found:
            await here.trees.copy("d", target)
        assert found.value.code == "path_invalid"
    assert sorted(path.name for path in root.rglob("*")) == ["d", "in", "to"]


async def test_holes_and_hard_links_are_copied_as_such(here: Here, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir()
    with (root / "d/sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"x")
    (root / "d/one").write_text("x")
    (root / "d/two").hardlink_to(root / "d/one")
    (root / "d/out").symlink_to("/etc")
    done = await here.trees.copy("d", "e")
    assert (done.files, done.links) == (3, 1)
    assert (root / "e/one").samefile(root / "e/two")
    assert (root / "e/out").readlink() == Path("/etc")
    assert (root / "e/sparse").stat().st_size == 64 << 20
    assert (root / "e/sparse").stat().st_blocks * 512 < 1 << 20


async def test_a_copy_has_no_rights_of_others(here: Here, tmp_path: Path) -> None:
    (tmp_path / "root/f").touch()
    (tmp_path / "root/f").chmod(0o6751)
    await here.trees.copy("f", "g")
    assert (tmp_path / "root/g").stat().st_mode & 0o7777 == 0o751


async def test_patterns_are_bounded(here: Here) -> None:
    for patterns in (["x"] * (PATTERNS + 1), ["x" * PATTERNS_BYTES, "y"]):
        with pytest.raises(SteadError) as found:
            await here.trees.list(include=patterns)
        assert found.value.code == "invalid"
    with pytest.raises(SteadError) as found:
        await here.trees.fingerprints(["x"] * 10_001)
    assert found.value.code == "too_large"


def test_an_archive_that_lacks_something_is_read_by_others_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    packer = Packer(Root(tmp_path), ".", Choice())
    archive = b""
    while piece := packer.next():
        archive += piece
    packer.close()
    assert packer.left_out == ["pipe"]
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        assert set(found.getnames()) == {".", "file"}
