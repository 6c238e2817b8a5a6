"""`stead audit`: who did what."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb

if TYPE_CHECKING:
    from stead.sdk.client import Stead


async def audit(context: Context, arguments: Namespace) -> None:
    items = []
    async with context.stead() as stead:
        numbers = count(1)
        async for entry in stead.audit.list(actor=arguments.actor, subject=arguments.subject, action=arguments.action):
            items.append(entry)
            if next(numbers) >= arguments.limit:
                break
        names = {} if context.out.json else await _names(stead)
    rows = [(output.moment(e.at), names.get(e.actor, e.actor), e.via, e.action, e.subject, e.outcome) for e in items]
    context.out.items(items, ("at", "who", "via", "did", "to", "outcome"), rows)


async def _names(stead: Stead) -> dict[str, str]:
    """Who is who; users who are gone keep their ids."""
    return {user.id: user.name async for user in stead.users.list()}


def _arguments(parser: Parser) -> None:
    parser.add_argument("--actor", default="", help="only of this user")
    parser.add_argument("--subject", default="", help="only about this")
    parser.add_argument("--action", default="", help="only this")
    parser.add_argument("--limit", type=int, default=200, help="how many entries (200)")


VERBS = {"audit": Verb("who did what, newest first", audit, _arguments)}
