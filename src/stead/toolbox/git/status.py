"""The state of a working tree, from `git status --porcelain=v2 -z`."""

from __future__ import annotations

from collections.abc import Iterator

from stead.protocol.errors import SteadError
from stead.toolbox.contract import LIST_ENTRIES
from stead.toolbox.git import names
from stead.toolbox.git.command import Git, fitting, text
from stead.toolbox.git.contract import Change, Entry, ReadStatus, Status

_CHANGES = {
    "A": Change.CREATED,
    "M": Change.UPDATED,
    "T": Change.UPDATED,
    "D": Change.DELETED,
    "R": Change.RENAMED,
    "C": Change.COPIED,
}


async def status(git: Git, asked: ReadStatus) -> Status:
    """Bounded; submodules are told when another commit of them is there, and not entered."""
    if not 1 <= asked.limit <= LIST_ENTRIES:
        raise SteadError("invalid", f"limit: from 1 to {LIST_ENTRIES}", field="limit")
    repository = await git.find(asked.directory)
    arguments = [
        *await git.unfiltered(repository),
        *("status", "--porcelain=v2", "-z", "--branch", "--ahead-behind", "--ignore-submodules=dirty"),
        "--find-renames",
        f"--untracked-files={'all' if asked.untracked else 'no'}",
    ]
    done = await git.look(repository.top, arguments)
    records = iter(done.stdout.split(b"\0")[:-1])
    header, entries = _split(records, asked.limit)
    kept = fitting(entries[: asked.limit])
    ahead, behind = header.get("ab", "+0 -0").split()
    return Status(
        root=repository.shown,
        branch=_unless(header.get("head", ""), "(detached)"),
        commit=_unless(header.get("oid", ""), "(initial)"),
        upstream=header.get("upstream", ""),
        ahead=abs(int(ahead)),
        behind=abs(int(behind)),
        entries=kept,
        truncated=done.clipped or len(kept) < len(entries),
    )


def _split(records: Iterator[bytes], limit: int) -> tuple[dict[str, str], list[Entry]]:
    """The lines about the branch, and at most one entry more than asked for."""
    header: dict[str, str] = {}
    entries: list[Entry] = []
    for record in records:
        if record.startswith(b"# branch."):
            key, _, value = text(record[9:]).partition(" ")
            header[key] = value
        elif not record.startswith(b"# ") and len(entries) <= limit:
            entries.append(_entry(record, records))
    return header, entries


def _entry(record: bytes, records: Iterator[bytes]) -> Entry:
    kind = record[:1]
    if kind == b"?":
        return Entry(path=text(record[2:]), untracked=True)
    fields = record.split(b" ", {b"1": 8, b"2": 9}.get(kind, 10))
    path = names.told(text(fields[-1]))
    if kind == b"u":
        return Entry(path=path, conflicted=True)
    staged, unstaged = (_CHANGES.get(letter) for letter in text(fields[1]))
    previous = text(next(records, b"")) if kind == b"2" else ""
    return Entry(path=path, staged=staged, unstaged=unstaged, previous=previous)


def _unless(value: str, nothing: str) -> str:
    return "" if value == nothing else value
