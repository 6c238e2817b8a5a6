"""Health and version: what may be asked without a credential."""

from __future__ import annotations

from litestar import Response, get

from stead import __version__
from stead.api.types import HealthAnswer, VersionAnswer
from stead.control.http.guards import public
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


ROUTES = [health, version]
