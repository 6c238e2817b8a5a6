"""The HTTP parser of the server, with a bound on the request's head that it lacks.

Contract: `bounded(limit)` is a protocol class for uvicorn; a head of more bytes is answered 431 and the connection closed.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stead.control.http.errors import body_of
from stead.protocol.errors import SteadError


def bounded(limit: int) -> type[HttpToolsProtocol]:
    """The class with this limit."""

    class Bounded(HttpToolsProtocol):
        """Counts what comes before the headers are complete."""

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
