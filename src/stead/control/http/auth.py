"""Who asks: the credential of a request or a WebSocket, the page it comes from, and how often.

Contract: `await gate.admit(scope)` leaves `known` (or why not: `refused`) in the scope's state and raises "origin_refused" or
"rate_limited". `await gate.admit_link(scope)` is the same for WebSockets, also by ticket, and must find somebody.
`gate_of(scope)` is the gate, for the routes.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from stead.control.http.limits import Limits
from stead.control.http.rates import Rates
from stead.control.http.scope import header, state_of
from stead.control.people.identity import Identities, Known
from stead.control.people.origins import Origins
from stead.control.people.tickets import Tickets
from stead.protocol.errors import SteadError

COOKIE = "stead_session"
SAFE = {"GET", "HEAD", "OPTIONS"}


class Gate:
    """Lets requests in."""

    def __init__(self, identities: Identities, tickets: Tickets, origins: Origins, limits: Limits) -> None:
        self._identities = identities
        self._tickets = tickets
        self._origins = origins
        self._requests = Rates(limits.requests_per_second, limits.requests_burst)
        self._attempts = Rates(limits.login_attempts / 60.0, limits.login_attempts)

    async def admit(self, scope: Any) -> None:
        """One HTTP request."""
        bearer, cookie = _bearer(scope), _cookie(scope)
        if scope["method"] not in SAFE:
            self._origins.check(header(scope, b"origin"), by_cookie=bool(cookie) and not bearer)
        known = await self._identify(scope, bearer, cookie)
        self._requests.take(known.caller.user_id if known else address(scope))

    async def admit_link(self, scope: Any) -> Known:
        """One WebSocket of a client."""
        ticket = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])[0]
        bearer, cookie = _bearer(scope), _cookie(scope)
        self._origins.check(header(scope, b"origin"), by_cookie=bool(ticket or cookie) and not bearer)
        try:
            if bearer:
                return await self._identities.of_bearer(bearer)
            if ticket:
                return self._tickets.redeem(ticket)
            raise SteadError("unauthenticated", "open a link with a token or a ticket")
        except SteadError as error:
            raise self.failed(scope, error) from None

    def attempt(self, scope: Any) -> None:
        """Raises "rate_limited" when too many credentials from there have failed; for what costs more than a look."""
        self._attempts.check(address(scope))

    def failed(self, scope: Any, error: SteadError) -> SteadError:
        """Counts a credential that did not hold; what to answer: the error, or "rate_limited" after too many."""
        if error.code != "unauthenticated":
            return error
        try:
            self._attempts.take(address(scope))
        except SteadError as limited:
            return limited
        return error

    async def _identify(self, scope: Any, bearer: str, cookie: str) -> Known | None:
        if not (bearer or cookie):
            return None
        state = state_of(scope)
        try:
            known = await (self._identities.of_bearer(bearer) if bearer else self._identities.of_cookie(cookie))
        except SteadError as error:
            state["refused"] = self.failed(scope, error)
            return None
        state["known"] = known
        return known


def gate_of(scope: Any) -> Gate:
    """The gate that let a request in, for counting failed logins."""
    gate: Gate = state_of(scope)["gate"]
    return gate


def address(scope: Any) -> str:
    """Where it comes from, for counting."""
    client = scope.get("client")
    return str(client[0]) if client else "local"


def _bearer(scope: Any) -> str:
    kind, _, secret = (header(scope, b"authorization") or "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _cookie(scope: Any) -> str:
    text = header(scope, b"cookie")
    if not text or COOKIE not in text:
        return ""
    try:
        jar = SimpleCookie(text)
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""
