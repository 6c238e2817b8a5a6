"""The one entrance: every request and WebSocket comes through here before anything else sees it.

Contract: `Door` is the ASGI application of the server. It gives the request its id, completes the headers of every answer,
finds out who asks, and hands on: `/api/...` to the API, the two links to theirs, the rest to the web app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from stead.control.http.asgi import ASGIApp, Message, Receive, Scope, Send
from stead.control.http.auth import Gate
from stead.control.http.bodies import hurried
from stead.control.http.errors import send_error
from stead.control.http.headers import guarded
from stead.control.http.scope import known_or_none, state_of
from stead.control.store.fresh import fresh
from stead.model import ids
from stead.protocol.errors import SteadError

if TYPE_CHECKING:
    from stead.control.http.services import Services

log = structlog.get_logger("stead.http")

API = "/api/"
Socket = Callable[[Any, Any, Any], Awaitable[None]]


class Door:
    """The ASGI application."""

    def __init__(self, services: Services, api: ASGIApp, web: ASGIApp, sockets: dict[str, Socket], gate: Gate) -> None:
        self._services = services
        self._api = api
        self._web = web
        self._sockets = sockets
        self._gate = gate
        self._secure = services.settings.secure
        self._head = services.settings.limits.header_bytes
        self._head_seconds = services.settings.limits.head_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        if scope["type"] == "lifespan":
            raise RuntimeError("the server starts and stops the application itself")
        state = state_of(scope)
        state["services"] = self._services
        state["gate"] = self._gate
        state["request_id"] = fresh(ids.Kind.REQUEST)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._request(scope, receive, send, str(state["request_id"]))

    async def _request(self, scope: Any, receive: Receive, send: Send, request_id: str) -> None:
        api = scope["path"].startswith(API)
        answer = _Answer(guarded(send, request_id, api=api, secure=self._secure))
        try:
            if (size := _head_bytes(scope)) > self._head:
                raise SteadError("headers_too_large", f"{size} bytes of headers; at most {self._head} are read")
            if api:
                await self._gate.admit(scope)
                if known_or_none(scope) is None:
                    receive = hurried(receive, self._head_seconds)
                await self._api(scope, receive, answer.send)
            elif scope["method"] in {"GET", "HEAD"}:
                await self._web(scope, receive, answer.send)
            else:
                raise SteadError("method_not_allowed", "there is nothing to change here; the API is under /api/v1")
        except SteadError as error:
            await answer.fail(error, request_id)
        except Exception as error:
            log.error("bug", request_id=request_id, path=scope["path"], exc_info=error)
            await answer.fail(SteadError("internal", "something went wrong inside"), request_id)

    async def _socket(self, scope: Any, receive: Receive, send: Send) -> None:
        serve = self._sockets.get(scope["path"].rstrip("/"))
        try:
            if serve is None or _head_bytes(scope) > self._head:
                raise SteadError("not_found", "there is no WebSocket at this address")
            await serve(scope, receive, send)
        except SteadError as error:
            await refuse_socket(scope, receive, send, error)


def _head_bytes(scope: Any) -> int:
    return len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"])


class _Answer:
    """Knows whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def send(self, message: Message) -> None:
        self._begun = True
        await self._send(message)

    async def fail(self, error: SteadError, request_id: str) -> None:
        """An error answer; where one has begun, the connection is broken instead."""
        if self._begun:
            raise error
        await send_error(self._send, error, request_id)


async def refuse_socket(scope: Any, receive: Receive, send: Send, error: SteadError) -> None:
    """Answers the upgrade request with the error, so that clients see its code."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4000 + error.row.status, "reason": error.code})
        return
    renamed = {
        "http.response.start": "websocket.http.response.start",
        "http.response.body": "websocket.http.response.body",
    }

    async def socket_send(message: Any) -> None:
        await send({**message, "type": renamed[message["type"]]})

    await send_error(socket_send, error, str(state_of(scope).get("request_id", "")))
