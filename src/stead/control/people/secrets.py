"""Secrets that we hand out once and keep only as digests.

Contract: `make(prefix) -> (secret, digest)`, `digest(secret)`. A secret has 256 random bits, so that a plain SHA-256 at
rest gives nothing away.
"""

from __future__ import annotations

import hashlib
import secrets

TOKEN = "stead_"
SESSION = "steads_"
LOGIN = "steadl_"
TICKET = "steadt_"

_BYTES = 32
_LONGEST = 200


def make(prefix: str) -> tuple[str, str]:
    """A new secret, and what is kept of it."""
    secret = prefix + secrets.token_urlsafe(_BYTES)
    return secret, digest(secret)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret[:_LONGEST].encode()).hexdigest()
