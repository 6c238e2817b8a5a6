"""`stead session`: browser sessions."""

from __future__ import annotations

from stead.cli import output
from stead.cli.context import Context
from stead.cli.references import pick
from stead.cli.words import Namespace, Parser, Verb


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        items = [session async for session in stead.sessions.list()]
    rows = [(s.user_id, output.age(s.created), output.age(s.last_used), output.moment(s.expires), s.id) for s in items]
    context.out.items(items, ("user", "age", "used", "expires", "id"), rows)


async def rm(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        session = await pick(stead.sessions.list(), arguments.session, "session")
        await stead.sessions.delete(session.id)
    context.out.gone(session.id, session.id)


def _session_argument(parser: Parser) -> None:
    parser.add_argument("session", help="id, or its unique beginning")


VERBS = {
    "ls": Verb("list sessions", ls),
    "rm": Verb("end a session; its live links end within a second", rm, _session_argument),
}
