"""What every part of the control plane asks of the database.

Contract: `open_store(url, folder) -> Store` opens and migrates (an empty url is SQLite in the folder);
`await store.read(fn, *args)` and `await store.write(fn, *args)` run `fn(connection, *args)` and answer its result. A write
is one unit: all of it or nothing, durable before the await ends, alone in its effect even where many share one commit.
`SteadError` raised by a unit undoes it and comes out as it is; a database that does not answer is
"database_unavailable" or "disk_full" and is used again as soon as it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from stead.control.store.events import Hints

P = ParamSpec("P")
T = TypeVar("T")

FILE = "stead.sqlite"


class Store(Protocol):
    """The database of record."""

    dialect: str
    hints: Hints

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a reading function on a pooled connection."""

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one writing unit; it is durable when this returns."""

    async def close(self) -> None:
        """Finishes the units in hand and lets go."""


async def open_store(url: str, folder: Path) -> Store:
    """The store of this address, migrated to this version."""
    raise NotImplementedError
