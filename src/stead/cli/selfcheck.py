"""`stead selfcheck`: tries in a workspace, through the whole path, or in a directory here, all that a toolbox promises."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.toolbox.contract import Toolbox
    from stead.toolbox.local import Make

FAILED = 1


async def selfcheck(context: Context, arguments: Namespace) -> int:
    """0 when no check failed."""
    if arguments.local is None:
        if not arguments.workspace:
            raise SteadError("invalid", "name a workspace, or a directory of this machine with --local")
        async with context.toolbox(arguments.workspace) as toolbox:
            return await check(context, toolbox, arguments)
    names = [arguments.workspace] if arguments.workspace else []
    arguments.checks = [*names, *arguments.checks]
    async with _here(arguments) as toolbox:
        return await check(context, toolbox, arguments)


@asynccontextmanager
async def _here(arguments: Namespace) -> AsyncIterator[Toolbox]:
    """The toolbox of a directory of this machine with the programs of this shell, without any guest; with a script when one is
    given."""
    from functools import partial
    from tempfile import TemporaryDirectory

    from stead.toolbox.local import LocalToolbox, opened
    from stead.toolbox.scripted import VARIABLE, ScriptedToolbox, script_of

    make: Make = LocalToolbox
    if arguments.script is not None:
        make = partial(ScriptedToolbox, script=script_of({VARIABLE: arguments.script or "{}"}))
    with TemporaryDirectory(prefix="stead-check-") as run:
        programs = {"PATH": os.environ.get("PATH", os.defpath)}
        async with opened(os.path.realpath(arguments.local), run, make=make, environment=programs) as toolbox:
            yield toolbox


async def check(context: Context, toolbox: Toolbox, arguments: Namespace) -> int:
    """Tries this toolbox and prints how each check ended."""
    from stead.toolbox import behaviour

    if unknown := [name for name in arguments.checks if name not in behaviour.CHECKS]:
        raise SteadError("invalid", f"no check {', '.join(unknown)}; there are: {', '.join(behaviour.CHECKS)}")
    ends: Counter[str] = Counter()
    async for outcome in behaviour.run(toolbox, arguments.checks):
        word = "skipped" if outcome.skipped else "ok" if outcome.ok else "FAILED"
        ends[word] += 1
        if context.out.json:
            context.out.row(outcome._asdict())
        elif not outcome.ok or not arguments.quiet:
            context.out.line(f"{word:7} {outcome.name} {outcome.detail}".rstrip())
    if not context.out.json:
        context.out.note(f"stead: {ends['ok']} held, {ends['FAILED']} failed, {ends['skipped']} skipped")
    return FAILED if ends["FAILED"] else 0


def check_arguments(parser: Parser) -> None:
    parser.add_argument("checks", nargs="*", help="only these checks")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what failed")


def _arguments(parser: Parser) -> None:
    parser.add_argument("workspace", metavar="WS", nargs="?", default="", help="name, id, or the beginning of an id")
    parser.add_argument("--local", metavar="DIR", help="a directory of this machine instead, without a workspace")
    parser.add_argument("--script", metavar="JSON", help='with --local: faults to expect, such as {"latency": 0.01}')
    check_arguments(parser)


VERBS = {"selfcheck": Verb("try everything a workspace promises", selfcheck, _arguments)}
