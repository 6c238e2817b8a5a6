"""Text messages to bytes and back, with the size checked before anything is parsed.

Contract: `encode(message)`, `decode(data)`. What cannot be read is a SteadError ("too_large", "malformed",
"method_not_found" for an unknown type, "version_unsupported" for another schema version) with `request_id` in its details
where one was readable, so that the sender can be answered. Results of acks stay undecoded (`RawAck`) so that relays pay
nothing for them; `Ack` is what one constructs and sends. `decode_as(decoder, data, what)` reads other JSON that somebody sent.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from stead.protocol import messages as m
from stead.protocol.errors import Fault, SteadError

MESSAGE_BYTES = 2 << 20
"""The most bytes of one text message."""
ID_CHARACTERS = 128
"""The longest request id that is answered."""

NOTHING = msgspec.Raw(b"null")

T = TypeVar("T")


class RawAck(m.Message, tag="ack"):
    """An `Ack` as it arrives: its result is not decoded yet."""

    request_id: str
    ok: bool
    result: msgspec.Raw = NOTHING
    error: Fault | None = None


class _Envelope(msgspec.Struct):
    """What can be read of a message that is otherwise wrong."""

    type: Any = ""
    schema_version: Any = "1"
    request_id: Any = ""


Arriving = (
    RawAck
    | m.Ping
    | m.Credit
    | m.GoAway
    | m.Challenge
    | m.Welcome
    | m.Refused
    | m.NodeHello
    | m.ClientHello
    | m.GuestHello
    | m.Health
    | m.Inventory
    | m.WorkspaceChanged
    | m.CommandProgress
    | m.CommandResult
    | m.Command
    | m.CommandCancel
    | m.Drain
    | m.Call
    | m.StreamOpen
    | m.StreamResume
    | m.StreamDetached
    | m.StreamLost
    | m.Watch
    | m.EventNotice
)
"""Every message, as it arrives."""

TYPES: frozenset[str] = frozenset(
    str(kind.__struct_config__.tag) for kind in Arriving.__args__ if isinstance(kind.__struct_config__.tag, str)
)
"""Every `type` this version knows."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Arriving] = msgspec.json.Decoder(Arriving)
_envelopes = msgspec.json.Decoder(_Envelope)


def encode(message: m.Message) -> bytes:
    """The message as JSON; "too_large" when it is over the limit, "invalid" when it has no JSON form."""
    try:
        data = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SteadError("invalid", f"not expressible as JSON: {error}") from None
    if len(data) > MESSAGE_BYTES:
        raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes, this one {len(data)}")
    return data


def decode(data: str | bytes) -> Arriving:
    """The message in this text."""
    if _size(data) > MESSAGE_BYTES:
        raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _explain(data, error) from None


def decode_as(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, what: str) -> T:
    """Any other JSON that somebody sent: "invalid" where it is not what the decoder asks for, "malformed" where it is none."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise SteadError("invalid", f"{what}: {error}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SteadError("malformed", f"{what}: {error}") from None


def _size(data: str | bytes) -> int:
    if isinstance(data, str) and not data.isascii() and len(data) <= MESSAGE_BYTES:
        return len(data.encode(errors="surrogatepass"))
    return len(data)


def _explain(data: str | bytes, error: Exception) -> SteadError:
    """The error that tells what is wrong, with the request id where there is one."""
    try:
        envelope = _envelopes.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return SteadError("malformed", f"not a message: {error}")
    found = envelope.request_id
    details = {"request_id": found} if isinstance(found, str) and 0 < len(found) <= ID_CHARACTERS else {}
    if envelope.schema_version != m.SCHEMA_VERSION:
        return SteadError("version_unsupported", f"schema_version must be {m.SCHEMA_VERSION!r}", **details)
    if isinstance(envelope.type, str) and envelope.type and envelope.type not in TYPES:
        return SteadError("method_not_found", f"unknown message type {envelope.type[:64]!r}", **details)
    return SteadError("malformed", str(error), **details)
