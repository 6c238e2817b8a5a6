"""The HTTP parser of the server, with two bounds on a request's head that it lacks: its size, and how long it may take.

Contract: `bounded(limit, within)` is a protocol class for uvicorn. A head of more bytes is answered 431 and the connection
closed. A connection on which no request is at work, and whose next one is not there in time, is closed too: one that says
nothing, half a head, a body that comes on after its answer.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stead.control.http.errors import body_of
from stead.protocol.errors import SteadError


class Timed(HttpToolsProtocol):
    """Closes a connection that keeps us waiting for the head of a request."""

    seconds = 60.0
    _timer: asyncio.TimerHandle | None = None
    _at_work = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_idle():
            self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._at_work += 1
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._at_work -= 1
        super().on_response_complete()

    def _is_idle(self) -> bool:
        """Whether no request is at work here, and this is no WebSocket by now."""
        return not self._at_work and not self.transport.is_closing() and self.transport.get_protocol() is self

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._is_idle():
            self.transport.close()


def bounded(limit: int, within: float) -> type[HttpToolsProtocol]:
    """The class with these limits."""

    class Bounded(Timed):
        """Counts what comes before the headers are complete."""

        seconds = within
        _head = 0
        _in_head = True

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head += len(data)
            super().data_received(data)
            if self._in_head and self._head > limit and not self.transport.is_closing():
                self.transport.write(_too_large(limit))
                self.transport.close()

        def on_message_begin(self) -> None:
            self._in_head, self._head = True, self._head if self._in_head else 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head, self._head = False, 0
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._in_head, self._head = True, 0

    return Bounded


def _too_large(limit: int) -> bytes:
    body = body_of(SteadError("headers_too_large", f"the headers of a request have at most {limit} bytes"), "")
    head = (
        "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
