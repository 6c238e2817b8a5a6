"""The guest on a port: lines answered, the port opened again when it goes away.

Contract: `serve(open, rpc, retry)` serves whoever comes through a port until cancelled, one after the other; the guest says
that it is ready each time. `Port` is what a port is on any system.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from stead.guest.channel import Channel
from stead.guest.complaints import Complaints
from stead.guest.methods import ready
from stead.guest.rpc import Rpc
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError

LOOK_SECONDS = 0.2
"""How often a port is asked whether somebody has come."""

log = logging.getLogger(__name__)


class Port(Bytes, Protocol):
    """A byte connection that is there also when nobody is at its other end."""

    async def present(self) -> bool:
        """Whether somebody is."""


async def serve(open: Callable[[], Awaitable[Port]], rpc: Callable[[], Rpc], retry: float) -> None:
    """Until cancelled."""
    complaints = Complaints(log, retry)
    while True:
        complaints.begin()
        try:
            await _opened(await open(), rpc)
        except SteadError as error:
            complaints.tell(error.message)
        await anyio.sleep(retry)


async def _opened(port: Port, rpc: Callable[[], Rpc]) -> None:
    """One opening of it."""
    try:
        while True:
            while not await port.present():
                await anyio.sleep(LOOK_SECONDS)
            await port.write(b"\n" + ready() + b"\n")
            await Channel(port, rpc(), None).run()
    finally:
        with anyio.CancelScope(shield=True):
            await port.close()
