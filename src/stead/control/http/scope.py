"""What the door leaves for the routes in the ASGI scope's `state`: the request's id, who asks, and the services.

Contract: one function a fact, so that nobody spells the keys twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stead.control.people.identity import Known
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.control.http.services import Services


def state_of(scope: Any) -> dict[str, Any]:
    """The facts of one request."""
    state: dict[str, Any] = scope.setdefault("state", {})
    return state


def request_id(scope: Any) -> str:
    """The request's id, also told in the answer."""
    return str(state_of(scope).get("request_id", ""))


def known_or_none(scope: Any) -> Known | None:
    """Who asks, where they have shown a credential that holds."""
    found = state_of(scope).get("known")
    return found if isinstance(found, Known) else None


def known(scope: Any) -> Known:
    """Who asks, or "unauthenticated" with the reason."""
    if (found := known_or_none(scope)) is not None:
        return found
    refused = state_of(scope).get("refused")
    raise refused if isinstance(refused, SteadError) else SteadError("unauthenticated", "no credential was sent")


def services_of(scope: Any) -> Services:
    """The services."""
    services: Services = state_of(scope)["services"]
    return services


def header(scope: Any, name: bytes) -> str | None:
    """A header's value."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None
