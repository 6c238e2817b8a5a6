"""The parameters that routes share: who asks, the services, pages, labels, versions.

Contract: annotated types for route signatures; `labels_of` and `version_of` turn their text into values or raise "invalid".
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter, SkipValidation

from stead.control.http.limits import PAGE_ITEMS
from stead.control.http.scope import known, services_of
from stead.control.http.services import Services
from stead.control.people.caller import Caller
from stead.protocol.errors import SteadError

Asker = NamedDependency[SkipValidation[Caller]]
Given = NamedDependency[SkipValidation[Services]]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_ITEMS, description="How many items at most.")]
After = Annotated[str, QueryParameter(max_length=200, description="`next` of the page before.")]
Word = Annotated[str, QueryParameter(max_length=200)]
Labels = Annotated[list[str] | None, QueryParameter(name="label", description="`name=value`; may be repeated.")]
IfMatch = Annotated[
    str,
    HeaderParameter(name="If-Match", description="The ETag that was read; the change is refused when it is another."),
]
FIRST_PAGE = 100


def _caller(request: Request[Any, Any, Any], services: Given) -> Caller:
    """It names the services so that they come first: the framework makes a task of each of two that may come together."""
    return known(request.scope).caller


def _services(request: Request[Any, Any, Any]) -> Services:
    return services_of(request.scope)


PROVIDED = {
    "caller": Provide(_caller, sync_to_thread=False),
    "services": Provide(_services, sync_to_thread=False),
}


def labels_of(texts: list[str] | None) -> dict[str, str]:
    """`name=value` pairs."""
    pairs = [text.partition("=") for text in texts or []]
    if any(not (name and split) for name, split, _ in pairs):
        raise SteadError("invalid", "label: expected name=value")
    return {name: value for name, _, value in pairs}


def version_of(if_match: str) -> int | None:
    """The version that an If-Match names; None for any."""
    text = if_match.strip().removeprefix("W/").strip('"')
    if text in {"", "*"}:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise SteadError("precondition_failed", "If-Match: not an ETag of this")
    return int(text)


def versioned(content: Any, version: int, status: int = 200, location: str = "") -> Response[Any]:
    """An answer with its ETag."""
    headers = {"ETag": f'"{version}"', **({"Location": location} if location else {})}
    return Response(content=content, status_code=status, headers=headers)
