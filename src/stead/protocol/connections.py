"""What moves bytes: two small shapes that every transport has.

`Bytes` is a plain byte connection (unix socket, stdio, virtio-serial). `Messages` keeps message borders and tells text
from binary (WebSocket, memory, or `Framed` over any `Bytes`). Both refuse what is larger than their limit before parsing,
raise `SteadError("unavailable")` once closed, and may be closed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Cut(NamedTuple):
    """A binary message in two pieces, so that a large body is not copied to be sent."""

    head: bytes
    body: bytes | memoryview

    @property
    def size(self) -> int:
        """How many bytes the message has."""
        return len(self.head) + len(self.body)


Outgoing = str | bytes | Cut
"""What a link gives to be sent."""


def whole(message: Outgoing) -> str | bytes:
    """The message in one piece, for connections that know no other."""
    return b"".join(message) if isinstance(message, Cut) else message


class Bytes(Protocol):
    """An ordered byte connection."""

    async def read(self, limit: int) -> bytes:
        """At least one byte, at most `limit`; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Returns when the bytes are taken by the system or the buffer is below its bound."""

    async def close(self) -> None: ...


@runtime_checkable
class Prompt(Bytes, Protocol):
    """Bytes that can be handed over without waiting while the connection is not congested."""

    def ready(self) -> bool:
        """Whether `put` may be called now."""

    def put(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Takes these at once; nothing happens once it is closed."""


class Messages(Protocol):
    """An ordered connection of whole messages."""

    async def receive(self) -> str | bytes | None:
        """The next message, text or binary; None at the end."""

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken; bounded, never queued without limit."""

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


@runtime_checkable
class Direct(Messages, Protocol):
    """Messages that can be handed over without waiting while the connection is not congested."""

    def ready(self) -> bool:
        """Whether `put` may be called now."""

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these at once, in one write where the connection can; nothing happens once it is closed."""
