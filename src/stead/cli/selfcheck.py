"""`stead selfcheck`: tries in a workspace, through the whole path, everything that a toolbox promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, workspace_argument
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.toolbox.contract import Toolbox

FAILED = 1


async def selfcheck(context: Context, arguments: Namespace) -> int:
    """0 when no check failed."""
    async with context.toolbox(arguments.workspace) as toolbox:
        return await check(context, toolbox, arguments)


async def check(context: Context, toolbox: Toolbox, arguments: Namespace) -> int:
    """Tries this toolbox and prints how each check ended."""
    from stead.toolbox import behaviour

    if unknown := [name for name in arguments.checks if name not in behaviour.CHECKS]:
        raise SteadError("invalid", f"no check {', '.join(unknown)}; there are: {', '.join(behaviour.CHECKS)}")
    failed = 0
    async for outcome in behaviour.run(toolbox, arguments.checks):
        failed += not outcome.ok
        if context.out.json:
            context.out.row(outcome._asdict())
        elif not outcome.ok or not arguments.quiet:
            word = "skipped" if outcome.skipped else "ok" if outcome.ok else "FAILED"
            context.out.line(f"{word:7} {outcome.name} {outcome.detail}".rstrip())
    return FAILED if failed else 0


def check_arguments(parser: Parser) -> None:
    parser.add_argument("checks", nargs="*", help="only these checks")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what failed")


def _arguments(parser: Parser) -> None:
    workspace_argument(parser)
    check_arguments(parser)


VERBS = {"selfcheck": Verb("try everything a workspace promises", selfcheck, _arguments)}
