"""`stead token`: API tokens."""

from __future__ import annotations

from stead.cli import output
from stead.cli.context import Context
from stead.cli.references import pick
from stead.cli.words import Namespace, Parser, Verb, seconds


async def create(context: Context, arguments: Namespace) -> None:
    """The secret goes to stdout and is shown this once."""
    async with context.stead() as stead:
        made = await stead.tokens.create(arguments.name, scopes=arguments.scope or ["*"], lifetime=arguments.lifetime)
    if context.out.json:
        context.out.value(made)
        return
    ends = f"until {output.moment(made.token.expires)}" if made.token.expires else "for ever"
    context.out.note(f"{made.token.name} ({made.token.id}) is valid {ends}; it is shown only now:")
    context.out.line(made.secret)


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        items = [token async for token in stead.tokens.list()]
    rows = [
        (t.name, " ".join(t.scopes), output.age(t.last_used), output.moment(t.expires) or "never", t.id) for t in items
    ]
    context.out.items(items, ("name", "scopes", "used", "expires", "id"), rows)


async def rm(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        token = await pick(stead.tokens.list(), arguments.token, "token")
        await stead.tokens.delete(token.id)
    context.out.gone(token.id, token.name)


def _create_arguments(parser: Parser) -> None:
    parser.add_argument("name")
    parser.add_argument("--scope", action="append", metavar="RIGHT", help="workspace:read, workspace:exec, ... (all)")
    parser.add_argument("--lifetime", type=seconds, default=None, metavar="TIME", help="30d; 0 never expires")


def _token_argument(parser: Parser) -> None:
    parser.add_argument("token", help="name, id, or the unique beginning of an id")


VERBS = {
    "create": Verb("make a token; its secret is printed once", create, _create_arguments),
    "ls": Verb("list tokens", ls),
    "rm": Verb("revoke a token and those made with it; their live links end within a second", rm, _token_argument),
}
