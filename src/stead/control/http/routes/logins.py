"""Coming in and going out: login, logout, who am I, tickets."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody

from stead.api.types import Login, LoginAnswer, Ticket, WhoAmI
from stead.control.http.audited import ACTOR
from stead.control.http.auth import COOKIE, gate_of
from stead.control.http.guards import ANYONE, needs, public
from stead.control.http.params import Asker, Given
from stead.control.http.scope import known, state_of
from stead.control.people.caller import Caller
from stead.protocol.errors import SteadError

TAGS = ["people"]


@post("/login", operation_id="login", opt=public(), tags=TAGS, status_code=200)
async def login(services: Given, data: JSONBody[Login], request: Request[Any, Any, Any]) -> Response[LoginAnswer]:
    """A one-time code becomes a browser session (cookie), or an API token where a name for one is given."""
    gate = gate_of(request.scope)
    gate.attempt(request.scope)
    try:
        entry = await services.people.logins.redeem(data.code, data.token_name)
    except SteadError as error:
        raise gate.failed(request.scope, error) from None
    via = "token" if data.token_name else "session"
    state_of(request.scope)[ACTOR] = Caller(
        user_id=entry.user.id,
        name=entry.user.name,
        role=entry.user.role,
        scopes=frozenset(),
        via=via,
        credential_id=entry.credential_id,
    )
    if data.token_name:
        return Response(LoginAnswer(user=entry.user, secret=entry.secret))
    lifetime = int(services.settings.limits.session_seconds)
    cookie = _cookie(entry.secret, lifetime, secure=services.settings.secure)
    return Response(LoginAnswer(user=entry.user), cookies=[cookie])


@post("/logout", operation_id="logout", opt=needs(ANYONE), tags=TAGS, status_code=204)
async def logout(caller: Asker, services: Given) -> Response[None]:
    """Ends the session or token that asks."""
    if caller.via == "session":
        await services.people.sessions.end(caller, caller.credential_id)
    else:
        await services.people.tokens.end_own(caller)
    return Response(None, status_code=204, cookies=[_cookie("", 0, secure=services.settings.secure)])


@get("/whoami", operation_id="whoami", opt=needs(ANYONE), tags=TAGS)
async def whoami(caller: Asker, services: Given) -> WhoAmI:
    """Who the credential stands for, and what it may do."""
    user = await services.people.users.get(caller, caller.user_id)
    return WhoAmI(user=user, scopes=sorted(caller.scopes), via=caller.via)


@post("/tickets", operation_id="createTicket", opt=needs(ANYONE), tags=TAGS)
async def create_ticket(services: Given, request: Request[Any, Any, Any]) -> Ticket:
    """Opens one WebSocket, once, within 40 seconds (`?ticket=`)."""
    return services.people.tickets.issue(known(request.scope))


def _cookie(value: str, lifetime: int, *, secure: bool) -> Cookie:
    return Cookie(key=COOKIE, value=value, max_age=lifetime, path="/", httponly=True, samesite="strict", secure=secure)


ROUTES = [login, logout, whoami, create_ticket]
