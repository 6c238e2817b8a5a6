"""`stead search` and `stead watch`: finding things in a workspace, and seeing what changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, workspace_argument

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as Group

    from msgspec import Struct

    from stead.toolbox.search.contract import Content, IndexState, Line, Match, Ranked, Search, Symbol, WhereOptions
    from stead.toolbox.watch.contract import Change

NONE_FOUND = 1
SIGNS = {"created": "+", "modified": "~", "deleted": "-", "renamed": ">", "overflow": "!"}


async def search(context: Context, arguments: Namespace) -> int:
    """0 when something was found."""
    async with context.toolbox(arguments.workspace) as toolbox:
        return NONE_FOUND if not await _KINDS[arguments.kind](context, toolbox.search, arguments) else 0


def _where(arguments: Namespace) -> WhereOptions:
    where: WhereOptions = {
        "include": arguments.include,
        "exclude": arguments.exclude,
        "hidden": arguments.hidden,
        "ignored": arguments.ignored,
    }
    if arguments.limit is not None:
        where["limit"] = arguments.limit
    return where


async def _content(context: Context, search: Search, arguments: Namespace) -> int:
    found = await search.content(
        arguments.query,
        arguments.path,
        literal=arguments.literal,
        case="insensitive" if arguments.ignore_case else "smart" if arguments.smart_case else "sensitive",
        word=arguments.word,
        multiline=arguments.multiline,
        before=max(arguments.before, arguments.context),
        after=max(arguments.after, arguments.context),
        per_file=arguments.per_file,
        **_where(arguments),
    )
    _show(context, found, _matches(found))
    for problem in found.problems:
        context.out.note(f"stead: {problem}")
    _more(context, found.truncated)
    return len(found.matches)


def _matches(found: Content) -> Iterator[str]:
    """As grep has it: `path:line:text`, `path-line-text` around it, and `--` where lines are left out."""
    matched = {(match.path, match.line + n) for match in found.matches for n in range(match.lines)}
    last = ("", 0)
    for match in found.matches:
        around = bool(match.before or match.after)
        first = match.before[0].line if match.before else match.line
        if around and last[0] and (last[0] != match.path or first > last[1] + 1):
            yield "--"
        shown = last[1] if last[0] == match.path else 0
        yield from _around(match, match.before, shown)
        yield f"{match.path}:{match.line}:{'...' if match.skipped else ''}{match.text}{_cut(match.clipped)}"
        following = [line for line in match.after if (match.path, line.line) not in matched]
        yield from _around(match, following, match.line)
        last = (match.path, max([match.line + match.lines - 1, *(line.line for line in following)]))


def _around(match: Match, lines: list[Line], shown: int) -> Iterator[str]:
    for line in lines:
        if line.line > shown:
            yield f"{match.path}-{line.line}-{line.text}{_cut(line.clipped)}"


def _cut(clipped: bool) -> str:
    return "..." if clipped else ""


async def _names(context: Context, search: Search, arguments: Namespace) -> int:
    found = await search.names(arguments.query, arguments.path, **_where(arguments))
    _show(context, found, (file.path for file in found.files))
    _more(context, found.truncated)
    return len(found.files)


async def _symbols(context: Context, search: Search, arguments: Namespace) -> int:
    found = await search.symbols(arguments.query, arguments.path, **_where(arguments))
    _show(context, found, map(_symbol, found.symbols))
    if found.missing:
        context.out.note(f"stead: no grammar is installed for {', '.join(found.missing)}")
    if found.index is not None:
        _index(context, found.index)
    _more(context, found.truncated)
    return len(found.symbols)


def _symbol(found: Symbol) -> str:
    within = f"  in {found.container}" if found.container else ""
    return f"{found.path}:{found.line}:{found.kind} {found.name}{within}"


async def _ranked(context: Context, search: Search, arguments: Namespace) -> int:
    found = await search.ranked(arguments.query, arguments.path, **_where(arguments))
    _show(context, found, _pieces(found, snippets=arguments.snippets))
    _index(context, found.index)
    return len(found.results)


def _pieces(found: Ranked, *, snippets: bool) -> Iterator[str]:
    for each in found.results:
        name = f" {each.name}" if each.name else ""
        yield f"{each.path}:{each.line}-{each.end_line}:{each.kind}{name}  ({each.relevance:.2f})"
        if snippets:
            yield "".join(f"    {line}\n" for line in each.snippet.splitlines())


_KINDS = {"content": _content, "names": _names, "symbols": _symbols, "ranked": _ranked}


def _show(context: Context, found: Struct, lines: Iterable[str]) -> None:
    if context.out.json:
        context.out.value(found)
        return
    for line in lines:
        context.out.line(line)


def _more(context: Context, truncated: bool) -> None:
    if truncated:
        context.out.note("stead: there is more; ask for less, or with a higher --limit")


def _index(context: Context, index: IndexState) -> None:
    if not index.complete:
        why = index.problem or f"{index.waiting} files are still to be read"
        context.out.note(f"stead: the index is not complete, results may be missing: {why}")


def _which_arguments(parser: Parser, ignored: str) -> Group:
    """Which files a search or a watch is about."""
    which = parser.add_argument_group("which files")
    which.add_argument(
        "-g", "--include", metavar="GLOB", action="append", default=[], help="only these; again for more"
    )
    which.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="not these; again for more")
    which.add_argument("--ignored", action="store_true", help=ignored)
    return which


def _search_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("query", help="a regular expression; letters with --names and --symbols; words with --ranked")
    parser.add_argument("path", nargs="?", default=".", help="where in the workspace (default: everywhere)")
    kinds = parser.add_mutually_exclusive_group()
    for kind, about in (
        ("names", "files by letters of their names"),
        ("symbols", "definitions by letters of their names"),
        ("ranked", "pieces of code and prose that fit some words best"),
    ):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, default="content", help=about)
    which = _which_arguments(parser, "also what ignore files leave out")
    which.add_argument("--hidden", action="store_true", help="also hidden files")
    how = parser.add_argument_group("how")
    how.add_argument("-i", "--ignore-case", action="store_true", help="capitals do not matter")
    how.add_argument("-S", "--smart-case", action="store_true", help="capitals matter when the query has some")
    how.add_argument("-F", "--literal", action="store_true", help="the query is a text, no expression")
    how.add_argument("-w", "--word", action="store_true", help="whole words")
    how.add_argument("-U", "--multiline", action="store_true", help="the expression may go over lines")
    how.add_argument("-B", "--before", type=int, default=0, metavar="N", help="lines before")
    how.add_argument("-A", "--after", type=int, default=0, metavar="N", help="lines after")
    how.add_argument("-C", "--context", type=int, default=0, metavar="N", help="lines before and after")
    how.add_argument("-m", "--per-file", type=int, default=0, metavar="N", help="at most so many matches of a file")
    how.add_argument("--limit", type=int, default=None, metavar="N", help="at most so many in all")
    how.add_argument("--snippets", action="store_true", help="with --ranked: what stands there")


async def watch(context: Context, arguments: Namespace) -> None:
    """Until it is interrupted, or so many changes came."""
    left = arguments.count
    async with (
        context.toolbox(arguments.workspace) as toolbox,
        toolbox.watch.open(
            arguments.path,
            include=arguments.include,
            exclude=arguments.exclude,
            ignored=arguments.ignored,
            poll=arguments.poll,
        ) as watching,
    ):
        context.out.note(f"stead: watching {arguments.path}; ctrl-c ends it")
        async for change in watching:
            _print_change(context, change)
            left -= 1
            if left == 0:
                return


def _print_change(context: Context, change: Change) -> None:
    if context.out.json:
        context.out.row(change)
        return
    if change.overflow:
        context.out.line("! changes may be missing; list anew")
        return
    path = f"{change.path}/" if change.directory else change.path
    context.out.line(f"{SIGNS[change.kind]} {f'{change.previous} -> ' if change.previous else ''}{path}")


def _watch_arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("path", nargs="?", default=".", help="what in the workspace (default: everything)")
    _which_arguments(parser, "also what ignore files leave out, and .git")
    parser.add_argument("--poll", action="store_true", help="look again and again, also where the system would tell")
    parser.add_argument("-n", "--count", type=int, default=0, metavar="N", help="end after so many changes")


VERBS = {
    "search": Verb(
        "search in a workspace", search, _search_arguments, details="The exit code is 1 when nothing is found."
    ),
    "watch": Verb("print every change of files in a workspace", watch, _watch_arguments),
}
