"""New ids, secrets and fingerprints.

Contract: `fresh(kind)` is a new id; `secret(prefix)` a new secret and `digest(secret)` what is kept of it;
`fingerprint(value)` tells two requests apart.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time

import msgspec

from stead.model import ids

SECRET_BYTES = 32


def fresh(kind: ids.Kind) -> str:
    """A new id."""
    return ids.make(kind, time.time(), os.urandom(ids.ENTROPY_BYTES))


def secret(prefix: str) -> str:
    """A new secret."""
    return f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: object) -> str:
    """The same for equal requests only."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
