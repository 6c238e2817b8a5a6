"""What a route needs of its caller, written beside the route and enforced in one place.

Contract: every handler has `opt=needs(right)` or `opt=public()`; `guard` refuses a handler that says nothing.
"""

from __future__ import annotations

from typing import Any

from litestar import Request

from stead.control.http.scope import known

NEEDS = "needs"
PUBLIC = ""
ANYONE = "anyone"
"""Whoever is logged in, whatever the scopes."""


def needs(right: str) -> dict[str, Any]:
    """The caller's credential must carry the right."""
    return {NEEDS: right}


def public() -> dict[str, Any]:
    """No credential is asked for."""
    return {NEEDS: PUBLIC}


async def guard(request: Request[Any, Any, Any]) -> None:
    """Raises "unauthenticated" or "forbidden". It runs before the request is read; the framework's own guards would each
    copy the handler and cross to a thread."""
    handler = request.scope["route_handler"]
    right = handler.opt.get(NEEDS)
    if right is None:
        right = ANYONE if handler.handler_name == "options_handler" else handler.opt[NEEDS]
    if right == PUBLIC:
        return
    caller = known(request.scope).caller
    if right != ANYONE:
        caller.require(right)
