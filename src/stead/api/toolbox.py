"""The operations of a workspace's toolbox, as the API tells of them: what each does, how long it may take, its schemas.

Contract: `declared()` is `toolbox.json`, which `make generate` writes from the declarations of the toolbox itself. The rights
are in `stead.protocol.methods`.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

import msgspec


class Operation(msgspec.Struct, frozen=True):
    """One; `params` and `result` are names of schemas."""

    about: str
    seconds: float
    params: str
    result: str


class Declared(msgspec.Struct, frozen=True):
    """All of them; schemas refer to each other as they stand in an OpenAPI document."""

    operations: dict[str, Operation]
    schemas: dict[str, dict[str, Any]]


@functools.cache
def declared() -> Declared:
    """Read once."""
    return msgspec.json.decode(files(__package__).joinpath("toolbox.json").read_bytes(), type=Declared)
