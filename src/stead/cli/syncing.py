"""`stead sync`: makes a directory the same as another; only what differs travels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from stead.cli import output
from stead.cli.context import Context
from stead.cli.copying import Sum, here, inside, left_out, local_path, split_place, tree_arguments
from stead.cli.progress import Progress
from stead.cli.singles import umask
from stead.cli.words import Namespace, Parser, Verb
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind, Stat
from stead.toolbox.trees.contract import NAMES
from stead.toolbox.trees.here import Here

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox

DETAILS = """\
  stead sync . work:project               what differs goes into the workspace
  stead sync work:project/out out         the other way
  stead sync --delete . work:project      and what is not here is removed there

The target becomes what is in the source (no matter whether either ends with a slash). Two files are the same when size, time
and mode are; with --checksum, when their content is. What is left out of the source (--exclude, --gitignore) is not touched in
the target either. Every file is put in place whole, and a sync that was cut off goes on when it is begun again."""

SAME_SECONDS = 0.001
"""Times that differ by less are the same."""
BATCH_BYTES = 256 << 10
"""How many bytes of names one stream is asked for."""
HASHED_BYTES = 256 << 20
"""How much content one call hashes, about."""


class End:
    """One side: a directory, and the toolbox that reaches it."""

    def __init__(self, toolbox: Here | RemoteToolbox, path: str) -> None:
        self.toolbox = toolbox
        self.path = path
        self.unread: list[str] = []

    async def entries(self, chosen: dict[str, object]) -> dict[str, Stat]:
        """Everything in it, by its path below it; nothing when it is not there."""
        found: dict[str, Stat] = {}
        prefix = "" if self.path == "." else f"{self.path}/"
        after = ""
        while True:
            page = await self.toolbox.trees.list(self.path, after=after, **chosen)  # type: ignore[arg-type]
            found |= {entry.path[len(prefix) :]: entry for entry in page.entries}
            self.unread += page.unread
            after = page.cursor
            if not after:
                return found

    def full(self, name: str) -> str:
        return name if self.path == "." else f"{self.path}/{name}"


class Plan(msgspec.Struct):
    """What has to be done."""

    new: list[str] = []
    changed: list[str] = []
    deleted: list[str] = []
    unchanged: int = 0
    left_out: list[str] = []
    size: int = 0


class Synced(Sum):
    """What was done; with `dry_run`, what would be."""

    dry_run: bool = False
    new: list[str] = []
    changed: list[str] = []
    deleted: list[str] = []
    unchanged: int = 0


async def sync(context: Context, arguments: Namespace) -> None:
    """Lists both, compares, deletes, and sends the rest as tar."""
    began = time.monotonic()
    places = [split_place(text) for text in (arguments.source, arguments.target)]
    if not any(places):
        raise SteadError("invalid", "one side is a local directory, the other WS:DIR (stead sync . work:project)")
    async with context.stead() as stead:
        with ExitStack() as stack:
            ends = []
            for text, place, is_target in zip((arguments.source, arguments.target), places, (False, True), strict=True):
                if place is None:
                    ends.append(_local(stack, text, is_target=is_target))
                else:
                    toolbox = await stead.workspaces.running(place[0])
                    ends.append(End(toolbox, await inside(toolbox, place[1])))
            done = await _sync(context, ends[0], ends[1], arguments)
    done.seconds = round(time.monotonic() - began, 3)
    _tell(context, done)


def _local(stack: ExitStack, text: str, *, is_target: bool) -> End:
    at = Path(text)
    if not at.is_dir() and (at.exists() or not is_target):
        raise SteadError("not_directory" if at.exists() else "not_found", f"{text}: it is not a directory", path=text)
    return End(here(stack, modes=0o777 & ~umask() if is_target else 0o777), local_path(text))


async def _sync(context: Context, source: End, target: End, arguments: Namespace) -> Synced:
    listed = await _listed(source, target, arguments)
    modes = target.toolbox.modes if isinstance(target.toolbox, Here) else 0o777
    plan = compare(listed[source], listed[target], modes=modes, checksum=arguments.checksum)
    if arguments.checksum:
        await _compare_content(source, target, listed, plan)
    _check_deletes(plan, source, arguments)
    done = Synced(
        dry_run=arguments.dry_run,
        new=plan.new,
        changed=plan.changed,
        deleted=plan.deleted,
        unchanged=plan.unchanged,
        left_out=plan.left_out + source.unread,
    )
    if not arguments.dry_run:
        await _carry_out(context, (source, target), listed[source], plan, done, arguments)
    return done


async def _listed(source: End, target: End, arguments: Namespace) -> dict[End, dict[str, Stat]]:
    """Both at once. What the source's rules ignore counts as not there in the target either, so that it stays."""
    listed: dict[End, dict[str, Stat]] = {}

    async def gather(end: End, **chosen: object) -> None:
        try:
            listed[end] = await end.entries({"include": arguments.include, **chosen})
        except SteadError as error:
            if error.code != "not_found" or end is source:
                raise
            listed[end] = {}

    async with anyio.create_task_group() as group:
        theirs = [*arguments.exclude, ".git"] if arguments.gitignore else arguments.exclude
        group.start_soon(partial(gather, source, ignore=arguments.gitignore, exclude=arguments.exclude))
        group.start_soon(partial(gather, target, exclude=theirs))
    if arguments.gitignore and arguments.delete:
        extra = [
            f"{path}/" if entry.kind is FileKind.DIRECTORY else path
            for path, entry in listed[target].items()
            if path not in listed[source]
        ]
        for start in range(0, len(extra), NAMES):
            judged = await source.toolbox.trees.ignored(source.path, extra[start : start + NAMES])
            for path in judged.names:
                del listed[target][path.rstrip("/")]
    return listed


def compare(source: dict[str, Stat], target: dict[str, Stat], *, modes: int = 0o777, checksum: bool = False) -> Plan:
    """What the target lacks, and what it has too much; of files that may be the same by content, nothing yet."""
    plan = Plan()
    for path, entry in source.items():
        there = target.get(path)
        if entry.kind is FileKind.OTHER or "\ufffd" in path:
            plan.left_out.append(path)
        elif there is None:
            plan.new.append(path)
            plan.size += entry.size
        elif not _same(entry, there, modes, checksum=checksum):
            plan.changed.append(path)
            plan.size += entry.size
        else:
            plan.unchanged += entry.kind is not FileKind.DIRECTORY
    plan.deleted = [*_topmost(path for path in sorted(target) if path not in source or _conflict(source, target, path))]
    return plan


def _same(entry: Stat, there: Stat, modes: int, *, checksum: bool) -> bool:
    if entry.kind is not there.kind:
        return False
    if entry.kind is FileKind.LINK:
        return entry.target == there.target
    if (entry.mode & modes & 0o777) != there.mode & 0o777:
        return False
    if entry.kind is FileKind.DIRECTORY:
        return True
    return entry.size == there.size and (checksum or abs(entry.modified - there.modified) < SAME_SECONDS)


def _conflict(source: dict[str, Stat], target: dict[str, Stat], path: str) -> bool:
    """A directory where something else is to be."""
    return target[path].kind is FileKind.DIRECTORY and source[path].kind is not FileKind.DIRECTORY


def _topmost(paths: Iterator[str]) -> Iterator[str]:
    """Without what goes with a directory above it."""
    gone: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if not any("/".join(parts[:end]) in gone for end in range(1, len(parts))):
            gone.add(path)
            yield path


async def _compare_content(source: End, target: End, listed: dict[End, dict[str, Stat]], plan: Plan) -> None:
    """Files of the same size and mode: by their hashes."""
    settled = {*plan.new, *plan.changed, *plan.left_out}
    doubtful = [path for path, entry in listed[source].items() if entry.kind is FileKind.FILE and path not in settled]
    for batch in _batches(doubtful, listed[source]):
        ours = await source.toolbox.trees.fingerprints([source.full(path) for path in batch], sha256=True)
        theirs = await target.toolbox.trees.fingerprints([target.full(path) for path in batch], sha256=True)
        for path, one, other in zip(batch, ours.fingerprints, theirs.fingerprints, strict=True):
            if one.sha256 != other.sha256:
                plan.changed.append(path)
                plan.size += one.size
                plan.unchanged -= 1


def _batches(paths: Sequence[str], entries: dict[str, Stat]) -> Iterator[list[str]]:
    """As much as one call hashes in good time."""
    batch: list[str] = []
    size = 0
    for path in paths:
        if batch and (size > HASHED_BYTES or len(batch) >= NAMES // 10):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += entries[path].size
    if batch:
        yield batch


def _check_deletes(plan: Plan, source: End, arguments: Namespace) -> None:
    """Without --delete nothing is deleted; what stands in the way is told."""
    if not arguments.delete:
        sent = {*plan.new, *plan.changed}
        conflicts = [path for path in plan.deleted if path in sent]
        if conflicts:
            raise SteadError(
                "conflict", f"{conflicts[0]}: the target has a directory there; --delete removes it", path=conflicts[0]
            )
        plan.deleted = []
    elif source.unread:
        raise SteadError(
            "permission_denied",
            f"{source.unread[0]}: it cannot be read, so that nobody knows what is to be deleted",
            path=source.unread[0],
        )


async def _carry_out(
    context: Context, ends: tuple[End, End], kinds: dict[str, Stat], plan: Plan, done: Synced, arguments: Namespace
) -> None:
    source, target = ends
    for start in range(0, len(plan.deleted), NAMES // 10):
        await target.toolbox.trees.delete([target.full(path) for path in plan.deleted[start : start + NAMES // 10]])
    with Progress(context.out, "sync", plan.size) as progress:
        for names in _names([*plan.new, *plan.changed], kinds):
            pieces = progress.counted(source.toolbox.download_tree(source.path, names=names))
            unpacked = await target.toolbox.upload_tree(target.path, pieces, links=arguments.links or "skip")
            done.take(unpacked)
    done.new = [path for path in done.new if path not in done.skipped]


def _names(paths: Sequence[str], kinds: dict[str, Stat]) -> Iterator[list[str]]:
    """So many as one stream may be asked for. Directories last: their modes may close them, and their times are set."""
    batch: list[str] = []
    size = 0
    for path in sorted(paths, key=lambda path: (kinds[path].kind is FileKind.DIRECTORY, path.split("/"))):
        if batch and size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += len(path.encode()) + 8
    if batch:
        yield batch


def _tell(context: Context, done: Synced) -> None:
    if context.out.json:
        context.out.value(done)
        return
    if done.dry_run:
        for mark, paths in (("-", done.deleted), ("+", done.new), ("~", done.changed)):
            for path in paths:
                context.out.line(f"{mark} {path}")
    left_out(context, done)
    verb = "would send" if done.dry_run else "sent"
    size = "" if done.dry_run else f" ({output.amount(done.size)})"
    context.out.note(
        f"{verb} {len(done.new) + len(done.changed)}{size}, "
        f"{'would delete' if done.dry_run else 'deleted'} {len(done.deleted)}, {done.unchanged} unchanged"
    )


def _arguments(parser: Parser) -> None:
    parser.add_argument("source", help="a local directory, or WS:DIR")
    parser.add_argument("target", help="a local directory, or WS:DIR; it is made when it is missing")
    parser.add_argument("--delete", action="store_true", help="remove from the target what is not in the source")
    parser.add_argument("--checksum", action="store_true", help="compare content, not times")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only tell what would be done")
    tree_arguments(parser)


VERBS = {
    "sync": Verb("make a directory the same as another; only differences travel", sync, _arguments, details=DETAILS)
}
