"""What a node proves with its Ed25519 key.

Contract: `check_key(text)` and `verify(key, signature, statement)`; keys and signatures are base64. A wrong proof is
"unauthenticated" and says no more.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stead.protocol.errors import SteadError

KEY_BYTES = 32


def check_key(text: str) -> str:
    """The key itself, or "invalid"."""
    raw = _decode(text)
    if raw is None or len(raw) != KEY_BYTES:
        raise SteadError("invalid", "public_key: 32 bytes of an Ed25519 key as base64")
    return text


def verify(public_key: str, signature: str, statement: str) -> None:
    """Raises unless the key signed the statement."""
    key, raw = _decode(public_key), _decode(signature)
    if key is None or raw is None or len(key) != KEY_BYTES:
        raise _wrong()
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(raw, statement.encode())
    except InvalidSignature:
        raise _wrong() from None


def _wrong() -> SteadError:
    return SteadError("unauthenticated", "the node's proof is not valid")


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
