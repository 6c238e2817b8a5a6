"""The copies of /etc are followed: told at once, found before a start, and without inotify too."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.drivers.process.etc import Etc
from support.deadline import eventually


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "etc"
    (source / "below").mkdir(parents=True)
    (source / "hosts").write_text("one")
    return source


@pytest.fixture
def copies(tmp_path: Path, source: Path) -> Iterator[Etc]:
    copies = Etc(tmp_path / "machine", (source, tmp_path / "run"), untold_seconds=0.05)
    yield copies
    copies.close()


def replace(path: Path, content: str) -> None:
    path.with_name("new").write_text(content)
    path.with_name("new").replace(path)


def test_before_a_start_all_is_as_it_is_now(copies: Etc, source: Path, tmp_path: Path) -> None:
    copies.get_fresh()
    assert list(copies.mounts) == [source]
    shown = copies.mounts[source]
    assert (shown / "hosts").read_text() == "one"
    replace(source / "hosts", "two")
    (source / "below" / "further").mkdir()
    copies.get_fresh()
    assert (shown / "hosts").read_text() == "two"
    (source / "below" / "further" / "file").write_text("three")
    copies.get_fresh()
    assert (shown / "below" / "further" / "file").read_text() == "three"
    (source / "hosts").chmod(0o600)
    copies.get_fresh()
    assert not (shown / "hosts").exists()
    (tmp_path / "run").mkdir()
    assert set(copies.mounts) == {source, tmp_path / "run"}


def test_where_nothing_changed_nothing_is_looked_at(copies: Etc, source: Path) -> None:
    """The copy is not compared again: it would be repaired."""
    copies.get_fresh()
    (copies.mounts[source] / "hosts").unlink()
    copies.get_fresh()
    assert not (copies.mounts[source] / "hosts").exists()


def test_workspaces_that_run_see_changes(copies: Etc, source: Path) -> None:
    copies.keep()
    copies.keep()
    shown = copies.mounts[source] / "hosts"
    eventually(lambda: shown.exists() and shown.read_text() == "one", "it is copied")
    with (source / "hosts").open("a") as file:
        file.write(" and more")
    eventually(lambda: shown.read_text() == "one and more", "a change in place is seen")
    replace(source / "hosts", "two")
    eventually(lambda: shown.read_text() == "two", "a new file is seen")
    (source / "hosts").chmod(0o640)
    eventually(lambda: not shown.exists(), "a secret goes")


def test_without_inotify_all_is_looked_at_before_each_start_and_now_and_then(copies: Etc, source: Path) -> None:
    copies._changes.close()
    copies.get_fresh()
    shown = copies.mounts[source] / "hosts"
    (source / "hosts").write_text("two")
    copies.get_fresh()
    assert shown.read_text() == "two"
    copies.keep()
    (source / "hosts").write_text("three")
    eventually(lambda: shown.read_text() == "three", "it is looked at")


def test_what_cannot_be_written_is_an_error_and_tried_again(copies: Etc, source: Path) -> None:
    copies.get_fresh()
    (source / "hosts").write_text("x" * 5000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="too large"):
                copies.get_fresh()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    copies.get_fresh()
    assert len((copies.mounts[source] / "hosts").read_text()) == 5000


def test_it_ends_also_twice_and_before_it_began(tmp_path: Path, source: Path) -> None:
    copies = Etc(tmp_path / "machine", (source,))
    copies.keep()
    thread = copies._thread
    assert thread is not None
    copies.close()
    copies.close()
    assert not thread.is_alive()
    Etc(tmp_path / "machine", (source,)).close()
