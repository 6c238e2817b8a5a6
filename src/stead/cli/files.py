"""`stead files`: the files of a workspace."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import anyio
import anyio.to_thread

from stead.cli import output
from stead.cli.context import Context
from stead.cli.progress import Progress
from stead.cli.singles import add, fetch, send, to_stdout
from stead.cli.words import Namespace, Parser, Verb, mode, workspace_argument
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind, Stat


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
            async for piece in toolbox.download(path, arguments.offset, arguments.length):
                await anyio.to_thread.run_sync(to_stdout, piece)


async def get(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        target = Path(arguments.target or Path(arguments.path).name)
        target = target / Path(arguments.path).name if target.is_dir() else target
        with Progress(context.out, arguments.path) as progress:
            await fetch(toolbox, arguments.path, target, progress)


async def put(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        name = "stdin" if arguments.source == "-" else Path(arguments.source).name
        carry = add if arguments.append else send
        with Progress(context.out, arguments.source) as progress:
            written = await carry(
                toolbox, arguments.source, arguments.path or name, parents=arguments.parents, progress=progress
            )
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


async def find(context: Context, arguments: Namespace) -> None:
    """Page by page, however many there are."""
    async with context.toolbox(arguments.workspace) as toolbox:
        after = ""
        while True:
            page = await toolbox.trees.list(
                arguments.path,
                include=arguments.patterns,
                exclude=arguments.exclude,
                ignore=arguments.gitignore,
                after=after,
            )
            for entry in page.entries:
                if context.out.json:
                    context.out.row(entry)
                else:
                    context.out.line(_shown(entry))
            for path in page.unread:
                context.out.note(f"stead: {path} cannot be read")
            after = page.cursor
            if not after:
                return


async def chmod(context: Context, arguments: Namespace) -> None:
    async with context.toolbox(arguments.workspace) as toolbox:
        for path in arguments.paths:
            await toolbox.trees.chmod(path, arguments.mode, recursive=arguments.recursive)


async def replace(context: Context, arguments: Namespace) -> None:
    """Exactly once, unless every one is meant."""
    async with context.toolbox(arguments.workspace) as toolbox:
        done = await toolbox.text.replace(arguments.path, arguments.old, arguments.new, every=arguments.every)
    changed = f"+{done.lines_added} -{done.lines_removed}"
    context.out.facts(done, {"path": done.path, "places": str(done.replaced), "lines": changed})


async def patch(context: Context, arguments: Namespace) -> None:
    """Every file of the diff, or none."""
    raw = await anyio.to_thread.run_sync(_input, arguments.diff)
    try:
        diff = raw.decode()
    except UnicodeDecodeError:
        raise SteadError("not_text", "the diff is not UTF-8") from None
    async with context.toolbox(arguments.workspace) as toolbox:
        done = await toolbox.text.patch(diff, path=arguments.path, strip=arguments.strip, check=arguments.check)
    rows = [(each.change.value, f"+{each.lines_added}", f"-{each.lines_removed}", each.path) for each in done.files]
    context.out.items(done.files, ("change", "added", "removed", "path"), rows)


def _input(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


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


def _cat_arguments(parser: Parser) -> None:
    _paths_arguments(parser)
    parser.add_argument("--offset", type=int, default=0, metavar="BYTES", help="where to begin")
    parser.add_argument("--length", type=int, default=None, metavar="BYTES", help="how much (to the end)")


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
    parser.add_argument("-a", "--append", action="store_true", help="add to the end of what is there")


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


def _find_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("patterns", nargs="*", metavar="pattern", help="as in .gitignore: *.py, src/**/test_*")
    parser.add_argument("--in", dest="path", default=".", metavar="DIR", help="where (the workspace's root)")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="leave out")
    parser.add_argument("--gitignore", action="store_true", help="leave out what .gitignore files ignore, and .git")


def _chmod_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("mode", type=mode, help="octal digits, such as 755")
    parser.add_argument("paths", nargs="+", metavar="path")
    parser.add_argument("-r", "--recursive", action="store_true", help="everything in a directory too")


def _replace_arguments(parser: Parser) -> None:
    _path_arguments(parser)
    parser.add_argument("old", help="text that is there exactly once")
    parser.add_argument("new", help="what is to be there instead")
    parser.add_argument("--every", action="store_true", help="wherever it is")


def _patch_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("diff", nargs="?", default="-", help="a file with a unified diff; - is stdin")
    parser.add_argument("--in", dest="path", default=".", metavar="DIR", help="where its names are (the root)")
    parser.add_argument("-p", "--strip", type=int, default=1, help="how many leading names to remove (1)")
    parser.add_argument("--check", action="store_true", help="only whether it would apply")


VERBS = {
    "ls": Verb("list a directory", ls, _ls_arguments),
    "cat": Verb("print files", cat, _cat_arguments),
    "put": Verb("send a file into the workspace", put, _put_arguments),
    "get": Verb("fetch a file from the workspace", get, _get_arguments),
    "rm": Verb("remove files", rm, _rm_arguments),
    "stat": Verb("everything about one path", show, _path_arguments),
    "mkdir": Verb("make directories", mkdir, _mkdir_arguments),
    "find": Verb("what fits a pattern, at any depth", find, _find_arguments),
    "chmod": Verb("change permissions", chmod, _chmod_arguments),
    "replace": Verb("replace text in a file", replace, _replace_arguments),
    "patch": Verb("apply a unified diff, every file of it or none", patch, _patch_arguments),
    "mv": Verb("move within the workspace", mv, _mv_arguments),
}
