"""Text files: by lines, edited exactly, with encoding and line ends kept."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import check, expect, refused
from stead.toolbox.contract import Toolbox
from stead.toolbox.text.contract import Edit, Encoding, Newline


@check
async def replace_text(toolbox: Toolbox, place: str) -> None:
    """Exactly once; what is added and removed is told; each refusal has its code and changes nothing."""
    path = f"{place}/f.py"
    await toolbox.write(path, b"def one():\n    return 1\n\n\ndef two():\n    return 1\n", mode=0o640)
    done = await toolbox.text.replace(path, "def one():\n    return 1", "def one():\n    # first\n    return 11")
    expect((done.lines_added, done.lines_removed, done.replaced, done.total_lines) == (2, 1, 1, 7), f"said {done}")
    before = (await toolbox.read(path)).content
    expect(before.startswith(b"def one():\n    # first\n    return 11\n"), f"became {before!r}")
    expect((await toolbox.stat(path)).mode == 0o640, "the mode is another")
    await refused("text_not_found", toolbox.text.replace(path, "def three", "x"))
    error = await refused("text_not_unique", toolbox.text.replace(path, "    return 1", "x"))
    expect(error.details["count"] == 2 and error.details["lines"] == [3, 7], f"details {error.details}")
    await refused("empty_old_string", toolbox.text.replace(path, "", "x"))
    await refused("identical_strings", toolbox.text.replace(path, "def", "def"))
    await refused("not_found", toolbox.text.replace(f"{place}/nothing", "a", "b"))
    await refused("is_directory", toolbox.text.replace(place, "a", "b"))
    await refused("path_outside", toolbox.text.replace("../x", "a", "b"))
    expect((await toolbox.read(path)).content == before, "a refused replacement changed the file")
    done = await toolbox.text.replace(path, "return", "yield", every=True)
    expect(done.replaced == 2 and done.lines_added == done.lines_removed == 2, f"said {done}")


@check
async def text_edits_are_all_or_none(toolbox: Toolbox, place: str) -> None:
    """Each on what the one before made; a refusal names the edit, and nothing is changed."""
    path = f"{place}/f"
    await toolbox.write(path, b"a\nb\nc\n")
    done = await toolbox.text.edit(path, [Edit(old="a", new="x"), Edit(old="x\nb", new="y")])
    expect((await toolbox.read(path)).content == b"y\nc\n", "other content")
    expect((done.lines_added, done.lines_removed, done.replaced) == (1, 2, 2), f"said {done}")
    error = await refused("text_not_found", toolbox.text.edit(path, [Edit(old="y", new="z"), Edit(old="y", new="w")]))
    expect(error.details["edit"] == 1, f"details {error.details}")
    expect((await toolbox.read(path)).content == b"y\nc\n", "half of the edits were made")
    await refused("invalid", toolbox.text.edit(path, []))


@check
async def text_on_a_stale_view(toolbox: Toolbox, place: str) -> None:
    """Who knows an older version is refused; who knows this one is not."""
    path = f"{place}/f"
    first = await toolbox.text.write(path, "one\n")
    expect(first.created and first.lines_added == 1 and first.etag, f"said {first}")
    await toolbox.write(path, b"two\n")
    await refused("precondition_failed", toolbox.text.replace(path, "two", "three", etag=first.etag))
    await refused("precondition_failed", toolbox.text.write(path, "three\n", etag=first.etag))
    await refused("precondition_failed", toolbox.text.insert(path, 1, "three", etag=first.etag))
    now = await toolbox.text.read(path)
    done = await toolbox.text.replace(path, "two", "three", etag=now.etag)
    expect(done.etag != now.etag and (await toolbox.text.read(path)).etag == done.etag, "the mark is not the file's")
    await refused("precondition_failed", toolbox.text.write(f"{place}/new", "x", etag=now.etag))


@check
async def text_keeps_encoding_and_newlines(toolbox: Toolbox, place: str) -> None:
    """UTF-8 with and without mark, UTF-16 both ways, CRLF, mixed ends, no end of the last line."""
    path = f"{place}/f"
    for encoding in (Encoding.UTF8, Encoding.UTF8_MARK, Encoding.UTF16_LE, Encoding.UTF16_BE):
        for text in ("\u00e4\r\n\U0001f600 two\r\nend", "\u00e4\n\U0001f600 two\nend\n"):
            await toolbox.delete(path)
            await toolbox.text.write(path, text, encoding=encoding)
            raw = (await toolbox.read(path)).content
            found = await toolbox.text.read(path)
            expect(found.encoding is encoding and found.content == text.replace("\r\n", "\n"), f"read {found}")
            await toolbox.text.replace(path, "two\nend", "2\nEND")
            await toolbox.text.replace(path, "2\nEND", "two\nend")
            expect((await toolbox.read(path)).content == raw, f"{encoding} was not kept")
    await toolbox.write(path, b"a\r\nb\nc\r\nd")
    found = await toolbox.text.read(path)
    expect(found.newline is Newline.MIXED and not found.final_newline and found.total_lines == 4, f"read {found}")
    await toolbox.text.replace(path, "b\nc", "B\nC")
    expect((await toolbox.read(path)).content == b"a\r\nB\nC\r\nd", "mixed ends were not kept")


@check
async def text_of_a_new_file(toolbox: Toolbox, place: str) -> None:
    """Parents are made when asked, lines end as was asked, and what is there is not overwritten by who wants a new one."""
    path = f"{place}/a/b"
    await refused("not_found", toolbox.text.write(path, "x"))
    written = await toolbox.text.write(path, "one\ntwo\n", parents=True, newline="crlf", exclusive=True)
    expect((written.created, written.lines_added, written.total_lines) == (True, 2, 2), f"said {written}")
    expect((written.path, written.size, written.newline) == (path, 10, Newline.CRLF), f"said {written}")
    expect((await toolbox.read(path)).content == b"one\r\ntwo\r\n", "the lines end otherwise")
    await refused("already_exists", toolbox.text.write(path, "x", exclusive=True))
    await toolbox.text.write(path, "\u00e4\n", encoding="latin-1")
    expect((await toolbox.read(path)).content == b"\xe4\r\n", "other bytes are there")
    found = await toolbox.text.read(path, encoding="latin-1")
    expect(found.content == "\u00e4\n" and found.newline is Newline.CRLF, f"read {found}")


@check
async def text_by_lines(toolbox: Toolbox, place: str) -> None:
    """Which lines came, how many there are, and nothing beyond the end."""
    path = f"{place}/f"
    await toolbox.write(path, b"".join(b"line %d\n" % number for number in range(1, 101)))
    found = await toolbox.text.read(path, 10, 12)
    expect(found.content == "line 10\nline 11\nline 12\n", f"read {found}")
    expect((found.first, found.last, found.total_lines, found.truncated) == (10, 12, 100, False), f"read {found}")
    end = await toolbox.text.read(path, 99)
    expect(end.content == "line 99\nline 100\n" and end.last == 100, f"read {end}")
    beyond = await toolbox.text.read(path, 200, 300)
    expect(beyond.content == "" and beyond.last < beyond.first and beyond.total_lines == 100, f"read {beyond}")
    await refused("invalid", toolbox.text.read(path, 0))
    await refused("invalid", toolbox.text.read(path, 5, 4))
    await toolbox.write(path, b"x" * 99 + b"\n", exclusive=False)
    for _ in range(5):
        await toolbox.append(path, (b"y" * 99 + b"\n") * 10_000)
    cut = await toolbox.text.read(path)
    expect(cut.truncated and cut.total_lines == 50_001 and cut.content.count("\n") == cut.last, "not cut at a line")
    rest = await toolbox.text.read(path, cut.last + 1, cut.last + 1)
    expect(rest.content == "y" * 99 + "\n" and not rest.truncated, f"read {rest}")


@check
async def text_inserted_by_line(toolbox: Toolbox, place: str) -> None:
    """Before a line, at the end, into nothing; a last line without an end stays so."""
    path = f"{place}/f"
    await toolbox.write(path, b"one\nthree")
    done = await toolbox.text.insert(path, 2, "two")
    expect((done.lines_added, done.lines_removed, done.total_lines) == (1, 0, 3), f"said {done}")
    await toolbox.text.insert(path, 4, "four\n")
    expect((await toolbox.read(path)).content == b"one\ntwo\nthree\nfour", "other content")
    await refused("invalid", toolbox.text.insert(path, 9, "x"))
    await refused("invalid", toolbox.text.insert(path, 0, "x"))


@check
async def binary_is_not_text(toolbox: Toolbox, place: str) -> None:
    """It is refused, and stays as it was."""
    path = f"{place}/f"
    for content in (b"a\0b", b"\xff\xfe\x00", b"\xe4", b"\xed\xa0\x80", bytes(range(256))):
        await toolbox.write(path, content)
        await refused("not_text", toolbox.text.read(path))
        await refused("not_text", toolbox.text.replace(path, "a", "b"))
        await refused("not_text", toolbox.text.insert(path, 1, "b"))
        await refused("not_text", toolbox.text.write(path, "b"))
        expect((await toolbox.read(path)).content == content, f"{content!r} was changed")
    await toolbox.write(path, b"gr\xfc\xdfe\n")
    await toolbox.text.replace(path, "\u00fc", "\u00e4", encoding="latin-1")
    expect((await toolbox.read(path)).content == b"gr\xe4\xdfe\n", "Latin-1 was not kept")
    await refused("invalid", toolbox.text.replace(path, "\u00e4", "\u20ac", encoding="latin-1"))


MANY = """\
diff --git a/one b/one
index 1..2 100644
--- a/one
+++ b/one
@@ -1,3 +1,4 @@
 a
-b
+B
+bb
 c
diff --git a/new/file b/new/file
new file mode 100755
--- /dev/null
+++ b/new/file
@@ -0,0 +1,2 @@
+x
+y
\\ No newline at end of file
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-bye
diff --git a/old name b/new name
similarity index 100%
rename from old name
rename to new name
"""


@check
async def patch_many_files(toolbox: Toolbox, place: str) -> None:
    """Changes, creates, deletes and renames, and tells it; again it is rejected, and nothing is touched."""
    await toolbox.write(f"{place}/one", b"top\na\nb\nc\n", mode=0o600)
    await toolbox.write(f"{place}/gone", b"bye\n")
    await toolbox.write(f"{place}/old name", b"same", mode=0o755)
    checked = await toolbox.text.patch(MANY, path=place, check=True)
    expect((await toolbox.stat(f"{place}/gone")).size == 4, "a check changed something")
    done = await toolbox.text.patch(MANY, path=place)
    expect((done.lines_added, done.lines_removed) == (4, 2) == (checked.lines_added, checked.lines_removed), f"{done}")
    told = [(file.path.removeprefix(f"{place}/"), file.change.value) for file in done.files]
    expected = [("one", "modified"), ("new/file", "created"), ("gone", "deleted"), ("new name", "renamed")]
    expect(told == expected and done.files[0].offsets == [1], f"told {done}")
    expect((await toolbox.read(f"{place}/one")).content == b"top\na\nB\nbb\nc\n", "not patched")
    expect((await toolbox.stat(f"{place}/one")).mode == 0o600, "the mode is another")
    expect((await toolbox.read(f"{place}/new/file")).content == b"x\ny", "not created")
    expect((await toolbox.stat(f"{place}/new/file")).mode == 0o755, "the new file's mode is another")
    expect((await toolbox.read(f"{place}/new name")).content == b"same", "not renamed")
    names = [entry.path.removeprefix(f"{place}/") for entry in (await toolbox.list(place, depth=2)).entries]
    expect(names == ["new", "new name", "new/file", "one"], f"there is {names}")
    error = await refused("patch_rejected", toolbox.text.patch(MANY, path=place))
    expect(error.details["path"] == f"{place}/one" and error.details["hunk"] == 1, f"details {error.details}")


@check
async def a_patch_is_whole_or_nothing(toolbox: Toolbox, place: str) -> None:
    """A later file that does not fit leaves the earlier ones as they were; CRLF is kept; names stay inside."""
    await toolbox.write(f"{place}/one", b"a\r\nb\r\nc")
    diff = "--- a/one\n+++ b/one\n@@ -2,2 +2,3 @@\n b\n-c\n+d\n+e\n"
    other = "--- a/two\n+++ b/two\n@@ -1 +1 @@\n-x\n+y\n"
    await refused("not_found", toolbox.text.patch(diff + other, path=place))
    expect((await toolbox.read(f"{place}/one")).content == b"a\r\nb\r\nc", "half of a patch was applied")
    await toolbox.text.patch(diff, path=place)
    expect((await toolbox.read(f"{place}/one")).content == b"a\r\nb\r\nd\r\ne", "other content")
    await refused("invalid", toolbox.text.patch("no diff at all", path=place))
    await refused("invalid", toolbox.text.patch(diff.replace("@@ -2,2 +2,3 @@", "@@ -2,9 +2,9 @@"), path=place))
    outside = diff.replace("a/one", "a/../../../x").replace("b/one", "b/../../../x")
    await refused("path_outside", toolbox.text.patch(outside, path=place))
    await toolbox.write(f"{place}/two", b"\0")
    await refused("not_text", toolbox.text.patch(other, path=place))
