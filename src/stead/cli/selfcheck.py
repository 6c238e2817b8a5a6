"""`stead selfcheck`: tries in a workspace, through the whole path, everything that a toolbox promises."""

from __future__ import annotations

from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb, workspace_argument
from stead.protocol.errors import SteadError

FAILED = 1


async def selfcheck(context: Context, arguments: Namespace) -> int:
    """0 when no check failed."""
    from stead.toolbox import behaviour

    if unknown := [name for name in arguments.checks if name not in behaviour.CHECKS]:
        raise SteadError("invalid", f"no check {', '.join(unknown)}; there are: {', '.join(behaviour.CHECKS)}")
    failed = 0
    async with context.toolbox(arguments.workspace) as toolbox:
        async for outcome in behaviour.run(toolbox, arguments.checks):
            failed += not outcome.ok
            if context.out.json:
                context.out.row(outcome._asdict())
            elif not outcome.ok or not arguments.quiet:
                word = "skipped" if outcome.skipped else "ok" if outcome.ok else "FAILED"
                context.out.line(f"{word:7} {outcome.name} {outcome.detail}".rstrip())
    return FAILED if failed else 0


def _arguments(parser: Parser) -> None:
    workspace_argument(parser)
    parser.add_argument("checks", nargs="*", help="only these checks")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what failed")


VERBS = {"selfcheck": Verb("try everything a workspace promises", selfcheck, _arguments)}
