"""New ids, secrets and fingerprints.

Contract: `fresh(kind)` is a new id, `entropy()` what it is made of; `secret(prefix)` a new secret and `digest(secret)` what is
kept of it; `fingerprint(value)` tells two requests apart.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import deque

import msgspec

from stead.model import ids

SECRET_BYTES = 32
AT_ONCE = 256
_pieces: deque[bytes] = deque()


def fresh(kind: ids.Kind) -> str:
    """A new id."""
    return ids.make(kind, time.time(), entropy())


def entropy() -> bytes:
    """For one id. Fetched from the system for many at once: each fetch lets go of the interpreter, which other threads
    then take. Taking a piece is one step, so no two threads get the same."""
    while True:
        try:
            return _pieces.popleft()
        except IndexError:
            fetched = os.urandom(ids.ENTROPY_BYTES * AT_ONCE)
            _pieces.extend(fetched[at : at + ids.ENTROPY_BYTES] for at in range(0, len(fetched), ids.ENTROPY_BYTES))


def secret(prefix: str) -> str:
    """A new secret."""
    return f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: object) -> str:
    """The same for equal requests only."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
