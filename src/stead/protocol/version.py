"""The history of the protocol and the rule by which two versions agree.

Contract: peers of one major version understand each other: unknown fields, message types and frame kinds of a newer minor
are ignored or answered with a typed error. `agree(ours, theirs)` is the version both speak, or "version_unsupported".
`PROTOCOL` is what this code speaks. Golden messages of every version load for ever (tests/golden).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stead.protocol.errors import SteadError


class Version(NamedTuple):
    """One version of the protocol and what it brought."""

    major: int
    minor: int
    brought: str

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


HISTORY: tuple[Version, ...] = (
    Version(1, 0, "The first: hellos, commands, calls, streams with credit and resume, link credit, goaway, events."),
)
"""Oldest first."""

PROTOCOL = str(HISTORY[-1])

_SHAPE = re.compile(r"(\d{1,4})\.(\d{1,4})")


def parse(text: str) -> tuple[int, int]:
    """Major and minor, or "malformed"."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise SteadError("malformed", "a protocol version is MAJOR.MINOR")
    return int(found[1]), int(found[2])


def agree(theirs: str, ours: str = PROTOCOL) -> str:
    """The version that both sides speak: same major, the lower minor."""
    mine, other = parse(ours), parse(theirs)
    if mine[0] != other[0]:
        raise SteadError("version_unsupported", f"this side speaks protocol {ours}, the other {theirs}")
    return f"{mine[0]}.{min(mine[1], other[1])}"
