"""What is different: as a patch, and as a list of files with their lines."""

from __future__ import annotations

import os

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, Location, errors, regular
from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES
from stead.toolbox.git import names
from stead.toolbox.git.command import LISTED_BYTES, LOOK_BYTES, Git, Repository, fitting, text
from stead.toolbox.git.contract import Change, Changes, Diff, FileChange, ReadChanges, ReadDiff

COUNTED_BYTES = 1 << 20
"""Lines of a larger new file are not counted."""
CONTEXT_LINES = 10_000
_PLAIN = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty", "--submodule=short"),
    "--find-renames",
)
_OPERATIONS = {
    "A": Change.CREATED,
    "M": Change.UPDATED,
    "T": Change.UPDATED,
    "U": Change.UPDATED,
    "D": Change.DELETED,
    "R": Change.RENAMED,
    "C": Change.COPIED,
}


async def diff(git: Git, asked: ReadDiff) -> Diff:
    """A patch, which `git apply` takes when it was not cut."""
    if not 1 <= asked.limit <= CALL_BYTES or not 0 <= asked.context <= CONTEXT_LINES:
        raise SteadError("invalid", f"limit: to {CALL_BYTES} bytes; context: to {CONTEXT_LINES} lines", field="limit")
    paths = names.paths(asked.paths)
    repository = await git.find(asked.directory)
    base = await git.fork(repository, asked.base) if asked.base else ""
    sides = [*(["--cached"] if asked.staged else []), *([base] if base else []), *(["HEAD"] if asked.committed else [])]
    if asked.committed and (asked.staged or not base):
        raise SteadError("invalid", "committed: what is committed is compared with a base", field="committed")
    options = [*_PLAIN, "--binary", "--src-prefix=a/", "--dst-prefix=b/", f"--unified={asked.context}"]
    asking = [*await git.unfiltered(repository), "diff", *options]
    patch = await _patch(git, repository, asking, [*sides, "--", *paths], asked.limit)
    return Diff(patch=patch[: asked.limit], base=base, truncated=len(patch) > asked.limit)


async def _patch(git: Git, repository: Repository, asking: list[str], which: list[str], limit: int) -> bytes:
    """At least one byte more than the limit where there are more. The list of files before it says whether all of them are
    of the repository; with the list git leaves conflicts out, so they are asked for by themselves."""
    done = await git.look(repository.top, [*asking, "--raw", *which], limit=limit + LOOK_BYTES)
    listed, blank, patch = done.stdout.partition(b"\n\n")
    if done.clipped and not blank:
        raise SteadError("too_large", "too many files differ; name paths")
    for line in listed.splitlines():
        for name in line.split(b"\t")[1:]:
            names.told(text(name.strip(b'"')))
    if not listed.startswith(b"::") and b"\n::" not in listed:
        return patch
    conflicts = (await git.look(repository.top, [*asking, "--diff-filter=X", *which], limit=limit + 1)).stdout
    for line in conflicts.split(b"\n"):
        if line.startswith(b"diff --"):
            names.told(text(line.split(b" ", 2)[2].strip(b'"')))
    return conflicts + patch


async def changes(git: Git, asked: ReadChanges) -> Changes:
    """Of the working tree, against a commit."""
    if not 1 <= asked.limit <= LIST_ENTRIES:
        raise SteadError("invalid", f"limit: from 1 to {LIST_ENTRIES}", field="limit")
    repository = await git.find(asked.directory)
    base = await _base(git, repository, asked.base)
    options = await git.unfiltered(repository)
    asking = [*options, "diff", *_PLAIN, "--raw", "--numstat", "-z", base, "--"]
    done = await git.look(repository.top, asking, limit=LISTED_BYTES)
    files = _changed(done.stdout)
    clipped = done.clipped
    if asked.untracked:
        asking = ["ls-files", "-z", "--others", "--exclude-standard", "--"]
        new = await git.look(repository.top, asking, limit=LISTED_BYTES)
        files += await git.place.in_thread(_created, git, repository, new.stdout.split(b"\0")[:-1])
        clipped = clipped or new.clipped
    files.sort(key=lambda change: change.path)
    kept = fitting(files[: asked.limit])
    return Changes(
        base=base,
        files=kept,
        additions=sum(change.additions for change in files),
        deletions=sum(change.deletions for change in files),
        total=len(files),
        truncated=clipped or len(kept) < len(files),
    )


async def _base(git: Git, repository: Repository, base: str) -> str:
    """Where HEAD left it, or HEAD; before the first commit, the tree without files."""
    if base:
        return await git.fork(repository, base)
    if commit := (await git.head(repository)).commit:
        return commit
    return text((await git.look(repository.top, ["hash-object", "-t", "tree", os.devnull])).stdout).strip()


def _changed(output: bytes) -> list[FileChange]:
    """First `:modes hashes X`, path(s) of each, then `added TAB removed TAB path`, or with a rename two paths after it."""
    fields = iter(output.split(b"\0"))
    found: dict[bytes, FileChange] = {}
    for field in fields:
        if field.startswith(b":"):
            letter = text(field.rpartition(b" ")[2])[:1]
            operation = _OPERATIONS.get(letter, Change.UPDATED)
            first = next(fields, b"")
            path = next(fields, b"") if letter in "RC" else first
            found[path] = FileChange(
                path=names.told(text(path)), operation=operation, previous=text(first) if letter in "RC" else ""
            )
        elif field.count(b"\t") >= 2:
            added, removed, path = field.split(b"\t", 2)
            if not path:
                next(fields, b"")
                path = next(fields, b"")
            if path in found:
                found[path] = _counted(found[path], added, removed)
    return list(found.values())


def _counted(change: FileChange, added: bytes, removed: bytes) -> FileChange:
    if added == b"-":
        return msgspec.structs.replace(change, binary=True)
    return msgspec.structs.replace(change, additions=int(added), deletions=int(removed))


def _created(git: Git, repository: Repository, paths: list[bytes]) -> list[FileChange]:
    """Files that git does not know yet."""
    found = []
    room = COUNTED_BYTES * 64
    for path in paths:
        lines, binary, size = _lines(git, repository, path) if room > 0 else (0, False, 0)
        room -= size
        found.append(FileChange(path=text(path), operation=Change.CREATED, additions=lines, binary=binary))
    return found


def _lines(git: Git, repository: Repository, path: bytes) -> tuple[int, bool, int]:
    """How many lines, whether it is binary, and how much was read. Of what is no file, or gone, there are none."""
    try:
        with git.place.root.locate(f"{repository.top}/{os.fsdecode(path)}", follow=False) as at, errors(at.name):
            content = _content(at)
    except SteadError:
        return 0, False, 0
    if len(content) > COUNTED_BYTES or b"\0" in content[:8000]:
        return 0, b"\0" in content[:8000], len(content)
    return content.count(b"\n") + (content[-1:] not in {b"", b"\n"}), False, len(content)


def _content(at: Location) -> bytes:
    descriptor = os.open(at.name, os.O_RDONLY | os.O_NOFOLLOW | QUIET, dir_fd=at.directory)
    try:
        regular(descriptor, at.name)
        return os.read(descriptor, COUNTED_BYTES + 1)
    finally:
        os.close(descriptor)
