"""Health, version and the description of the API: what may be asked without a credential."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get

from stead import __version__
from stead.api.types import HealthAnswer, VersionAnswer
from stead.control.http.guards import public
from stead.control.http.openapi import description
from stead.control.http.params import Given
from stead.control.store import users
from stead.protocol.errors import SteadError
from stead.protocol.version import PROTOCOL

API_VERSION = "v1"


@get("/health", operation_id="health", opt=public(), tags=["server"])
async def health(services: Given) -> Response[HealthAnswer]:
    """Alive, whether the database answers, and whether the embedded node has come (`starting` until then)."""
    try:
        await services.store.read(users.count)
    except SteadError as error:
        return Response(HealthAnswer(status="degraded", database=error.code), status_code=503)
    if not services.readiness.ready:
        return Response(HealthAnswer(status="starting", database="ok"), status_code=503)
    return Response(HealthAnswer(status="ok", database="ok"))


@get("/version", operation_id="version", opt=public(), tags=["server"])
async def version() -> VersionAnswer:
    """The versions of the program, its protocol and its API."""
    return VersionAnswer(version=__version__, protocol=str(PROTOCOL), api=API_VERSION)


@get("/openapi.json", operation_id="describeApi", opt=public(), include_in_schema=False, media_type="application/json")
async def describe_api(request: Request[Any, Any, Any]) -> bytes:
    """The description of the API itself."""
    return _described(request.app)


@functools.cache
def _described(api: Litestar) -> bytes:
    return msgspec.json.encode(description(api))


ROUTES = [health, version, describe_api]
