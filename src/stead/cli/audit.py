"""`stead audit`: who did what."""

from __future__ import annotations

from itertools import count

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb


async def audit(context: Context, arguments: Namespace) -> None:
    items = []
    async with context.stead() as stead:
        numbers = count(1)
        async for entry in stead.audit.list(actor=arguments.actor, subject=arguments.subject, action=arguments.action):
            items.append(entry)
            if next(numbers) >= arguments.limit:
                break
    rows = [(output.moment(e.at), e.actor, e.via, e.action, e.subject, e.outcome) for e in items]
    context.out.items(items, ("at", "who", "via", "did", "to", "outcome"), rows)


def _arguments(parser: Parser) -> None:
    parser.add_argument("--actor", default="", help="only of this user")
    parser.add_argument("--subject", default="", help="only about this")
    parser.add_argument("--action", default="", help="only this")
    parser.add_argument("--limit", type=int, default=200, help="how many entries (200)")


VERBS = {"audit": Verb("who did what, newest first", audit, _arguments)}
