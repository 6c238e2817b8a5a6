"""Files: reading, writing, listing, moving, deleting, and never leaving the root."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import check, expect, refused, script, sh
from stead.toolbox.contract import CALL_BYTES, FileKind, Toolbox

BYTES = bytes(range(256)) * 3


async def _shell(toolbox: Toolbox, place: str, line: str) -> None:
    result = await sh(toolbox, line, cwd=place)
    expect(result.status.ok, f"could not prepare: {result.status} {result.stderr!r}")


@check
async def write_then_read(toolbox: Toolbox, place: str) -> None:
    """Bytes come back as they were written, whatever they are."""
    path = f"{place}/bytes"
    written = await toolbox.write(path, BYTES)
    expect(written.created and written.size == len(BYTES), f"said {written}")
    found = await toolbox.read(path)
    expect(found.content == BYTES and found.size == len(BYTES) and found.offset == 0, "other bytes came back")
    again = await toolbox.write(path, b"")
    expect(not again.created and (await toolbox.read(path)).content == b"", "an empty file was not written")


@check
async def read_a_part(toolbox: Toolbox, place: str) -> None:
    """Offset and limit give that part; beyond the end there is nothing, and that is no error."""
    await toolbox.write(f"{place}/f", BYTES)
    expect((await toolbox.read(f"{place}/f", 100, 50)).content == BYTES[100:150], "another part came")
    beyond = await toolbox.read(f"{place}/f", len(BYTES) + 5, 10)
    expect(beyond.content == b"" and beyond.size == len(BYTES), "something came from beyond the end")
    await refused("invalid", toolbox.read(f"{place}/f", -1))
    await refused("invalid", toolbox.read(f"{place}/f", 0, CALL_BYTES + 1))


@check
async def read_what_is_not_there(toolbox: Toolbox, place: str) -> None:
    """Nothing there, a directory, a file in the middle of the path: each has its own code."""
    await toolbox.write(f"{place}/f", b"x")
    await refused("not_found", toolbox.read(f"{place}/nothing"))
    await refused("not_found", toolbox.read(f"{place}/no/thing"))
    await refused("is_directory", toolbox.read(place))
    await refused("not_directory", toolbox.read(f"{place}/f/g"))
    await refused("not_found", toolbox.stat(f"{place}/nothing"))


@check
async def a_replaced_file_is_whole(toolbox: Toolbox, place: str) -> None:
    """Who has the old one open reads it to its end, and who opens it anew has all of the new one."""
    old, new = b"old\n" * 20_000, b"new\n" * 30_000
    await toolbox.write(f"{place}/f", old)
    running = await toolbox.start(script("exec 3< f; echo open; read go; cat <&3; cat f", cwd=place, stdin=True))
    pieces = running.output()
    expect((await anext(aiter(pieces))).data == b"open\n", "the file was not opened")
    await toolbox.write(f"{place}/f", new)
    await running.write(b"\n")
    seen = b"".join([piece.data async for piece in pieces])
    expect(seen == old + new, f"read {len(seen)} bytes, not the old file and then the new one")
    names = [entry.path for entry in (await toolbox.list(place)).entries]
    expect(names == [f"{place}/f"], f"beside the file there is {names}")


@check
async def write_with_options(toolbox: Toolbox, place: str) -> None:
    """Parents are made when asked, the mode is set, exclusive refuses what is there, a directory is not replaced."""
    await refused("not_found", toolbox.write(f"{place}/a/b/f", b"x"))
    await toolbox.write(f"{place}/a/b/f", b"x", parents=True, mode=0o640)
    expect((await toolbox.stat(f"{place}/a/b/f")).mode == 0o640, "the mode is another")
    await toolbox.write(f"{place}/a/b/f", b"y")
    expect((await toolbox.stat(f"{place}/a/b/f")).mode == 0o640, "replacing changed the mode")
    await refused("already_exists", toolbox.write(f"{place}/a/b/f", b"z", exclusive=True))
    expect((await toolbox.read(f"{place}/a/b/f")).content == b"y", "a refused write wrote")
    await refused("is_directory", toolbox.write(f"{place}/a", b"x"))


@check
async def append(toolbox: Toolbox, place: str) -> None:
    """Adds to the end, and makes the file when there is none."""
    first = await toolbox.append(f"{place}/n/f", b"one", parents=True)
    second = await toolbox.append(f"{place}/n/f", b"two")
    expect(first.created and not second.created and second.size == 6, f"said {first} {second}")
    expect((await toolbox.read(f"{place}/n/f")).content == b"onetwo", "other content")


@check
async def list_sorted(toolbox: Toolbox, place: str) -> None:
    """Entries by path down to the depth, links as links, cut at the limit and saying so."""
    for path in ("b", "a/x", "a/y/z", "c"):
        await toolbox.write(f"{place}/{path}", b"1", parents=True)
    await _shell(toolbox, place, "ln -s b link")
    names = [entry.path.removeprefix(f"{place}/") for entry in (await toolbox.list(place)).entries]
    expect(names == ["a", "b", "c", "link"], f"listed {names}")
    deep = await toolbox.list(place, depth=3)
    names = [entry.path.removeprefix(f"{place}/") for entry in deep.entries]
    expect(names == sorted(names) and "a/y/z" in names and not deep.truncated, f"listed {names}")
    link = next(entry for entry in deep.entries if entry.path.endswith("/link"))
    expect(link.kind is FileKind.LINK and link.target == "b", f"the link is told as {link}")
    cut = await toolbox.list(place, depth=3, limit=2)
    expect(len(cut.entries) == 2 and cut.truncated, "not cut at the limit")
    await refused("not_directory", toolbox.list(f"{place}/b"))


@check
async def mkdir(toolbox: Toolbox, place: str) -> None:
    """Once or again is success, exclusive is not, and a file in the way is told."""
    stat = await toolbox.mkdir(f"{place}/d")
    expect(stat.kind is FileKind.DIRECTORY and stat.path == f"{place}/d", f"said {stat}")
    await toolbox.mkdir(f"{place}/d")
    await refused("already_exists", toolbox.mkdir(f"{place}/d", exclusive=True))
    await refused("not_found", toolbox.mkdir(f"{place}/p/q"))
    await toolbox.mkdir(f"{place}/p/q", parents=True)
    await toolbox.write(f"{place}/f", b"x")
    await refused("already_exists", toolbox.mkdir(f"{place}/f"))
    await refused("not_directory", toolbox.mkdir(f"{place}/f/g", parents=True))


@check
async def delete(toolbox: Toolbox, place: str) -> None:
    """Gone is gone; again is success that says so; a full directory needs recursive; a link goes, not its target."""
    await toolbox.write(f"{place}/d/e/f", b"x", parents=True)
    await _shell(toolbox, place, "ln -s d link")
    expect((await toolbox.delete(f"{place}/link")).existed, "the link was not there")
    await refused("not_empty", toolbox.delete(f"{place}/d"))
    expect((await toolbox.delete(f"{place}/d", recursive=True)).existed, "the directory was not there")
    expect(not (await toolbox.delete(f"{place}/d")).existed, "it exists still")
    await refused("invalid", toolbox.delete("."))


@check
async def move(toolbox: Toolbox, place: str) -> None:
    """Renames; what is at the target stays unless overwriting is asked."""
    await toolbox.write(f"{place}/one", b"1")
    await toolbox.write(f"{place}/two", b"2")
    await refused("already_exists", toolbox.move(f"{place}/one", f"{place}/two"))
    moved = await toolbox.move(f"{place}/one", f"{place}/two", overwrite=True)
    expect(moved.path == f"{place}/two", f"said {moved}")
    expect((await toolbox.read(f"{place}/two")).content == b"1", "other content at the target")
    await refused("not_found", toolbox.move(f"{place}/one", f"{place}/three"))
    await toolbox.mkdir(f"{place}/d")
    await refused("path_invalid", toolbox.move(f"{place}/d", f"{place}/d/e"))


@check
async def links_inside_work(toolbox: Toolbox, place: str) -> None:
    """Relative and absolute links that stay inside are followed, also for writing."""
    root = (await toolbox.info()).root
    await toolbox.write(f"{place}/d/f", b"x", parents=True)
    await _shell(toolbox, place, f"ln -s d rel && ln -s '{root}/{place}/d' abs && ln -s d/f file && ln -s d/new fresh")
    expect((await toolbox.read(f"{place}/rel/f")).content == b"x", "a relative link was not followed")
    expect((await toolbox.read(f"{place}/abs/f")).content == b"x", "an absolute link was not followed")
    await toolbox.write(f"{place}/file", b"y")
    expect((await toolbox.read(f"{place}/d/f")).content == b"y", "writing replaced the link")
    await toolbox.write(f"{place}/fresh", b"z")
    expect((await toolbox.read(f"{place}/d/new")).content == b"z", "the link's target was not made")
    expect((await toolbox.read(f"{root}/{place}/d/f")).content == b"y", "an absolute path inside did not work")


@check
async def nothing_leads_out(toolbox: Toolbox, place: str) -> None:
    """Neither `..`, nor absolute paths, nor links, for any operation."""
    await _shell(toolbox, place, "ln -s /etc out && ln -s ../../../../../../../.. up && ln -s /etc/passwd file")
    for path in (
        "../x",
        f"{place}/../../x",
        "/etc/passwd",
        f"{place}/out/passwd",
        f"{place}/up/etc/passwd",
        f"{place}/file",
    ):
        await refused("path_outside", toolbox.read(path))
        await refused("path_outside", toolbox.write(path, b"x"))
        await refused("path_outside", toolbox.append(path, b"x"))
    for path in ("..", "/etc", f"{place}/out", f"{place}/up"):
        await refused("path_outside", toolbox.list(path))
    for path in ("../x", "/etc/x", f"{place}/out/x", f"{place}/up/x"):
        await refused("path_outside", toolbox.mkdir(path))
        await refused("path_outside", toolbox.stat(path))
        await refused("path_outside", toolbox.delete(path))
        await refused("path_outside", toolbox.move(place, path))


@check
async def hostile_paths(toolbox: Toolbox, place: str) -> None:
    """NUL bytes, names and paths that are too long, empty paths, loops of links."""
    await _shell(toolbox, place, "ln -s loop loop")
    for path in (
        "",
        f"{place}/a\0b",
        f"{place}/{'n' * 256}",
        f"{place}/{'d/' * 3000}f",
        "x" * 10_000,
        f"{place}/loop/f",
    ):
        await refused("path_invalid", toolbox.read(path))
        await refused("path_invalid", toolbox.write(path, b"x"))
    await refused("path_invalid", toolbox.list(f"{place}/loop"))


@check
async def special_files_do_not_block(toolbox: Toolbox, place: str) -> None:
    """A named pipe is refused at once, and never replaced."""
    await _shell(toolbox, place, "mkfifo pipe")
    expect((await toolbox.stat(f"{place}/pipe")).kind is FileKind.OTHER, "a pipe is told as something else")
    await refused("not_file", toolbox.read(f"{place}/pipe"))
    await refused("not_file", toolbox.write(f"{place}/pipe", b"x"))
    await refused("not_file", toolbox.append(f"{place}/pipe", b"x"))


@check
async def paths_with_odd_names(toolbox: Toolbox, place: str) -> None:
    """Spaces, quotes, new lines, dashes and other alphabets are names like any other."""
    names = [" ", "a b", "'q\"", "-rf", "new\nline", "\u00e4\u4e2d\U0001f600", "%2e%2e", "\\"]
    for name in names:
        await toolbox.write(f"{place}/{name}", name.encode())
    listed = {entry.path.removeprefix(f"{place}/") for entry in (await toolbox.list(place)).entries}
    expect(listed == set(names), f"listed {listed}")
    for name in names:
        expect((await toolbox.read(f"{place}/{name}")).content == name.encode(), f"{name!r} has other content")


@check
async def files_are_those_of_execs(toolbox: Toolbox, place: str) -> None:
    """What an exec writes is read, and the other way round."""
    await toolbox.write(f"{place}/in", b"from outside")
    running = await toolbox.start(script("cat in > out", cwd=place))
    expect((await running.wait()).ok, "the exec failed")
    expect((await toolbox.read(f"{place}/out")).content == b"from outside", "other content")
