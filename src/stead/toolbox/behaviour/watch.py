"""Watching: what changes is told, whatever its cause."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence

import anyio

from stead.toolbox.behaviour.checks import check, expect, not_of_a_whole_machine, refused, sh
from stead.toolbox.contract import Toolbox
from stead.toolbox.watch.contract import Change, ChangeKind, Watching
from stead.toolbox.watch.pending import Pending

SECONDS = 30.0
"""How long a change may take to be told."""
END = "the-end-"
_numbers = itertools.count()


Told = tuple[str, str, bool, str]


async def _until_end(toolbox: Toolbox, place: str, changes: AsyncIterator[Change], over: str = "") -> list[Told]:
    """All changes until one that is made here to mark the end; paths relative to the place.

    A slow machine may tell of two steps what a fast one tells as one, so they are put together here. `over`: what was there.
    """
    end = f"{END}{next(_numbers)}"
    await toolbox.mkdir(f"{place}/{end}")
    found = Pending()
    with anyio.fail_after(SECONDS):
        async for change in changes:
            path = change.path.removeprefix(f"{place}/")
            if path == end:
                break
            _put(found, change, path, change.previous.removeprefix(f"{place}/"), over)
    return [(str(change.kind), change.path, change.directory, change.previous) for change in found.take()]


def _put(found: Pending, change: Change, path: str, previous: str, over: str) -> None:
    if change.kind is ChangeKind.RENAMED:
        found.renamed(previous, path, directory=change.directory, over=path == over)
    elif change.overflow:
        found.overflow()
    elif not path.startswith(END):
        told = {
            ChangeKind.CREATED: found.created,
            ChangeKind.MODIFIED: found.modified,
            ChangeKind.DELETED: found.deleted,
        }
        told[change.kind](path, directory=change.directory)


async def _expect(toolbox: Toolbox, place: str, watching: Watching, line: str, *changes: Told, over: str = "") -> None:
    """The line makes just these changes, in any order."""
    result = await sh(toolbox, line, cwd=place)
    expect(result.status.ok, f"could not prepare: {result.stderr!r}")
    found = await _until_end(toolbox, place, aiter(watching), over)
    expect(sorted(found) == sorted(changes), f"{line!r} was told as {found}")


@check
async def watch_changes(toolbox: Toolbox, place: str) -> None:
    """Made, changed, renamed and removed; files, directories, and what is in new directories at once."""
    await toolbox.write(f"{place}/old", b"1")
    async with toolbox.watch.open(place) as watching:

        async def told(line: str, *changes: Told) -> None:
            await _expect(toolbox, place, watching, line, *changes, over="old")

        await told("echo x > new && echo y >> new", ("created", "new", False, ""))
        await told("echo 2 >> old", ("modified", "old", False, ""))
        await told("chmod 600 old", ("modified", "old", False, ""))
        await told("echo 3 > t && mv t old", ("modified", "old", False, ""))
        await told("mv old other", ("renamed", "other", False, "old"))
        made = [("created", "d", True, ""), ("created", "d/e", True, ""), ("created", "d/e/f", False, "")]
        await told("mkdir -p d/e && echo x > d/e/f", *made)
        await told("mv d g", ("renamed", "g", True, "d"))
        await told(
            "echo y >> g/e/f && mv g/e/f g/h", ("modified", "g/e/f", False, ""), ("renamed", "g/h", False, "g/e/f")
        )
        await told("touch u && rm u")
        gone = [("deleted", "g/h", False, ""), ("deleted", "g/e", True, ""), ("deleted", "g", True, "")]
        await told("rm -r g", *gone)
        await told("rm other", ("deleted", "other", False, ""))
        await toolbox.write(f"{place}/new", b"other content")
        found = await _until_end(toolbox, place, aiter(watching), "new")
        expect(found == [("modified", "new", False, "")], f"a file written by the toolbox was told as {found}")


@check
async def watch_some_files(toolbox: Toolbox, place: str) -> None:
    """What ignore files leave out is not told, a changed ignore file counts at once, globs choose, nothing leads out."""
    await toolbox.write(f"{place}/.gitignore", b"*.log\nout/\n")
    async with toolbox.watch.open(place) as watching, toolbox.watch.open(place, include=["*.py"]) as python:
        await _expect(
            toolbox, place, watching, "touch a.log b.py && mkdir out && touch out/x", ("created", "b.py", False, "")
        )
        with anyio.fail_after(SECONDS):
            first = await anext(aiter(python))
        expect(first.path == f"{place}/b.py", f"a watch of some files was told {first}")
        line = "echo '*.tmp' > .gitignore"
        await _expect(toolbox, place, watching, line, ("modified", ".gitignore", False, ""))
        made = ("created", "out/z.log", False, ""), ("modified", "a.log", False, "")
        await _expect(toolbox, place, watching, "touch c.tmp && touch out/z.log && echo >> a.log", *made)
        await _expect(toolbox, place, watching, "mv b.py b.tmp", ("deleted", "b.py", False, ""))
        await _expect(toolbox, place, watching, "mv b.tmp b.py", ("created", "b.py", False, ""))
    async with toolbox.watch.open(place, ignored=True) as everything:
        await _expect(toolbox, place, everything, "touch d.tmp", ("created", "d.tmp", False, ""))
        status = (await toolbox.watch.status()).watches
        expect(any(each.readers and each.directories for each in status if each.ignored), f"the status is {status}")
    await refused("path_outside", _open(toolbox, "../x"))
    await refused("invalid", _open(toolbox, place, include=["[z-a]"]))


async def _open(toolbox: Toolbox, path: str, include: Sequence[str] = ()) -> None:
    async with toolbox.watch.open(path, include=list(include)):
        pass


@check
async def watch_paused(toolbox: Toolbox, place: str) -> None:
    """A pause in which something changed ends with an overflow, another one with nothing."""
    async with toolbox.watch.open(place) as watching:
        changes = aiter(watching)
        await watching.pause()
        await watching.resume()
        found = await _until_end(toolbox, place, changes)
        expect(found == [], f"after a quiet pause: {found}")
        async with toolbox.watch.open(place) as other:
            await watching.pause()
            await toolbox.mkdir(f"{place}/new")
            with anyio.fail_after(SECONDS):
                await anext(aiter(other))
            await watching.resume()
        with anyio.fail_after(SECONDS):
            first = await anext(changes)
        expect(first.overflow, f"after a pause: {first}")
        found = await _until_end(toolbox, place, changes)
        expect(found == [], f"after the overflow: {found}")


@check
async def watch_by_polling(toolbox: Toolbox, place: str) -> None:
    """Looking again and again tells the same."""
    await toolbox.write(f"{place}/d/old", b"1", parents=True)
    not_of_a_whole_machine("looking at all of it again and again takes longer than a check may")
    async with toolbox.watch.open(place, poll=True) as watching:
        line = "mkdir n && touch n/f && echo 2 >> d/old && chmod 700 d"
        made = [("created", "n", True, ""), ("created", "n/f", False, ""), ("modified", "d", True, "")]
        await _expect(toolbox, place, watching, line, *made, ("modified", "d/old", False, ""))
        await _expect(toolbox, place, watching, "mv d e", ("renamed", "e", True, "d"))
        await _expect(toolbox, place, watching, "mv e/old n/new", ("renamed", "n/new", False, "e/old"))
        gone = [("deleted", "n/new", False, ""), ("deleted", "n/f", False, ""), ("deleted", "n", True, "")]
        await _expect(toolbox, place, watching, "rm -r n", *gone)
        modes = [each.mode for each in (await toolbox.watch.status()).watches]
        expect("polling" in modes, f"the status is {modes}")
