"""The copy of a tree as everybody may read it."""

import email
import os
import resource
import socket
from pathlib import Path

import pytest

from stead.drivers.process.mirror import mirror


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "file").write_text("deep")
    (source / "resolv.conf").write_text("one")
    (source / "program").write_text("run")
    (source / "program").chmod(0o755)
    (source / "link").symlink_to("../away")
    return source


def copied(source: Path, copy: Path) -> dict[str, str]:
    """What is in the copy, after a pass, and how it may be used."""
    looked: list[str] = []
    mirror(source, copy, looked.append)
    assert looked
    found = {}
    for path in sorted(copy.rglob("*")):
        name = str(path.relative_to(copy))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = f"{path.stat().st_mode & 0o777:o}"
        else:
            found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
    return found


USUAL = {
    "deep": "755",
    "deep/er": "755",
    "deep/er/file": "644 deep",
    "link": "-> ../away",
    "program": "755 run",
    "resolv.conf": "644 one",
}


def test_what_everybody_may_read_is_copied_and_nothing_else(source: Path, tmp_path: Path) -> None:
    secrets = [source / "shadow", source / "deep" / "key"]
    for secret in secrets:
        secret.write_text("secret")
        secret.chmod(0o640)
    for name, mode in ("private", 0o750), ("entered", 0o711), ("listed", 0o744):
        (source / name).mkdir()
        (source / name / "file").write_text("secret")
        (source / name).chmod(mode)
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
        assert copied(source, tmp_path / "copy") == USUAL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source"]


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    """The library's files are older than a second."""
    library = Path(email.__file__).parent
    copied_files = lambda: {path: path.stat().st_ino for path in (tmp_path / "copy").rglob("*.py")}  # noqa: E731
    mirror(library, tmp_path / "copy", str)
    before = copied_files()
    assert {path.name for path in before} >= {"__init__.py", "parser.py"}
    mirror(library, tmp_path / "copy", str)
    assert copied_files() == before


def test_every_change_is_seen_in_the_folders_that_are_there(source: Path, tmp_path: Path) -> None:
    copied(source, tmp_path / "copy")
    folders = [os.open(tmp_path / "copy" / name, os.O_PATH) for name in (".", "deep/er")]
    (source / "resolv.conf").write_text("two")
    (source / "new").write_text("three")
    (source / "new").replace(source / "deep" / "er" / "file")
    (source / "program").unlink()
    (source / "program").mkdir()
    (source / "link").unlink()
    (source / "link").write_text("a file")
    assert copied(source, tmp_path / "copy") == {
        "deep": "755",
        "deep/er": "755",
        "deep/er/file": "644 three",
        "link": "644 a file",
        "program": "755",
        "resolv.conf": "644 two",
    }
    for descriptor, name in zip(folders, ("resolv.conf", "file"), strict=True):
        assert Path(f"/proc/self/fd/{descriptor}/{name}").read_text() in {"two", "three"}
        os.close(descriptor)
    (source / "program").rmdir()
    (source / "program").symlink_to("link")
    (source / "link").unlink()
    (source / "link").mkdir()
    assert copied(source, tmp_path / "copy") == {
        "deep": "755",
        "deep/er": "755",
        "deep/er/file": "644 three",
        "link": "755",
        "program": "-> link",
        "resolv.conf": "644 two",
    }


def test_what_becomes_secret_goes(source: Path, tmp_path: Path) -> None:
    copied(source, tmp_path / "copy")
    (source / "resolv.conf").chmod(0o600)
    (source / "deep").chmod(0o700)
    assert copied(source, tmp_path / "copy") == {"link": "-> ../away", "program": "755 run"}


def test_what_lies_in_the_way_goes(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "resolv.conf" / "below").mkdir(parents=True)
    (copy / "deep").symlink_to(tmp_path)
    (copy / "link").mkdir()
    (copy / "alien").write_text("x")
    assert copied(source, copy) == USUAL


def test_a_source_that_is_not_there_is_empty(tmp_path: Path) -> None:
    mirror(tmp_path / "nothing", tmp_path / "copy", str)
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_copy_whose_folder_is_gone_is_not_made_elsewhere(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mirror(source, tmp_path / "gone" / "copy", str)
    assert not (tmp_path / "gone").exists()


def test_what_cannot_be_written_is_told_and_the_rest_is_done(source: Path, tmp_path: Path) -> None:
    """A file may have no more than a few bytes here, as on a full disk; a secret goes all the same."""
    (source / "zz-secret").write_text("s")
    copied(source, tmp_path / "copy")
    (source / "resolv.conf").write_text("x" * 5000)
    (source / "zz-secret").chmod(0o600)
    (source / "zz-small").write_text("small")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            mirror(source, tmp_path / "copy", str)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"deep", "link", "program", "resolv.conf", "zz-small"}
    assert (tmp_path / "copy" / "resolv.conf").read_text() == "one"
    mirror(source, tmp_path / "copy", str)
    assert len((tmp_path / "copy" / "resolv.conf").read_text()) == 5000
