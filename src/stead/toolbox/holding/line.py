"""JSON lines over a non-blocking socket, driven by a selectors loop.

Contract: `readable()` gives the whole lines that came (None at the end), `send` queues one, `flush` writes what the socket
takes. A peer that sends a line over `LINE_BYTES` or lets `QUEUE_BYTES` pile up is cut off (`closed`).
"""

from __future__ import annotations

import json
import socket
from typing import Any

READ_BYTES = 64 << 10
"""What is read at once: little enough that the memory for it is not asked of the system anew each time."""
LINE_BYTES = 4 << 20
QUEUE_BYTES = 8 << 20

Value = dict[str, Any]


_encode = json.JSONEncoder(separators=(",", ":")).encode


def line(value: Value) -> bytes:
    """One value as one line."""
    return _encode(value).encode() + b"\n"


class Line:
    """One end."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.number = connection.fileno()
        self.closed = False
        self._in = bytearray()
        self._out = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes not written yet."""
        return len(self._out)

    def readable(self) -> list[Value] | None:
        """Whole lines; None when the peer is gone or broke the rules."""
        try:
            data = self.connection.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data or len(self._in) + len(data) > LINE_BYTES:
            return None
        self._in += data
        if b"\n" not in data:
            return []
        *lines, rest = self._in.split(b"\n")
        self._in = bytearray(rest)
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            return None

    def send(self, value: Value) -> bool:
        """Queues one line and tries to write it at once. False when the line is closed."""
        if self.closed:
            return False
        self._out += line(value)
        if len(self._out) > QUEUE_BYTES:
            self.close()
            return False
        return self.flush()

    def flush(self) -> bool:
        """Writes what the socket takes. False when the line is closed."""
        while self._out and not self.closed:
            try:
                done = self.connection.send(self._out)
            except BlockingIOError:
                return True
            except OSError:
                self.close()
            else:
                del self._out[:done]
        return not self.closed

    def close(self) -> None:
        """May be called twice."""
        if not self.closed:
            self.closed = True
            self.connection.close()
