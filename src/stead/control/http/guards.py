"""What a route needs of its caller, written beside the route and enforced in one place.

Contract: every handler has `opt=needs(right)` or `opt=public()`; `guard` refuses a handler that says nothing. A handler whose
whole effect is the first unit that it writes says `in_one_unit`: the claim of its Idempotency-Key is then part of that unit.
One that changes nothing, although it is a POST, says `only_looks`: no audit entry is written.
"""

from __future__ import annotations

from typing import Any

from litestar import Request

from stead.control.http.claims import claim_of
from stead.control.http.scope import known
from stead.control.store.units import FIRST

NEEDS = "needs"
IN_ONE_UNIT = "in_one_unit"
ONLY_LOOKS = "only_looks"
PUBLIC = ""
ANYONE = "anyone"
"""Whoever is logged in, whatever the scopes."""


def needs(right: str) -> dict[str, Any]:
    """The caller's credential must carry the right."""
    return {NEEDS: right}


def in_one_unit(opt: dict[str, Any]) -> dict[str, Any]:
    """The effect is one unit."""
    return {**opt, IN_ONE_UNIT: True}


def only_looks(opt: dict[str, Any]) -> dict[str, Any]:
    """Nothing is changed."""
    return {**opt, ONLY_LOOKS: True}


def public() -> dict[str, Any]:
    """No credential is asked for."""
    return {NEEDS: PUBLIC}


async def guard(request: Request[Any, Any, Any]) -> None:
    """Raises "unauthenticated" or "forbidden". It runs before the request is read; the framework's own guards would each
    copy the handler and cross to a thread."""
    handler = request.scope["route_handler"]
    claim = claim_of(request.scope)
    if claim is not None and IN_ONE_UNIT in handler.opt:
        FIRST.set(claim)
    elif claim is not None:
        await claim.take()
    right = handler.opt.get(NEEDS)
    if right is None:
        right = ANYONE if handler.handler_name == "options_handler" else handler.opt[NEEDS]
    if right == PUBLIC:
        return
    caller = known(request.scope).caller
    if right != ANYONE:
        caller.require(right)
