"""`stead cp`: files and directories into, out of and between workspaces."""

from __future__ import annotations

import posixpath
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stead.cli import output
from stead.cli.context import Context
from stead.cli.progress import Progress
from stead.cli.singles import fetch, mode_of, send, umask
from stead.cli.words import Namespace, Parser, Verb
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind
from stead.toolbox.trees.contract import Unpacked
from stead.toolbox.trees.here import Here

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox

DETAILS = """\
WS:PATH is a path in a workspace, everything else one of this machine; - is stdin or stdout.

  stead cp report.txt work:            into the workspace's root
  stead cp -  work:notes/today         from a pipe
  stead cp src tests work:project/     several, into a directory
  stead cp work:project .              a directory with all that is in it
  stead cp one:data two:data           between workspaces

As with cp: into a target that is a directory (or ends with a slash), under the source's name; directories are copied with all
that is in them, and merged with one that is there; a source that ends with /. means what is in the directory. Links stay
links; those that lead out of what is copied are left out, within one workspace kept, unless --links says otherwise. Modes are
kept, in directories times too; owners are not. A copy of a large file that is cut off goes on where it was when it is begun
again within a day."""


class Side:
    """One end of a copy: a path of this machine, or of a workspace."""

    def __init__(self, text: str, toolbox: RemoteToolbox | None, path: str) -> None:
        self.text = text
        self.toolbox = toolbox
        self.path = path

    @property
    def name(self) -> str:
        """What it is called below a directory; empty for what is in it."""
        if self.path == "-" and self.toolbox is None:
            return "stdin"
        tidy = self.path.rstrip("/")
        if tidy.endswith("/.") or tidy in {"", "."}:
            return ""
        name = posixpath.basename(tidy)
        return Path(self.path).resolve().name if name == ".." and self.toolbox is None else name

    async def kind(self) -> FileKind | None:
        """What is there, links followed; None for nothing."""
        if self.toolbox is None:
            here = Path(self.path)
            if here.is_dir():
                return FileKind.DIRECTORY
            return FileKind.FILE if here.exists() else None
        return await remote_kind(self.toolbox, self.path)

    def below(self, name: str) -> Side:
        """A name in it."""
        return Side(self.text, self.toolbox, posixpath.normpath(posixpath.join(self.path, name)) if name else self.path)


class Sum(msgspec.Struct):
    """What was copied in all."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size: int = 0
    seconds: float = 0.0
    skipped: list[str] = []
    left_out: list[str] = []

    def take(self, done: Unpacked) -> None:
        self.files += done.files
        self.directories += done.directories
        self.links += done.links
        self.size += done.size
        self.skipped += done.skipped
        self.left_out += done.left_out


async def cp(context: Context, arguments: Namespace) -> None:
    """The last argument is the target."""
    *sources, target = arguments.paths
    if not sources:
        raise SteadError("invalid", "say what to copy and where to (stead cp work:report.txt .)")
    if not any(split_place(text) for text in arguments.paths):
        raise SteadError("invalid", "one side is a local path, the other WS:PATH (stead cp work:report.txt .)")
    began = time.monotonic()
    total = Sum()
    async with context.stead() as stead:
        toolboxes: dict[str, RemoteToolbox] = {}
        for text in arguments.paths:
            place = split_place(text)
            if place and place[0] not in toolboxes:
                toolboxes[place[0]] = await stead.workspaces.running(place[0])
        sides = [_side(text, toolboxes) for text in arguments.paths]
        into = await _is_directory(sides[-1], many=len(sources) > 1)
        for source in sides[:-1]:
            at = sides[-1].below(source.name) if into else sides[-1]
            await _copy(context, source, at, arguments, total)
    total.seconds = round(time.monotonic() - began, 3)
    _tell(context, total, quiet=target == "-")


def split_place(text: str) -> tuple[str, str] | None:
    """`WS:PATH`, or None for a local path (one that has a slash before the colon, or no colon)."""
    workspace, colon, path = text.partition(":")
    return (workspace, path or ".") if colon and workspace and "/" not in workspace else None


async def remote_kind(toolbox: RemoteToolbox, path: str) -> FileKind | None:
    """What is there, links followed."""
    try:
        found = await toolbox.stat(path)
        if found.kind is not FileKind.LINK:
            return found.kind
        await toolbox.list(path, limit=1)
    except SteadError as error:
        if error.code == "not_found":
            return None
        if error.code != "not_directory":
            raise
        return FileKind.FILE
    return FileKind.DIRECTORY


def _side(text: str, toolboxes: dict[str, RemoteToolbox]) -> Side:
    place = split_place(text)
    if place is None:
        return Side(text, None, text)
    return Side(text, toolboxes[place[0]], "." if place[1] == "/" else place[1])


async def _is_directory(target: Side, *, many: bool) -> bool:
    """Whether the sources go into it; a slash at its end says that they are to."""
    if target.path == "-":
        if many:
            raise SteadError("invalid", "only one file goes to stdout")
        return False
    kind = await target.kind()
    if kind is not FileKind.DIRECTORY and many:
        raise SteadError("not_directory", f"{target.text}: several files go only into a directory that is there")
    return kind is FileKind.DIRECTORY or target.path.endswith("/")


async def _copy(context: Context, source: Side, target: Side, arguments: Namespace, total: Sum) -> None:
    kind = FileKind.FILE if source.path == "-" else await source.kind()
    if kind is None:
        raise SteadError("not_found", f"{source.text}: there is nothing", path=source.text)
    if source.toolbox is None and target.toolbox is None:
        raise SteadError("invalid", f"{source.text}: both sides are on this machine")
    if await _within(source, target, kind, arguments, total):
        return
    with Progress(context.out, source.name or source.text) as progress:
        if kind is FileKind.DIRECTORY:
            total.take(await _tree(source, target, arguments, progress))
        else:
            await _file(source, target, progress)
            total.files += 1
            total.size += progress.count


async def _file(source: Side, target: Side, progress: Progress) -> None:
    if target.toolbox is None:
        assert source.toolbox is not None
        await fetch(source.toolbox, source.path, Path(target.path), progress)
    elif source.toolbox is None:
        await send(target.toolbox, source.path, target.path, parents=False, progress=progress)
    else:
        mode = await mode_of(source.toolbox, source.path)
        pieces = source.toolbox.download(source.path)
        await target.toolbox.upload(target.path, progress.counted(pieces), mode=mode)


async def _within(source: Side, target: Side, kind: FileKind, arguments: Namespace, total: Sum) -> bool:
    """Inside of one workspace nothing travels; False for what is elsewhere, for directories that are to be merged, and for a
    choice of what is in one."""
    if source.toolbox is None or target.toolbox is None:
        return False
    if source.toolbox.workspace_id != target.toolbox.workspace_id:
        return False
    if kind is FileKind.DIRECTORY:
        await _check_apart(source, target)
        if arguments.include or arguments.exclude or arguments.gitignore or arguments.links in {"skip", "refuse"}:
            return False
    if await target.kind() is FileKind.DIRECTORY:
        return False
    done = await source.toolbox.trees.copy(source.path, target.path, overwrite=True)
    total.take(Unpacked(files=done.files, directories=done.directories, links=done.links, size=done.size))
    total.left_out += done.left_out
    return True


async def _check_apart(source: Side, target: Side) -> None:
    """A directory that is copied into itself would have no end."""
    assert source.toolbox is not None
    outer, inner = [await inside(source.toolbox, side.path) for side in (source, target)]
    if outer == "." or f"{inner}/".startswith(f"{outer}/"):
        raise SteadError("invalid", f"{source.text}: a directory is not copied into itself", path=source.path)


async def inside(toolbox: RemoteToolbox, text: str) -> str:
    """A path as answers have it: tidy and below the root."""
    if not text.startswith("/") or not text.strip("/"):
        return posixpath.normpath(text.lstrip("/") or ".")
    root = (await toolbox.info()).root.rstrip("/")
    if not f"{text}/".startswith(f"{root}/"):
        raise SteadError("path_outside", f"{text}: the path leads out of the workspace", path=text)
    return posixpath.normpath(text[len(root) :].lstrip("/") or ".")


async def _tree(source: Side, target: Side, arguments: Namespace, progress: Progress) -> Unpacked:
    """One stream from end to end."""
    if target.path == "-":
        raise SteadError("is_directory", f"{source.text}: a directory does not go to stdout")
    chosen = {"ignore": arguments.gitignore, "include": arguments.include, "exclude": arguments.exclude}
    with ExitStack() as stack:
        if source.toolbox is not None:
            pieces = source.toolbox.download_tree(source.path, **chosen)
        else:
            pieces = here(stack).download_tree(local_path(source.path), **chosen)
        archive = progress.counted(pieces)
        if target.toolbox is not None:
            return await target.toolbox.upload_tree(target.path, archive, links=arguments.links or "skip")
        machine = here(stack, modes=0o777 & ~umask())
        return await machine.upload_tree(local_path(target.path), archive, links=arguments.links or "skip")


def here(stack: ExitStack, modes: int = 0o777) -> Here:
    """The whole of this machine, so that the ignore rules above a directory count too."""
    machine = Here(Path("/"), modes=modes)
    stack.callback(machine.close)
    return machine


def local_path(text: str) -> str:
    """A path as that has it."""
    return str(Path(text).resolve()).lstrip("/") or "."


def _tell(context: Context, total: Sum, *, quiet: bool) -> None:
    if context.out.json and not quiet:
        context.out.value(total)
        return
    left_out(context, total)
    if total.files + total.directories > 1 and not quiet:
        context.out.note(f"{total.files} files, {output.amount(total.size)}")


def left_out(context: Context, total: Sum) -> None:
    """What did not come along, and why."""
    if total.skipped:
        context.out.note(f"stead: left out, because they lead out (--links keep takes them): {_some(total.skipped)}")
    if total.left_out:
        context.out.note(f"stead: left out, because they are no files or may not be read: {_some(total.left_out)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def tree_arguments(parser: Parser) -> None:
    """What both `cp` and `sync` take."""
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="leave out, as in .gitignore")
    parser.add_argument("--include", action="append", default=[], metavar="PATTERN", help="of files, only such")
    parser.add_argument("--gitignore", action="store_true", help="leave out what .gitignore files ignore, and .git")
    parser.add_argument(
        "--links", choices=["skip", "keep", "refuse"], help="links that lead out (skip: leave them out)"
    )


def _arguments(parser: Parser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="local paths, or WS:PATH; the last is the target")
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="accepted; directories always go with all in them"
    )
    tree_arguments(parser)


VERBS = {"cp": Verb("copy files and directories into, out of and between workspaces", cp, _arguments, details=DETAILS)}
