"""`stead files` and `stead cp`: the files of a workspace."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, workspace_argument
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind, Stat, Written

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox

PIECE = 1 << 18


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        listing = await toolbox.list(arguments.path, depth=arguments.depth)
    rows = [
        (stat.filemode(_type_bits(e.kind) | e.mode), str(e.size), output.moment(e.modified), _shown(e))
        for e in listing.entries
    ]
    context.out.items(listing.entries, ("mode", "size", "modified", "path"), rows)
    if listing.truncated:
        context.out.note("stead: there is more; list a directory further down")


async def cat(context: Context, arguments: Namespace) -> None:
    """Bytes as they are, straight to stdout."""
    async with context.toolbox(arguments.workspace) as toolbox:
        for path in arguments.paths:
            async for piece in toolbox.download(path):
                await anyio.to_thread.run_sync(_to_stdout, piece)


async def get(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        target = Path(arguments.target or Path(arguments.path).name)
        await fetch(toolbox, arguments.path, target / Path(arguments.path).name if target.is_dir() else target)


async def put(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        name = "stdin" if arguments.source == "-" else Path(arguments.source).name
        written = await send(toolbox, arguments.source, arguments.path or name, parents=arguments.parents)
    context.out.facts(written, {"path": written.path, "size": output.amount(written.size)})


async def rm(context: Context, arguments: Namespace) -> int:
    """0 also when it was gone already."""
    async with context.toolbox(arguments.workspace) as toolbox:
        for path in arguments.paths:
            deleted = await toolbox.delete(path, recursive=arguments.recursive)
            if context.out.json:
                context.out.row(deleted)
            elif not deleted.existed:
                context.out.note(f"stead: {path} was not there")
    return 0


async def show(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        found = await toolbox.stat(arguments.path)
    _facts(context, found)


async def mkdir(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        for path in arguments.paths:
            await toolbox.mkdir(path, parents=arguments.parents)


async def mv(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        await toolbox.move(arguments.source, arguments.target, overwrite=arguments.force)


async def cp(context: Context, arguments: Namespace) -> None:
    """WS:PATH names a file in a workspace; exactly one side is one."""
    source, target = split_place(arguments.source), split_place(arguments.target)
    if (source is None) == (target is None):
        raise SteadError("invalid", "one side is a local path, the other WS:PATH (stead cp work:report.txt .)")
    if source is not None:
        async with context.toolbox(source[0]) as toolbox:
            local = Path(arguments.target)
            await fetch(toolbox, source[1], local / Path(source[1]).name if local.is_dir() else local)
        return
    assert target is not None
    path = target[1]
    async with context.toolbox(target[0]) as toolbox:
        if path in {"", ".", "/"} or path.endswith("/"):
            path += Path(arguments.source).name if path != "." else f"/{Path(arguments.source).name}"
        await send(toolbox, arguments.source, path, parents=False)


async def fetch(toolbox: RemoteToolbox, path: str, target: Path) -> None:
    """Into a file beside the target first, so that a broken copy never replaces a whole one."""
    if str(target) == "-":
        async for piece in toolbox.download(path):
            await anyio.to_thread.run_sync(_to_stdout, piece)
        return
    fresh = tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False)  # noqa: SIM115
    try:
        with fresh:
            async for piece in toolbox.download(path):
                fresh.write(piece)
        mode = (await toolbox.stat(path)).mode
        Path(fresh.name).chmod(mode & 0o777 & ~_umask())
        Path(fresh.name).replace(target)
    except BaseException:
        Path(fresh.name).unlink(missing_ok=True)
        raise


async def send(toolbox: RemoteToolbox, source: str, path: str, *, parents: bool) -> Written:
    """A local file (or "-", stdin) into the workspace; size and hash are checked at the far end where known."""
    if source == "-":
        return await toolbox.upload(path, _pieces(sys.stdin.buffer), parents=parents)
    with Path(source).open("rb") as file:  # noqa: ASYNC230
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return await toolbox.upload(path, _pieces(file), parents=parents)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        return await toolbox.upload(
            path,
            _pieces(file),
            mode=stat.S_IMODE(about.st_mode),
            parents=parents,
            size=about.st_size,
            sha256=digest,
        )


def split_place(text: str) -> tuple[str, str] | None:
    """`WS:PATH`, or None for a local path (one that has a slash before the colon, or no colon)."""
    workspace, colon, path = text.partition(":")
    return (workspace, path or ".") if colon and workspace and "/" not in workspace else None


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await anyio.to_thread.run_sync(file.read, PIECE, abandon_on_cancel=True):
        yield piece


def _to_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _type_bits(kind: FileKind) -> int:
    return {FileKind.FILE: stat.S_IFREG, FileKind.DIRECTORY: stat.S_IFDIR, FileKind.LINK: stat.S_IFLNK}.get(kind, 0)


def _shown(entry: Stat) -> str:
    if entry.kind is FileKind.LINK:
        return f"{entry.path} -> {entry.target}"
    return f"{entry.path}/" if entry.kind is FileKind.DIRECTORY else entry.path


def _facts(context: Context, found: Stat) -> None:
    context.out.facts(
        found,
        {
            "path": found.path,
            "kind": found.kind.value,
            "size": f"{found.size} ({output.amount(found.size)})",
            "mode": f"{found.mode:04o}",
            "modified": output.moment(found.modified),
            "owner": f"{found.uid}:{found.gid}",
            "target": found.target,
        },
    )


def _path_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("path")


def _paths_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("paths", nargs="+", metavar="path")


def _ls_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("path", nargs="?", default=".")
    parser.add_argument("--depth", type=int, default=1, help="how deep (1: the directory itself)")


def _get_arguments(parser: Parser) -> None:
    _path_arguments(parser)
    parser.add_argument("target", nargs="?", default="", help="where to; - is stdout")


def _put_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("source", help="a local file; - is stdin")
    parser.add_argument("path", nargs="?", default="", help="where to in the workspace")
    parser.add_argument("-p", "--parents", action="store_true", help="make missing directories")


def _rm_arguments(parser: Parser) -> None:
    _paths_arguments(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="directories with all that is in them")


def _mkdir_arguments(parser: Parser) -> None:
    _paths_arguments(parser)
    parser.add_argument("-p", "--parents", action="store_true", help="make missing directories above")


def _mv_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("-f", "--force", action="store_true", help="replace what is there")


def _cp_arguments(parser: Parser) -> None:
    parser.add_argument("source", help="a local path, or WS:PATH")
    parser.add_argument("target", help="a local path, or WS:PATH")


VERBS = {
    "ls": Verb("list a directory", ls, _ls_arguments),
    "cat": Verb("print files", cat, _paths_arguments),
    "put": Verb("send a file into the workspace", put, _put_arguments),
    "get": Verb("fetch a file from the workspace", get, _get_arguments),
    "rm": Verb("remove files", rm, _rm_arguments),
    "stat": Verb("everything about one path", show, _path_arguments),
    "mkdir": Verb("make directories", mkdir, _mkdir_arguments),
    "mv": Verb("move within the workspace", mv, _mv_arguments),
    "cp": Verb("copy a file into or out of a workspace", cp, _cp_arguments),
}
