"""The control plane as a program that kills itself at a named unit of its store.

Contract: `python -m stead.testing.controlprogram --at UNIT --when before|after --armed FILE --port N --data DIR` serves as
`stead up` does; once FILE exists, at the first writing unit of that name it sends itself SIGKILL, before the unit is written
or after it is durable. `UNITS` are the units of a workspace's life.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from stead.control import serve
from stead.control.settings import load
from stead.control.store.rows import Connection
from stead.control.store.store import Store, open_store

P = ParamSpec("P")
T = TypeVar("T")

UNITS = (
    "service._create",
    "idempotency.keep",
    "results.accept",
    "results.finish",
    "service._asked",
)
"""The request is noted with the workspace and its command, the answer is kept, the command, which is sent as soon as it is
made, is acknowledged and ended; then the workspace is asked to stop."""


class Deadly:
    """A store that ends the program at one unit."""

    def __init__(self, inner: Store, unit: str, when: str, armed: Path) -> None:
        self.dialect = inner.dialect
        self.hints = inner.hints
        self._inner = inner
        self._unit = unit
        self._when = when
        self._armed = armed

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._inner.read(fn, *args, **kwargs)

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        hit = _name(fn) == self._unit and self._armed.exists()
        if hit and self._when == "before":
            _die()
        result = await self._inner.write(fn, *args, **kwargs)
        if hit:
            _die()
        return result

    async def close(self) -> None:
        await self._inner.close()


def _name(fn: Callable[..., object]) -> str:
    return f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Serves until the unit is met."""
    parser = argparse.ArgumentParser(prog="stead-controlprogram")
    parser.add_argument("--at", required=True, choices=UNITS)
    parser.add_argument("--when", required=True, choices=("before", "after"))
    parser.add_argument("--armed", required=True, type=Path)
    parser.add_argument("--port", required=True)
    parser.add_argument("--data", required=True)
    given = parser.parse_args()

    async def opener(url: str, folder: Path) -> Store:
        return Deadly(await open_store(url, folder), given.at, given.when, given.armed)

    flags: dict[str, Any] = {"port": int(given.port), "data": given.data}
    return serve.run(load(None, os.environ, flags), opener=opener)


if __name__ == "__main__":
    sys.exit(main())
