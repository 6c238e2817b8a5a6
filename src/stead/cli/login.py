"""`stead login`, `logout`, `whoami`: the credential of this command line.

A login code or token is read from the terminal without showing it, or from stdin; never from the command line.
"""

from __future__ import annotations

import socket
import sys
from getpass import getpass, getuser

from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb
from stead.protocol.errors import SteadError
from stead.sdk.client import Stead
from stead.sdk.config import Login, check_url, forget_login, save_login

TOKEN_PREFIX = "stead_"


async def login(context: Context, arguments: Namespace) -> None:
    """A link, a code or a token becomes a saved credential."""
    url, secret = split_link(_read_secret())
    address = check_url(arguments.address or url or context.target.url)
    if not secret:
        raise SteadError("invalid", "no login code or token was given")
    token, user = await (_check_token if secret.startswith(TOKEN_PREFIX) else _use_code)(address, secret)
    path = save_login(address, Login(token=token, user=user))
    if context.out.json:
        context.out.value({"url": address, "user": user})
    else:
        context.out.note(f"logged in to {address} as {user}; saved in {path}")


async def logout(context: Context, arguments: Namespace) -> None:
    """Revokes the saved credential where that is possible, and forgets it anyway."""
    target = context.target
    if target.source != "saved login":
        raise SteadError("not_found", f"no saved login is in use ({target.source})")
    revoked = False
    try:
        async with context.stead(patience=2.0) as stead:
            await stead.logout()
            revoked = True
    except SteadError as error:
        context.out.note(f"stead: {target.url} did not revoke the token ({error.message}); it is forgotten here")
    finally:
        forget_login(target.url)
    if context.out.json:
        context.out.value({"url": target.url, "revoked": revoked})
    else:
        context.out.note(f"logged out of {target.url}")


async def whoami(context: Context, arguments: Namespace) -> None:
    async with context.stead() as stead:
        who = await stead.whoami()
    target = context.target
    context.out.facts(
        who,
        {
            "user": f"{who.user.name} ({who.user.id})",
            "role": who.user.role,
            "rights": " ".join(who.scopes),
            "via": who.via,
            "server": f"{target.url} ({target.source})",
        },
    )


def split_link(text: str) -> tuple[str, str]:
    """A pasted login link gives address and code; anything else is the secret itself."""
    text = text.strip()
    address, mark, code = text.partition("/login#")
    return (address, code) if mark else ("", text)


def _read_secret() -> str:
    if sys.stdin.isatty():
        return getpass("login link, code or token: ")
    return sys.stdin.readline()


async def _check_token(address: str, token: str) -> tuple[str, str]:
    async with Stead(address, token) as stead:
        return token, (await stead.whoami()).user.name


async def _use_code(address: str, code: str) -> tuple[str, str]:
    async with Stead(address, "-") as stead:
        answer = await stead.login(code, f"{getuser()}@{socket.gethostname()}")
        return answer.secret, answer.user.name


def _login_arguments(parser: Parser) -> None:
    parser.add_argument("address", nargs="?", default="", metavar="URL", help="the control plane, if not in the link")


VERBS = {
    "login": Verb(
        "log in with a link, a login code or a token, read from the terminal or stdin", login, _login_arguments
    ),
    "logout": Verb("revoke and forget the saved login", logout),
    "whoami": Verb("who this command line is", whoami),
}
