"""The API as one ASGI application: all routes under `/api/v1`, with their guard and their one error shape.

Contract: `build_api(body_bytes)` makes the framework's application; `ROUTES` is every route there is.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Router
from litestar.openapi import OpenAPIConfig

from stead import __version__
from stead.control.http.errors import HANDLERS
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


def build_api(body_bytes: int) -> Litestar:
    """The framework's application."""
    return Litestar(
        route_handlers=[Router(path=PREFIX, route_handlers=ROUTES)],
        guards=[guard],
        dependencies=PROVIDED,
        exception_handlers=HANDLERS,
        request_max_body_size=body_bytes,
        openapi_config=OpenAPIConfig(title="Stead", version=__version__, render_plugins=[]),
        logging_config=None,
    )
