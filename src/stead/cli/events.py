"""`stead events`: what happened, and what happens."""

from __future__ import annotations

from stead.api.types import Event
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb
from stead.cli.workspaces import event_row


async def events(context: Context, arguments: Namespace) -> None:
    """Those kept, then (with --follow) live until interrupted."""
    async with context.stead() as stead:
        if not arguments.follow:
            items = [event async for event in stead.events.list(subject=arguments.subject, after=arguments.after)]
            rows = [(*event_row(event)[:2], event.subject, event_row(event)[2]) for event in items]
            context.out.items(items, ("at", "kind", "subject", "what"), rows)
            return
        async for event in stead.events.watch(subject=arguments.subject, after=arguments.after or None):
            _print(context, event)


def _print(context: Context, event: Event) -> None:
    if context.out.json:
        context.out.row(event)
    else:
        at, kind, what = event_row(event)
        context.out.line(f"{at}  {kind}  {event.subject}  {what}".rstrip())


def _arguments(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens, until interrupted")
    parser.add_argument("--subject", default="", help="only about this id")
    parser.add_argument("--after", default="", metavar="CURSOR", help="only after this event's cursor")


VERBS = {"events": Verb("what happened, oldest first", events, _arguments)}
