"""Trees of files: listed, copied, compared, as tar both ways."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator

from stead.toolbox.behaviour.checks import check, expect, refused, sh
from stead.toolbox.contract import FileKind, Toolbox
from stead.toolbox.trees.contract import Tree

MANY = 300


async def _shell(toolbox: Toolbox, place: str, line: str) -> None:
    result = await sh(toolbox, line, cwd=place)
    expect(result.status.ok, f"could not prepare: {result.status} {result.stderr!r}")


def _names(tree: Tree, place: str) -> list[str]:
    return [entry.path.removeprefix(f"{place}/") for entry in tree.entries]


async def _pieces(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def _collect(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@check
async def list_a_tree(toolbox: Toolbox, place: str) -> None:
    """All of it, in order, page by page; chosen by patterns and by depth."""
    for path in ("b", "a/x.py", "a/y/z.py", "a-b", "c/d/e/f.txt"):
        await toolbox.write(f"{place}/{path}", b"1", parents=True)
    await _shell(toolbox, place, "ln -s b link")
    whole = ["a", "a/x.py", "a/y", "a/y/z.py", "a-b", "b", "c", "c/d", "c/d/e", "c/d/e/f.txt", "link"]
    tree = await toolbox.trees.list(place)
    expect(_names(tree, place) == whole and not tree.truncated, f"listed {tree}")
    expect(tree.entries[-1].kind is FileKind.LINK and tree.entries[-1].target == "b", f"told {tree.entries[-1]}")
    expect(tree.entries[1] == await toolbox.stat(f"{place}/a/x.py"), f"told {tree.entries[1]}")
    paged: list[str] = []
    after = ""
    while True:
        page = await toolbox.trees.list(place, after=after, limit=3)
        paged += _names(page, place)
        after = page.cursor
        if not page.truncated:
            break
    expect(paged == whole, f"page by page {paged}")
    expect(_names(await toolbox.trees.list(place, depth=1), place) == ["a", "a-b", "b", "c", "link"], "not one level")
    expect(_names(await toolbox.trees.glob("*.py", place), place) == ["a/x.py", "a/y/z.py"], "the glob is another")
    expect(_names(await toolbox.trees.glob("c/**/f*", place), place) == ["c/d/e/f.txt"], "the glob is another")
    left = await toolbox.trees.list(place, exclude=["y/", "*.txt", "/b"])
    expect(_names(left, place) == ["a", "a/x.py", "a-b", "c", "c/d", "c/d/e", "link"], f"left {left}")
    await refused("not_directory", toolbox.trees.list(f"{place}/b"))
    await refused("path_outside", toolbox.trees.list(".."))
    await refused("invalid", toolbox.trees.list(place, limit=0))


@check
async def list_without_what_is_ignored(toolbox: Toolbox, place: str) -> None:
    """As git has it: files in every directory, the innermost first; from inside of the repository too."""
    for path in (".git/HEAD", "keep", "a.log", "build/out", "src/a.log", "src/b.log", "src/deep/x", "src/deep/y"):
        await toolbox.write(f"{place}/{path}", b"", parents=True)
    await toolbox.write(f"{place}/.gitignore", b"*.log\n/build/\n")
    await toolbox.write(f"{place}/src/.gitignore", b"!b.log\ndeep/*\n!deep/y\n")
    tree = await toolbox.trees.list(place, ignore=True)
    expected = [".gitignore", "keep", "src", "src/.gitignore", "src/b.log", "src/deep", "src/deep/y"]
    expect(_names(tree, place) == expected, f"listed {_names(tree, place)}")
    inside = await toolbox.trees.list(f"{place}/src/deep", ignore=True)
    expect(_names(inside, f"{place}/src/deep") == ["y"], f"listed {inside}")
    expect(len((await toolbox.trees.list(place)).entries) > 10, "ignored without being asked")
    names = [
        "build/",
        "build/new/x",
        "build",
        "new.log",
        "src/b.log",
        "src/deep/y",
        "src/deep/z",
        "no/where.log",
        ".git/x",
    ]
    judged = await toolbox.trees.ignored(place, names)
    expect(judged.names == [names[at] for at in (0, 1, 3, 6, 7, 8)], f"judged {judged}")


@check
async def copy_a_tree(toolbox: Toolbox, place: str) -> None:
    """Whole or not at all; links stay links; modes and times are kept; nothing is copied into itself."""
    await toolbox.write(f"{place}/one/sub/f", b"content", parents=True, mode=0o640)
    await _shell(
        toolbox, place, "ln -s sub/f one/link; ln one/sub/f one/hard; touch -t 200102030405 one/sub/f; mkfifo one/p"
    )
    done = await toolbox.trees.copy(f"{place}/one", f"{place}/two")
    expect((done.files, done.directories, done.links, done.left_out) == (2, 2, 1, ["p"]), f"said {done}")
    old, new = await toolbox.stat(f"{place}/one/sub/f"), await toolbox.stat(f"{place}/two/sub/f")
    expect((new.mode, new.modified, new.size) == (old.mode, old.modified, old.size), f"{old} became {new}")
    expect((await toolbox.stat(f"{place}/two/link")).target == "sub/f", "the link is none")
    await refused("already_exists", toolbox.trees.copy(f"{place}/one", f"{place}/two", overwrite=True))
    await refused("path_invalid", toolbox.trees.copy(f"{place}/one", f"{place}/one/sub/in"))
    await refused("not_found", toolbox.trees.copy(f"{place}/nothing", f"{place}/x"))
    await refused("path_outside", toolbox.trees.copy(f"{place}/one", "../x"))
    await refused("invalid", toolbox.trees.copy(".", f"{place}/x"))
    names = [entry.path for entry in (await toolbox.list(place)).entries]
    expect(names == [f"{place}/one", f"{place}/two"], f"left behind: {names}")


@check
async def copy_a_file(toolbox: Toolbox, place: str) -> None:
    """To a new name, over an old one only when asked; a link is copied as a link."""
    await toolbox.write(f"{place}/f", b"x" * 100_000, mode=0o751)
    await _shell(toolbox, place, "ln -s f link")
    done = await toolbox.trees.copy(f"{place}/f", f"{place}/d/g", parents=True)
    expect(done.files == 1 and done.size == 100_000, f"said {done}")
    expect((await toolbox.stat(f"{place}/d/g")).mode == 0o751, "the mode is another")
    await toolbox.write(f"{place}/h", b"old")
    await refused("already_exists", toolbox.trees.copy(f"{place}/f", f"{place}/h"))
    await refused("already_exists", toolbox.trees.copy(f"{place}/link", f"{place}/h"))
    expect((await toolbox.read(f"{place}/h")).content == b"old", "it was replaced")
    await toolbox.trees.copy(f"{place}/f", f"{place}/h", overwrite=True)
    expect((await toolbox.stat(f"{place}/h")).size == 100_000, "it was not replaced")
    await toolbox.trees.copy(f"{place}/link", f"{place}/again")
    expect((await toolbox.stat(f"{place}/again")).kind is FileKind.LINK, "the copy is no link")
    await refused("is_directory", toolbox.trees.copy(f"{place}/f", f"{place}/d", overwrite=True))


@check
async def change_modes(toolbox: Toolbox, place: str) -> None:
    """One file, or all in a directory; never through a link in it."""
    await toolbox.write(f"{place}/d/e/f", b"x", parents=True, mode=0o600)
    await toolbox.write(f"{place}/g", b"x", mode=0o600)
    await _shell(toolbox, place, "ln -s ../g d/link; ln -s g link; ln -s /etc out")
    expect((await toolbox.trees.chmod(f"{place}/d/e/f", 0o755)).count == 1, "another count")
    expect((await toolbox.stat(f"{place}/d/e/f")).mode == 0o755, "the mode is another")
    expect((await toolbox.trees.chmod(f"{place}/d", 0o700, recursive=True)).count == 3, "another count")
    modes = [(await toolbox.stat(f"{place}/{path}")).mode for path in ("d", "d/e", "d/e/f", "g")]
    expect(modes == [0o700, 0o700, 0o700, 0o600], f"modes {modes}")
    await toolbox.trees.chmod(f"{place}/link", 0o640)
    expect((await toolbox.stat(f"{place}/g")).mode == 0o640, "the link was not followed")
    await refused("path_outside", toolbox.trees.chmod(f"{place}/out", 0o777))
    await refused("invalid", toolbox.trees.chmod(f"{place}/g", 0o77777))


@check
async def fingerprints_of_files(toolbox: Toolbox, place: str) -> None:
    """They change with every change, and the hash is that of the content."""
    await toolbox.write(f"{place}/f", b"abc")
    first = await toolbox.trees.fingerprint(f"{place}/f", sha256=True)
    expect(first.existed and first.size == 3 and first.sha256.startswith("ba7816bf"), f"said {first}")
    await toolbox.write(f"{place}/f", b"abd")
    both = (await toolbox.trees.fingerprints([f"{place}/f", f"{place}/nothing", place])).fingerprints
    expect(both[0].etag not in {"", first.etag} and both[0].sha256 == "", f"said {both}")
    expect(not both[1].existed and both[2].existed, f"said {both}")
    await refused("path_outside", toolbox.trees.fingerprint("../x"))


@check
async def delete_many(toolbox: Toolbox, place: str) -> None:
    """Each with what is in it; what is gone already counts as nothing."""
    for path in ("a/b/c", "d", "e"):
        await toolbox.write(f"{place}/{path}", b"", parents=True)
    done = await toolbox.trees.delete([f"{place}/a", f"{place}/d", f"{place}/gone"])
    expect(done.count == 2, f"said {done}")
    expect([entry.path for entry in (await toolbox.list(place)).entries] == [f"{place}/e"], "others are gone")


@check
async def a_tree_up_and_down(toolbox: Toolbox, place: str) -> None:
    """Many small files and a large one in one stream; links, modes and times are kept."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as file:
        for number in range(MANY):
            info = tarfile.TarInfo(f"d{number % 7}/f{number}")
            info.size, info.mode, info.mtime = number, 0o600, 1_000_000_000 + number
            file.addfile(info, io.BytesIO(b"x" * number))
        info = tarfile.TarInfo("large")
        info.size = 3 << 20
        file.addfile(info, io.BytesIO(bytes(range(256)) * (3 << 12)))
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "d0/f0"
        file.addfile(info)
    done = await toolbox.upload_tree(f"{place}/up/here", _pieces(memory.getvalue()))
    expect((done.files, done.links) == (MANY + 1, 1) and done.size > 3 << 20, f"said {done}")
    stat = await toolbox.stat(f"{place}/up/here/d3/f10")
    expect((stat.size, stat.mode, stat.modified) == (10, 0o600, 1_000_000_010), f"became {stat}")
    archive = await _collect(toolbox.download_tree(f"{place}/up/here"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        members = {member.name.removeprefix("./"): member for member in file.getmembers()}
        expect(len(members) == MANY + 2 + 8, f"{len(members)} members came")
        expect(members["d3/f10"].mtime == 1_000_000_010 and members["link"].linkname == "d0/f0", "other facts came")
        large = file.extractfile(members["large"])
        expect(large is not None and large.read() == bytes(range(256)) * (3 << 12), "other bytes came")
    some = await _collect(toolbox.download_tree(f"{place}/up/here", names=["d0/f0", "link", "gone"]))
    with tarfile.open(fileobj=io.BytesIO(some)) as file:
        expect(file.getnames() == ["d0/f0", "link"], f"came {file.getnames()}")
    few = await _collect(toolbox.download_tree(f"{place}/up/here", include=["d1/"], exclude=["f1*"]))
    with tarfile.open(fileobj=io.BytesIO(few)) as file:
        names = file.getnames()
        expect(names and all(name.startswith("d1") and "/f1" not in name for name in names), f"came {names}")


@check
async def a_hostile_tree_stays_inside(toolbox: Toolbox, place: str) -> None:
    """Names and links that lead out, devices, what is no archive, what is cut: refused, and nothing is outside."""

    def archive(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)

    into = f"{place}/in"
    for content, code in (
        (archive("../evil"), "path_outside"),
        (archive("/evil"), "path_outside"),
        (archive("l", tarfile.SYMTYPE, "../.."), "path_outside"),
        (archive("h", tarfile.LNKTYPE, "../evil"), "path_outside"),
        (archive("null", tarfile.CHRTYPE), "not_file"),
        (archive("f")[:600], "malformed"),
        (b"no archive at all" * 100, "malformed"),
        (b"", "malformed"),
    ):
        await refused(code, toolbox.upload_tree(into, _pieces(content)))
    await refused("path_outside", toolbox.upload_tree("../x", _pieces(archive("f"))))
    await refused("not_found", _collect(toolbox.download_tree(f"{place}/nothing")))
    names = [entry.path for entry in (await toolbox.trees.list(place)).entries]
    expect(names in ([into], [into, f"{into}/f"]), f"there is {names}")
    done = await toolbox.upload_tree(into, _pieces(archive("l", tarfile.SYMTYPE, "/etc")), links="skip")
    expect(done.skipped_count == 1 and done.skipped == ["l"] and done.links == 0, f"said {done}")
