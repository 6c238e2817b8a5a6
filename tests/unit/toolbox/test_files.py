"""Files: what the behaviours do not reach. Both ways to write: a file without a name, and a hidden one."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.files import LIST_DEPTH, Files
from stead.toolbox.trees.walk import Choice, walk
from support.disk import small_disk


@pytest.fixture(params=[True, False], ids=["unnamed", "hidden"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    root = Root(tmp_path)
    yield Files(root, unnamed=request.param)
    root.close()


def _names(tmp_path: Path) -> list[str]:
    return sorted(entry.name for entry in tmp_path.iterdir())


def test_a_writer_that_is_left_leaves_nothing(files: Files, tmp_path: Path) -> None:
    with files.writer("f") as writer:
        writer.write(b"x" * 100_000)
    assert _names(tmp_path) == []
    (tmp_path / "f").write_bytes(b"old")
    with files.writer("f") as writer:
        writer.write(b"new")
    assert _names(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_readers_see_the_old_or_the_new(files: Files, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with files.writer("f") as writer:
        writer.write(b"new")
        assert (tmp_path / "f").read_bytes() == b"old"
        reader = files.reader("f")
        writer.commit()
    assert reader.next() == b"old"
    reader.close()
    assert (tmp_path / "f").read_bytes() == b"new"
    assert _names(tmp_path) == ["f"]


def test_exclusive_loses_the_race(files: Files, tmp_path: Path) -> None:
    with files.writer("f", exclusive=True) as writer:
        writer.write(b"mine")
        (tmp_path / "f").write_bytes(b"theirs")
        with pytest.raises(SteadError) as found:
            writer.commit()
    assert found.value.code == "already_exists"
    assert (tmp_path / "f").read_bytes() == b"theirs"
    assert _names(tmp_path) == ["f"]


@pytest.mark.parametrize(
    "options", [{"size": -1}, {"mode": 0o10000}, {"mode": -1}, {"sha256": "x"}, {"sha256": "g" * 64}]
)
def test_bad_options_of_a_write(files: Files, options: dict[str, int]) -> None:
    with pytest.raises(SteadError) as found:
        files.writer("f", **options)  # type: ignore[arg-type]
    assert found.value.code == "invalid"


def test_an_append_is_no_larger_than_a_call(files: Files, tmp_path: Path) -> None:
    with pytest.raises(SteadError) as found:
        files.append("f", b"x" * (CALL_BYTES + 1))
    assert found.value.code == "too_large"
    assert _names(tmp_path) == []
    files.append("f", b"x" * CALL_BYTES)


def test_a_file_that_grows_is_read_to_its_size_at_opening(files: Files, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    reader = files.reader("f")
    with (tmp_path / "f").open("ab") as file:
        file.write(b"67890")
    assert reader.next() == b"12345"
    assert reader.next() == b""
    reader.close()


def test_a_file_that_shrinks_ends_early(files: Files, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1234567890")
    reader = files.reader("f")
    os.truncate(tmp_path / "f", 4)
    assert reader.next(3) + reader.next() == b"1234"
    assert reader.next() == b""
    assert reader.ready() == b""
    reader.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_file_of_the_system_that_says_it_is_empty(files: Files) -> None:
    root = Root("/proc")
    reader = Files(root).reader("self/status")
    assert reader.next().startswith(b"Name:")
    reader.close()
    root.close()


def test_what_is_in_memory_comes_without_waiting(files: Files, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "f").write_bytes(content)
    reader = files.reader("f", 10, 200_000)
    got = b""
    while piece := reader.ready(65_536) or reader.next(65_536):
        got += piece
    assert got == content[10:200_010]
    reader.close()


def test_a_tree_deeper_than_paths_reach_is_deleted(files: Files, tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("deep", dir_fd=top)
    here = os.open("deep", os.O_RDONLY, dir_fd=top)
    for _ in range(800):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    os.close(top)
    assert files.delete("deep", recursive=True).existed
    assert _names(tmp_path) == []


def test_what_others_put_in_meanwhile_is_deleted_too(files: Files, tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)

    def put() -> None:
        with contextlib.suppress(FileNotFoundError):
            for number in range(20_000):
                (tmp_path / "d/sub" / str(number)).touch()

    thread = threading.Thread(target=put)
    thread.start()
    try:
        assert files.delete("d", recursive=True).existed
    finally:
        thread.join()
    assert _names(tmp_path) == []


def test_deleting_does_not_follow_links(files: Files, tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "f").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("../keep")
    files.delete("d", recursive=True)
    assert _names(tmp_path) == ["keep"]
    assert (tmp_path / "keep" / "f").exists()


def test_a_listing_is_bounded(files: Files, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"f{number:03}").touch()
    listing = files.list(".", 1, 100)
    assert [entry.path for entry in listing.entries] == [f"f{number:03}" for number in range(100)]
    assert listing.truncated
    assert not files.list(".", 1, 300).truncated
    for depth, limit in ((0, 10), (LIST_DEPTH + 1, 10), (1, 0), (1, 1 << 40)):
        with pytest.raises(SteadError) as found:
            files.list(".", depth, limit)
        assert found.value.code == "invalid"


def test_names_that_are_not_text_are_shown(files: Files, tmp_path: Path) -> None:
    try:
        (tmp_path / "\udcff\udcfe").touch()
    except OSError as error:
        pytest.skip(f"the file system takes no such name: {error.strerror}")
    assert [entry.path for entry in files.list().entries] == ["\ufffd\ufffd"] or _names(tmp_path) != ["\udcff\udcfe"]


@contextlib.contextmanager
def _without_the_rights_of_root() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(12345)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_whose_names_alone_may_be_read_is_told_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / "top/closed/in").mkdir(parents=True)
    (tmp_path / "top/z").touch()
    root = Root(tmp_path / "top")
    choice = Choice()
    (tmp_path / "top/closed").chmod(0o444)
    try:
        with _without_the_rights_of_root():
            listed = [entry.path for entry in Files(root).list(".", 3).entries]
            walked = [entry.path for entry in walk(root, ".", choice)]
    finally:
        (tmp_path / "top/closed").chmod(0o755)
        root.close()
    assert listed == walked == ["closed", "z"]
    assert choice.unread == ["closed"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_is_replaced_keeps_its_owner(files: Files, tmp_path: Path) -> None:
    place = tmp_path / "f"
    place.write_text("old")
    os.chown(place, 12345, 54321)
    place.chmod(0o640)
    assert files.write("f", b"new").size == 3
    found = place.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12345, 54321, 0o640)
    files.write("f", b"newer", mode=0o600)
    assert (place.stat().st_uid, place.stat().st_mode & 0o7777) == (0, 0o600), "whoever names a mode names whose it is"


def test_what_is_replaced_keeps_no_rights_of_others(files: Files, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(0o6755)
    files.write("f", b"new")
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o755


def test_what_may_not_be_read(files: Files, tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may do everything")
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(0)
    with pytest.raises(SteadError) as found:
        files.read("f")
    assert found.value.code == "permission_denied"


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_full_disk(tmp_path: Path, unnamed: bool) -> None:
    with small_disk(tmp_path / "disk") as disk:
        _fill_with_files(disk.path, unnamed)


def _fill_with_files(tiny: Path, unnamed: bool) -> None:
    root = Root(tiny)
    files = Files(root, unnamed=unnamed)
    files.write("old", b"old")
    with files.writer("old") as writer, pytest.raises(SteadError) as found:
        for _ in range(100):
            writer.write(b"x" * 100_000)
    assert found.value.code == "disk_full"
    with pytest.raises(SteadError) as found:
        for _ in range(100):
            files.append("log", b"y" * 100_000)
    assert found.value.code == "disk_full"
    assert (tiny / "log").stat().st_size % 100_000 == 0
    assert (tiny / "old").read_bytes() == b"old"
    assert _names(tiny) == ["log", "old"]
    files.delete("log")
    files.write("old", b"new")
    root.close()
