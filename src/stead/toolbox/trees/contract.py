"""What can be asked about whole trees of files.

Contract: `Trees` is the face. Patterns are those of `.gitignore`: one without a slash is about a name at any depth, `**` is any
number of directories. `ignore` leaves out what the `.gitignore` files of the tree (and of its repository above it) ignore, and
`.git`; `exclude` are further such lines; of files, only those that fit one of `include` are meant. Links are never followed.
A tree that is too deep, and too many paths at once, are "too_large"; a copy of a pipe, a socket or a device is "not_file", one
into itself "path_invalid", one onto what is there "already_exists".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from stead.toolbox.contract import LIST_ENTRIES, Params, Result, Stat
from stead.toolbox.operations import Asking, Operation, by_name

NAMES = 10_000
"""The most names of one call."""
LONG_SECONDS = 600.0
"""How long the calls may take whose work grows with the content."""


class Links(StrEnum):
    """What becomes of a link in an archive that leads out of the directory it is unpacked into."""

    REFUSE = "refuse"
    SKIP = "skip"
    KEEP = "keep"


class ListTree(Params):
    """trees.list: everything below a directory; `depth` 0 is all of it, `after` the `cursor` of an earlier answer."""

    path: str = "."
    depth: int = 0
    ignore: bool = False
    include: list[str] = []
    exclude: list[str] = []
    after: str = ""
    limit: int = LIST_ENTRIES


class JudgeNames(Params):
    """trees.ignored: names below a directory, whether there or not; those of directories end with a slash."""

    names: list[str]
    path: str = "."


class Copy(Params):
    """trees.copy within the workspace."""

    source: str
    target: str
    overwrite: bool = False
    parents: bool = False


class ChangeMode(Params):
    """trees.chmod; a link is followed inside the workspace."""

    path: str
    mode: int
    recursive: bool = False


class Fingerprints(Params):
    """trees.fingerprints of these paths; with `sha256`, also of their content."""

    paths: list[str]
    sha256: bool = False


class DeleteMany(Params):
    """trees.delete of these paths, each with all that is in it; what is gone already is success."""

    paths: list[str]


class ReadTree(Params):
    """Stream "tree.read": a directory as tar. With `names` only these, which are below it and not searched further."""

    path: str = "."
    ignore: bool = False
    include: list[str] = []
    exclude: list[str] = []
    names: list[str] | None = None


class WriteTree(Params):
    """Stream "tree.write": a tar archive into a directory, which is made when it is missing."""

    path: str = "."
    links: Links = Links.REFUSE
    limit: int = 1 << 40


class Tree(Result, frozen=True):
    """Entries, each directory before what is in it. `cursor` goes on with more; it is empty at the end. `unread`: directories
    that may not be read."""

    entries: list[Stat]
    cursor: str = ""
    unread: list[str] = []

    @property
    def truncated(self) -> bool:
        return bool(self.cursor)


class Ignored(Result, frozen=True):
    """Those of the names that `ignore` would leave out."""

    names: list[str]


class Copied(Result, frozen=True):
    """What was copied. `left_out`: sockets, pipes, devices, and what may not be read."""

    path: str
    files: int
    directories: int
    links: int
    size: int
    left_out: list[str] = []


class Changed(Result, frozen=True):
    """How many files and directories have the mode now."""

    count: int


class Fingerprint(Result, frozen=True):
    """One path; `etag` changes with every change. Not there: `existed` is false. No regular file: no hash."""

    path: str
    existed: bool
    size: int = 0
    etag: str = ""
    sha256: str = ""


class FingerprintList(Result, frozen=True):
    """In the order of the paths."""

    fingerprints: list[Fingerprint]


class DeletedMany(Result, frozen=True):
    """How many of the paths were there."""

    count: int


class Unpacked(Result, frozen=True):
    """What came out of an archive. `skipped` are links that lead out, `left_out` what its packer could not read (some)."""

    files: int
    directories: int
    links: int
    size: int
    skipped: list[str] = []
    skipped_count: int = 0
    left_out: list[str] = []


LIST = Operation("trees.list", ListTree, Tree)
IGNORED = Operation("trees.ignored", JudgeNames, Ignored)
COPY = Operation("trees.copy", Copy, Copied, seconds=LONG_SECONDS)
CHMOD = Operation("trees.chmod", ChangeMode, Changed, seconds=LONG_SECONDS)
FINGERPRINTS = Operation("trees.fingerprints", Fingerprints, FingerprintList, seconds=LONG_SECONDS)
DELETE = Operation("trees.delete", DeleteMany, DeletedMany, seconds=LONG_SECONDS)

OPERATIONS = by_name((LIST, IGNORED, COPY, CHMOD, FINGERPRINTS, DELETE))


class Trees:
    """`toolbox.trees`."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    async def list(
        self,
        path: str = ".",
        *,
        depth: int = 0,
        ignore: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        after: str = "",
        limit: int = LIST_ENTRIES,
    ) -> Tree:
        """Everything below a directory; what is more than one answer carries begins at `cursor`."""
        params = ListTree(
            path=path, depth=depth, ignore=ignore, include=[*include], exclude=[*exclude], after=after, limit=limit
        )
        return await self._toolbox.ask(LIST, params)

    async def glob(self, pattern: str, path: str = ".", *, ignore: bool = False, after: str = "") -> Tree:
        """What fits a pattern."""
        return await self.list(path, include=[pattern], ignore=ignore, after=after)

    async def ignored(self, path: str, names: Sequence[str]) -> Ignored:
        """Which of these names the ignore rules leave out; they need not be there."""
        return await self._toolbox.ask(IGNORED, JudgeNames(path=path, names=[*names]))

    async def copy(self, source: str, target: str, *, overwrite: bool = False, parents: bool = False) -> Copied:
        """A file, a link or a directory to a new name. `overwrite` replaces a file; a directory that is there stays."""
        params = Copy(source=source, target=target, overwrite=overwrite, parents=parents)
        return await self._toolbox.ask(COPY, params)

    async def chmod(self, path: str, mode: int, *, recursive: bool = False) -> Changed:
        """The permissions of a file or directory, or of everything in it too."""
        return await self._toolbox.ask(CHMOD, ChangeMode(path=path, mode=mode, recursive=recursive))

    async def fingerprint(self, path: str, *, sha256: bool = False) -> Fingerprint:
        """Size, `etag` and, when asked, the hash of one file."""
        return (await self.fingerprints([path], sha256=sha256)).fingerprints[0]

    async def fingerprints(self, paths: Sequence[str], *, sha256: bool = False) -> FingerprintList:
        """Those of several paths at once."""
        return await self._toolbox.ask(FINGERPRINTS, Fingerprints(paths=[*paths], sha256=sha256))

    async def delete(self, paths: Sequence[str]) -> DeletedMany:
        """Several paths at once, each with all that is in it."""
        return await self._toolbox.ask(DELETE, DeleteMany(paths=[*paths]))


def read_tree(
    path: str = ".",
    *,
    ignore: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> ReadTree:
    """The params of a download."""
    chosen = None if names is None else [*names]
    return ReadTree(path=path, ignore=ignore, include=[*include], exclude=[*exclude], names=chosen)
