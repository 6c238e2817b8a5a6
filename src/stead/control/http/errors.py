"""The one error shape of every route: `{error: {code, message, hint, details}, request_id}`.

Contract: `send_error` answers outside the framework, `HANDLERS` inside it. What is not a `SteadError` is logged under the
request id and told as `internal`, without its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from stead.api.types import ErrorAnswer
from stead.control.http.asgi import Send
from stead.protocol.errors import BY_STATUS, SteadError

log = structlog.get_logger("stead.http")

_CODES = BY_STATUS | {400: "malformed"}
_LONGEST_PAUSE = 86_400


def body_of(error: SteadError, request_id: str) -> bytes:
    """The answer's body."""
    return msgspec.json.encode(ErrorAnswer(error=error.fault(), request_id=request_id))


async def send_error(
    send: Send,
    error: SteadError,
    request_id: str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """A whole error answer on a bare ASGI connection."""
    body = body_of(error, request_id)
    own = {"content-type": "application/json", "content-length": str(len(body)), **headers_of(error), **(headers or {})}
    await send(
        {
            "type": "http.response.start",
            "status": status or error.row.status,
            "headers": [(name.encode(), value.encode()) for name, value in own.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def answer_stead(request: Request[Any, Any, Any], error: SteadError) -> Response[bytes]:
    """An error of the table."""
    if error.code == "internal":
        log.error("internal error", request_id=_request_id(request), error=error.message)
    return _response(request, error, error.row.status)


def answer_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the framework: no such route, a body that does not fit."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_bug(request, error)
    return _response(request, _of_framework(error), error.status_code)


def answer_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Anything else is ours to mend: the log has it under the request id."""
    log.error("bug", request_id=_request_id(request), path=request.url.path, exc_info=error)
    return _response(request, SteadError("internal", "something went wrong inside"), 500)


HANDLERS: dict[Any, Any] = {SteadError: answer_stead, HTTPException: answer_framework, Exception: answer_bug}


def _of_framework(error: HTTPException) -> SteadError:
    extra = error.extra if isinstance(error.extra, list) else []
    found = [item for item in extra if isinstance(item, dict)]
    if found:
        words = "; ".join(f"{item.get('key') or 'body'}: {item.get('message')}" for item in found)
        return SteadError("invalid", words)
    code = "invalid" if isinstance(error, ValidationException) else _CODES.get(error.status_code, "malformed")
    return SteadError(code, error.detail or HTTPStatus(error.status_code).phrase)


def _response(request: Request[Any, Any, Any], error: SteadError, status: int) -> Response[bytes]:
    return Response(
        content=body_of(error, _request_id(request)),
        status_code=status,
        media_type="application/json",
        headers=headers_of(error),
    )


def headers_of(error: SteadError) -> dict[str, str]:
    if error.code == "unauthenticated":
        return {"www-authenticate": 'Bearer realm="stead"'}
    if error.row.retry and error.row.status in {429, 503}:
        return {"retry-after": str(_pause(error.details.get("retry_after")))}
    return {}


def _pause(said: object) -> int:
    """Whole seconds; a workspace or a node may have said anything."""
    return max(1, round(said)) if isinstance(said, int | float) and 0 < said < _LONGEST_PAUSE else 1


def _request_id(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["state"].get("request_id", ""))
