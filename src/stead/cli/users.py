"""`stead user`: the people of a control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stead.cli import output
from stead.cli.context import Context
from stead.cli.references import pick
from stead.cli.words import Namespace, Parser, Verb

if TYPE_CHECKING:
    from stead.api.types import User, UserCreated
    from stead.sdk.client import Stead


async def add(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        _show_login(context, await stead.users.create(arguments.name, role=arguments.role))


async def ls(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        items = [user async for user in stead.users.list()]
    rows = [(u.name, u.role, "disabled" if u.disabled else "active", output.age(u.created), u.id) for u in items]
    context.out.items(items, ("name", "role", "state", "age", "id"), rows)


async def show(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        _show(context, await find(stead, arguments.user))


async def disable(context: Context, arguments: Namespace) -> None:
    await _update(context, arguments, disabled=True)


async def enable(context: Context, arguments: Namespace) -> None:
    await _update(context, arguments, disabled=False)


async def role(context: Context, arguments: Namespace) -> None:
    await _update(context, arguments, role=arguments.role)


async def login(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        user = await find(stead, arguments.user)
        _show_login(context, await stead.users.login(user.id))


async def rm(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        user = await find(stead, arguments.user)
        await stead.users.delete(user.id)
    context.out.gone(user.id, user.name)


async def find(stead: Stead, reference: str) -> User:
    """By name, id, or the unique beginning of an id."""
    return await pick(stead.users.list(), reference, "user")


async def _update(
    context: Context, arguments: Namespace, *, role: str | None = None, disabled: bool | None = None
) -> None:
    async with context.stead() as stead:
        user = await find(stead, arguments.user)
        _show(context, await stead.users.update(user.id, role=role, disabled=disabled))


def _show(context: Context, user: User) -> None:
    state = "disabled" if user.disabled else "active"
    facts = {"id": user.id, "name": user.name, "role": user.role, "state": state}
    context.out.facts(user, facts | {"created": output.moment(user.created)})


def _show_login(context: Context, created: UserCreated) -> None:
    if context.out.json:
        context.out.value(created)
        return
    context.out.note(f"{created.user.name} logs in once with this link, or with `stead login` and the code in it:")
    context.out.line(f"{context.target.url}/login#{created.login}")


def _user_argument(parser: Parser) -> None:
    parser.add_argument("user", help="name, id, or the unique beginning of an id")


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("name")
    parser.add_argument("--role", choices=["member", "admin"], default="member")


def _role_arguments(parser: Parser) -> None:
    _user_argument(parser)
    parser.add_argument("role", choices=["member", "admin"])


VERBS = {
    "add": Verb("add somebody; prints a link to log in once", add, _add_arguments),
    "ls": Verb("list users", ls),
    "show": Verb("everything about one", show, _user_argument),
    "disable": Verb("lock somebody out; live links end within a second", disable, _user_argument),
    "enable": Verb("let somebody in again", enable, _user_argument),
    "role": Verb("make somebody member or admin", role, _role_arguments),
    "login": Verb("a new link to log in once", login, _user_argument),
    "rm": Verb("remove somebody", rm, _user_argument),
}
