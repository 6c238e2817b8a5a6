"""Answers that flow: a download, an exec's output. They end when the client goes or its credential does.

Contract: a route returns `Streamed(pieces, ...)` once it knows that the answer begins well. `pieces` is an async generator;
it is closed whatever happens.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio
import structlog
from litestar import Response

from stead.control.http.asgi import Receive, Scope, Send
from stead.control.http.scope import known, request_id, services_of
from stead.protocol.errors import SteadError

log = structlog.get_logger("stead.http")


class Streamed(Response[bytes]):
    """A flowing answer."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str], status: int = 200
    ) -> None:
        super().__init__(b"", status_code=status, media_type=media_type)
        self._pieces = pieces
        self._sent = {"content-type": media_type, **headers}

    def to_asgi_response(self, *args: Any, **options: Any) -> Any:
        """Itself."""
        del args, options
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is broken off stays incomplete, so that the server closes the connection and nobody takes it for whole."""
        asker = known(scope)
        headers = [(name.encode(), value.encode()) for name, value in self._sent.items()]
        people = services_of(scope).people
        with people.live.by(asker.caller, asker.expires):
            async with aclosing(self._pieces) as pieces:
                await people.identities.confirm(asker)
                await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
                async with anyio.create_task_group() as group:
                    group.start_soon(_watch, receive, group.cancel_scope)
                    await _send_all(scope, pieces, send)
                    group.cancel_scope.cancel()


async def _send_all(scope: Scope, pieces: AsyncGenerator[bytes, None], send: Send) -> None:
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except SteadError as error:
        log.warning("an answer was broken off", request_id=request_id(scope), code=error.code, error=error.message)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
