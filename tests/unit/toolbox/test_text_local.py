"""Text files on a disk: changes at once, a full disk, files that others change, and nothing left behind."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.files import Files
from stead.toolbox.text import contract as t
from stead.toolbox.text.local import Texts
from support.disk import small_disk


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def texts(place: Path) -> Iterator[Texts]:
    root = Root(place)
    yield Texts(Files(root))
    root.close()


def inside(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def edit(path: str, old: str, new: str, **more: object) -> t.EditText:
    return t.EditText(path=path, edits=[t.Edit(old=old, new=new)], **more)  # type: ignore[arg-type]


def test_changes_at_once_lose_none(texts: Texts, place: Path) -> None:
    (place / "f").write_text("".join(f"<{number}>\n" for number in range(40)))
    threads = [
        threading.Thread(target=texts.edit, args=(edit("f", f"<{number}>", f"({number})"),)) for number in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place / "f").read_text() == "".join(f"({number})\n" for number in range(40))


def test_a_change_by_others_meanwhile_is_noticed(texts: Texts, place: Path) -> None:
    (place / "f").write_text("one\n")

    class Meddling(Files):
        def writer(self, path: str, **options: object):  # type: ignore[no-untyped-def]
            (place / "f").write_text("theirs\n")
            return super().writer(path, **options)  # type: ignore[arg-type]

    meddled = Texts(Meddling(Files(Root(place)).root))
    with pytest.raises(SteadError) as found:
        meddled.edit(edit("f", "one", "two"))
    assert found.value.code == "precondition_failed"
    assert (place / "f").read_text() == "theirs\n"
    assert inside(place) == ["f"]


def test_links_are_followed_inside_and_modes_kept(texts: Texts, place: Path) -> None:
    (place / "f").write_text("one\n")
    (place / "f").chmod(0o755)
    (place / "link").symlink_to("f")
    done = texts.edit(edit("link", "one", "two"))
    assert (place / "f").read_text() == "two\n"
    assert (place / "link").is_symlink()
    assert (place / "f").stat().st_mode & 0o777 == 0o755
    assert texts.read(t.ReadText(path="f")).etag == done.etag


def test_a_file_that_is_too_large_is_no_text(texts: Texts, place: Path) -> None:
    with (place / "f").open("wb") as file:
        file.truncate(t.TEXT_BYTES + 1)
    for work in (lambda: texts.read(t.ReadText(path="f")), lambda: texts.edit(edit("f", "a", "b"))):
        with pytest.raises(SteadError) as found:
            work()
        assert found.value.code == "too_large"
    with pytest.raises(SteadError) as found:
        texts.write(t.WriteText(path="g", content="x" * (1 << 20) + "y"))
    assert found.value.code == "too_large"


def test_a_line_that_no_answer_carries_is_cut_and_told(texts: Texts, place: Path) -> None:
    (place / "f").write_text("\x01" * 400_000 + "\nnext\n")
    found = texts.read(t.ReadText(path="f"))
    assert found.truncated
    assert (found.first, found.last, found.total_lines) == (1, 1, 2)
    assert 0 < len(found.content) < 400_000
    assert texts.read(t.ReadText(path="f", first=2)).content == "next\n"


def test_a_file_that_grows_while_it_is_read_ends(texts: Texts, place: Path) -> None:
    (place / "f").write_text("x\n")
    stop = threading.Event()

    def grow() -> None:
        with (place / "f").open("a") as file:
            while not stop.is_set():
                file.write("more\n" * 1000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(20):
            assert texts.read(t.ReadText(path="f", last=1)).content == "x\n"
    except SteadError as error:
        assert error.code == "too_large"
    finally:
        stop.set()
        thread.join()


def test_special_files_are_refused_at_once(texts: Texts, place: Path) -> None:
    os.mkfifo(place / "pipe")
    for work in (
        lambda: texts.read(t.ReadText(path="pipe")),
        lambda: texts.write(t.WriteText(path="pipe", content="x")),
    ):
        with pytest.raises(SteadError) as found:
            work()
        assert found.value.code == "not_file"


def test_write_keeps_what_the_file_was(texts: Texts, place: Path) -> None:
    (place / "f").write_bytes(b"\xff\xfea\0\r\0\n\0")
    done = texts.write(t.WriteText(path="f", content="b\nc\n"))
    assert (place / "f").read_bytes() == b"\xff\xfeb\0\r\0\n\0c\0\r\0\n\0"
    assert (done.encoding, done.newline, done.lines_added, done.lines_removed) == ("utf-16-le", "crlf", 2, 1)
    texts.write(t.WriteText(path="f", content="b\nc\n", encoding=t.Encoding.UTF8, newline=t.Newline.LF))
    assert (place / "f").read_bytes() == b"b\nc\n"
    with pytest.raises(SteadError) as found:
        texts.write(t.WriteText(path="f", content="x", exclusive=True))
    assert found.value.code == "already_exists"
    made = texts.write(t.WriteText(path="d/new", content="x\r\ny", parents=True))
    assert made.created
    assert (place / "d/new").read_bytes() == b"x\r\ny"


def test_a_patch_that_cannot_be_written_is_taken_back(texts: Texts, place: Path) -> None:
    (place / "a").write_text("1\n")
    (place / "d").write_text("in the way\n")
    diff = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-1\n+2\n--- /dev/null\n+++ b/d/new\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(SteadError) as found:
        texts.patch(t.PatchText(diff=diff))
    assert found.value.code == "not_directory"
    assert (place / "a").read_text() == "1\n"
    assert inside(place) == ["a", "d"]


@pytest.mark.parametrize("names", ["--- a/f.orig\n+++ b/f\n", "--- a/f\n+++ b/f.orig\n"])
@pytest.mark.parametrize("both", [True, False])
def test_two_names_and_no_rename_are_one_file(texts: Texts, place: Path, names: str, both: bool) -> None:
    """As `diff -u f.orig f` writes them: the plainer one that is there is changed, and none goes."""
    (place / "f.orig").write_text("1\n")
    if both:
        (place / "f").write_text("1\n")
    done = texts.patch(t.PatchText(diff=f"{names}@@ -1 +1 @@\n-1\n+2\n"))
    changed = "f" if both else "f.orig"
    assert [(file.path, file.change.value, file.source) for file in done.files] == [(changed, "modified", "")]
    assert (place / changed).read_text() == "2\n"
    assert inside(place) == (["f", "f.orig"] if both else ["f.orig"])


def test_a_name_that_is_no_text_is_a_path_that_is_none(texts: Texts) -> None:
    with pytest.raises(SteadError) as found:
        texts.patch(t.PatchText(diff='diff --git "a/\ud800" "b/\ud800"\nold mode 100644\nnew mode 100755\n'))
    assert found.value.code in {"path_invalid", "not_found"}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk:
        (disk.path / "f").write_text("one\n" + "x" * 700_000)
        root = Root(disk.path)
        with pytest.raises(SteadError) as found:
            Texts(Files(root)).edit(edit("f", "one", "two"))
        root.close()
        assert found.value.code == "disk_full"
        assert (disk.path / "f").read_text().startswith("one\n")
        assert inside(disk.path) == ["f"]
