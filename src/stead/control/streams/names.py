"""The id that a client's stream has on the next hop.

Contract: `Names(secret).next_hop(who, stream_id, workspace_id)` is the same for ever, also after a restart that forgot
every stream, and no client can choose another's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from stead.model.ids import ALPHABET, Kind

_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET)
_LENGTH = 26

SECRET = "stream secret"
"""The name under which the store keeps the secret."""


class Names:
    """Derives ids."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def next_hop(self, who: str, stream_id: str, workspace_id: str) -> str:
        """The id on the next hop."""
        text = f"{who}|{stream_id}|{workspace_id}".encode()
        mac = hmac.digest(self._secret, text, hashlib.sha256)
        return f"{Kind.STREAM.value}_{base64.b32encode(mac).decode()[:_LENGTH].translate(_CROCKFORD)}"
