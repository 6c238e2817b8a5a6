"""What a program that is killed while it replaces a file leaves behind, the next one removes; and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.toolbox.confine import Root
from stead.toolbox.files import Files
from stead.toolbox.leftovers import NOTE_BYTES, NOTES, Leftovers

HIDDEN = ".stead-0123456789abcdef.part"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "files").mkdir()
    root = Root(tmp_path / "files")
    yield Files(root)
    root.close()


def test_notes_are_kept_until_they_are_struck_out_or_taken(tmp_path: Path) -> None:
    first = Leftovers(str(tmp_path / "notes"))
    assert first.take() == []
    first.strike(first.note("/a/one"))
    first.note("/a/t\udce9")
    first.strike(first.note("/a/a much longer one"))
    first.note("/a/two")
    second = Leftovers(str(tmp_path / "notes"))
    assert sorted(second.take()) == ["/a/two", "/a/t\udce9"]
    assert second.take() == []
    for each in (first, second):
        each.close()


def test_what_cannot_be_noted_is_not(tmp_path: Path) -> None:
    notes = Leftovers(str(tmp_path / "notes"))
    assert notes.note("x" * NOTE_BYTES) == -1
    assert len({notes.note(f"/{number}") for number in range(NOTES)}) == NOTES
    assert notes.note("/one more") == -1
    notes.close()
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "nowhere" / "notes", tmp_path):
        lost = Leftovers(str(place))
        assert lost.note("/x") == -1
        assert lost.take() == []
        lost.close()


def test_only_what_was_noted_and_is_hidden_goes(tmp_path: Path, files: Files) -> None:
    for name in ("kept", HIDDEN, ".stead-fedcba9876543210.part"):
        (tmp_path / "files" / name).touch()
    (tmp_path / HIDDEN).touch()
    notes = Leftovers(str(tmp_path / "notes"))
    for path in (
        f"{tmp_path}/files/{HIDDEN}",
        f"{tmp_path}/files/kept",
        f"{tmp_path}/{HIDDEN}",
        f"{tmp_path}/files/gone/{HIDDEN}",
    ):
        notes.note(path)
    notes.close()
    files.clear_up(str(tmp_path / "notes"))
    assert sorted(os.listdir(tmp_path / "files")) == [".stead-fedcba9876543210.part", "kept"]  # noqa: PTH208
    assert (tmp_path / HIDDEN).exists()
    files.close()


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_write_strikes_out_its_note(tmp_path: Path, files: Files, unnamed: bool) -> None:
    files.unnamed = files.unnamed and unnamed
    files.clear_up(str(tmp_path / "notes"))
    for content in (b"one", b"two"):
        files.write("file", content)
    with files.writer("file") as left:
        left.write(b"three")
    files.close()
    assert Leftovers(str(tmp_path / "notes")).take() == []
    assert os.listdir(tmp_path / "files") == ["file"]  # noqa: PTH208


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_what_is_under_way_is_noted(tmp_path: Path, files: Files) -> None:
    files.unnamed = False
    files.clear_up(str(tmp_path / "notes"))
    writer = files.writer("file")
    assert [Path(path).parent for path in Leftovers(str(tmp_path / "notes")).take()] == [tmp_path / "files"]
    writer.close()
    files.close()
