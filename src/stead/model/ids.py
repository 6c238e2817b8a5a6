"""Ids: a short prefix that tells the noun, then 26 characters that sort by time. Randomness and time come in as arguments.

Contract: `make(kind, now, entropy)`, `check(kind, text)`; `NAME` is what a person may call things.
"""

from __future__ import annotations

import re
from enum import StrEnum

from stead.protocol.errors import SteadError

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ENTROPY_BYTES = 10
TICKS = 250_000
"""Steps of time a second: the 50 bits of it last until 2112."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """The nouns that have ids."""

    WORKSPACE = "ws"
    NODE = "nd"
    COMMAND = "cm"
    USER = "us"
    TOKEN = "tk"
    SESSION = "se"
    EVENT = "ev"
    STREAM = "st"
    EXEC = "ex"
    ENROLMENT = "en"
    REQUEST = "rq"


def make(kind: Kind, now: float, entropy: bytes) -> str:
    """An id of this kind; two made within the same 4 microseconds differ by their entropy only."""
    number = (int(now * TICKS) & ((1 << 50) - 1)) << 80 | int.from_bytes(entropy[:ENTROPY_BYTES], "big")
    digits = [ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{kind.value}_{''.join(digits)}"


_SHAPE = re.compile(r"([a-z]{2})_([0-9abcdefghjkmnpqrstvwxyz]{26})")


def check(kind: Kind, text: str) -> str:
    """The id itself, or "invalid"."""
    found = _SHAPE.fullmatch(text)
    if found is None or found[1] != kind.value:
        raise SteadError("invalid", f"not the id of a {kind.name.lower()}")
    return text


def check_name(text: str) -> str:
    """The name itself, or "invalid"."""
    if NAME.fullmatch(text) is None:
        raise SteadError(
            "invalid", "a name has 1 to 63 of a-z, 0-9, '.', '_', '-' and starts and ends with a letter or digit"
        )
    return text
