"""What a route needs of its caller, written beside the route and enforced in one place.

Contract: every handler has `opt=needs(right)` or `opt=public()`; `guard` refuses a handler that says nothing.
"""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

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


def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises "unauthenticated" or "forbidden"."""
    right = handler.opt.get(NEEDS, ANYONE) if handler.handler_name == "options_handler" else handler.opt[NEEDS]
    if right == PUBLIC:
        return
    caller = known(connection.scope).caller
    if right != ANYONE:
        caller.require(right)
