"""What a start finds in the directories of a workspace, whatever its programs have done to them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from stead.drivers.process.layout import JOURNAL_BYTES, Layout, Place
from stead.model import ids
from stead.toolbox.holding.shelf import Shelf


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace that has run an exec."""
    found = Layout(tmp_path).place(ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10)))
    found.make()
    shelf = Shelf(str(found.run / "execs"))
    assert shelf.claim("ex_a", {"exec_id": "ex_a", "state": "running", "started": 1.0})
    shelf.close()
    return found


def _pipe(execs: Path) -> None:
    (execs / "journal").unlink()
    os.mkfifo(execs / "journal")


def _link(execs: Path) -> None:
    (execs / "journal").unlink()
    (execs / "journal").symlink_to("/dev/zero")


def _directory(execs: Path) -> None:
    (execs / "journal").unlink()
    (execs / "journal" / "inner").mkdir(parents=True)


def _huge(execs: Path) -> None:
    os.truncate(execs / "journal", JOURNAL_BYTES + 1)


def _elsewhere(execs: Path) -> None:
    execs.rename(execs.with_name("moved"))
    execs.symlink_to("/proc")


def _file(execs: Path) -> None:
    execs.rename(execs.with_name("moved"))
    execs.write_bytes(b"")


def _closed(execs: Path) -> None:
    (execs / "journal").chmod(0)
    for directory in (execs, execs.parent, execs.parent.parent / "home"):
        directory.chmod(0)


@pytest.mark.parametrize("spoil", [_pipe, _link, _directory, _huge, _elsewhere, _file, _closed])
def test_no_program_keeps_its_workspace_from_starting_again(place: Place, spoil: Callable[[Path], None]) -> None:
    spoil(place.run / "execs")
    place.clear_run()
    shelf = Shelf(str(place.run / "execs"))
    assert shelf.claim("ex_b", {"exec_id": "ex_b", "state": "running", "started": 2.0})
    shelf.close()
    for directory in (place.home, place.run, place.run / "execs"):
        assert stat.S_IMODE(directory.stat().st_mode) & stat.S_IRWXU == stat.S_IRWXU


def test_a_journal_as_a_holder_wrote_it_stays(place: Place) -> None:
    place.clear_run()
    shelf = Shelf(str(place.run / "execs"))
    assert [status["exec_id"] for status in shelf.kept()] == ["ex_a"]
    shelf.close()
