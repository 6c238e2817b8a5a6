"""The API as one ASGI application: all routes under `/api/v1`, with their guard and their one error shape.

Contract: `build_api(body_bytes)` makes the framework's application; `ROUTES` is every route there is.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.exceptions import MethodNotAllowedException
from litestar.openapi import OpenAPIConfig

from stead import __version__
from stead.control.http.errors import HANDLERS, answer_framework
from stead.control.http.guards import guard
from stead.control.http.params import PROVIDED
from stead.control.http.routes import (
    audits,
    commands,
    events,
    execs,
    files,
    logins,
    nodes,
    server,
    sessions,
    tokens,
    toolbox,
    users,
    workspaces,
)

PREFIX = "/api/v1"

ROUTES: list[Any] = [
    route
    for module in (
        server,
        logins,
        workspaces,
        execs,
        files,
        toolbox,
        commands,
        nodes,
        users,
        tokens,
        sessions,
        events,
        audits,
    )
    for route in module.ROUTES
]


def _templates() -> list[tuple[re.Pattern[str], set[str]]]:
    """Every path as an expression, with its methods."""
    methods: dict[str, set[str]] = {}
    for handler in ROUTES:
        methods.setdefault(next(iter(handler.paths)), {"OPTIONS"}).update(handler.http_methods)
    return [(re.compile(PREFIX + re.sub(r"{[a-z_]+:str}", "[^/]+", path)), found) for path, found in methods.items()]


_TEMPLATES = _templates()


def _answer_method(request: Request[Any, Any, Any], error: MethodNotAllowedException) -> Response[bytes]:
    """What may be done there instead."""
    response = answer_framework(request, error)
    path = request.url.path.rstrip("/")
    allowed: set[str] = set().union(*(found for pattern, found in _TEMPLATES if pattern.fullmatch(path)))
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


@functools.cache
def build_api(body_bytes: int) -> Litestar:
    """The framework's application; it holds nothing of a server, so it is made once for each limit."""
    return Litestar(
        route_handlers=[Router(path=PREFIX, route_handlers=ROUTES)],
        before_request=guard,
        dependencies=PROVIDED,
        exception_handlers={**HANDLERS, MethodNotAllowedException: _answer_method},
        request_max_body_size=body_bytes,
        openapi_config=OpenAPIConfig(title="Stead", version=__version__, render_plugins=[]),
        logging_config=None,
    )
