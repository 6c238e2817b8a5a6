"""The doors of a guest beside its own socket: another unix socket, a virtio-serial port, a serial console, HTTP.

Contract: `attend(door, toolbox, connected, rpc, retry, limiter)` serves one door until cancelled. Every connection through a
socket or a device begins as JSON-RPC lines and may be upgraded, as on the guest's own socket; a serial line and HTTP carry
such connections too. On a device the guest says that it is ready, whenever somebody comes, but for who comes at once after
another; a device that goes away is opened again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from stead.guest.channel import Connected
from stead.guest.complaints import Complaints
from stead.guest.console import Console
from stead.guest.limiter import Limiter
from stead.guest.methods import ready
from stead.guest.orders import Door
from stead.guest.rpc import Rpc
from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox
from stead.transport import device, unix

LOOK_SECONDS = 0.2
"""How often a device is asked whether somebody has come."""
GLANCE_SECONDS = 0.01
"""How often, just after somebody went."""

log = logging.getLogger(__name__)


async def attend(
    door: Door, toolbox: LocalToolbox, connected: Connected, rpc: Callable[[], Rpc], retry: float, limiter: Limiter
) -> None:
    """Serves the door until cancelled. What is no JSON-RPC and no link is counted here. A mistake in what runs over it costs
    the connection, never the guest."""
    complaints = Complaints(log, retry)
    while True:
        complaints.begin()
        try:
            if door.kind == "socket":
                await unix.serve(door.where, connected)
            elif door.kind == "http":
                await _http(door, toolbox, connected, limiter)
            elif door.kind == "console":
                await _console(door.where, toolbox, rpc(), connected, limiter)
            else:
                await _device(door.where, connected)
        except OSError as error:
            complaints.tell(f"{door.where}: {error.strerror or error}")
        except SteadError as error:
            complaints.tell(f"{door.where}: {error.message}")
        except Exception:
            log.exception("%s failed; tried again in %g s", door.where, retry)
        await anyio.sleep(retry)


async def _http(door: Door, toolbox: LocalToolbox, connected: Connected, limiter: Limiter) -> None:
    """The toolbox over HTTP."""
    from stead.guest.sidecar import http, routes

    host, _, port = door.where.rpartition(":")
    token = await toolbox.in_thread(Path(door.token_file).read_text)
    failure: OSError | None = None
    async with anyio.create_task_group() as group:
        try:
            sidecar = routes.Sidecar(toolbox, group, connected, limiter.limits.seconds)
            held = http.Held(limiter, routes.uncounted)
            await http.serve(host.strip("[]"), int(port), sidecar.handle, token.strip(), held=held)
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure


async def _device(name: str, connected: Connected) -> None:
    """One opening of the device; whoever comes is served, one after the other."""
    port = device.Device(device.find(name))
    try:
        while True:
            while not port.present():
                await anyio.sleep(LOOK_SECONDS)
            await port.write(b"\n" + ready() + b"\n")
            await connected(_Visit(port))
    finally:
        await port.close()


async def _console(path: str, toolbox: LocalToolbox, rpc: Rpc, connected: Connected, limiter: Limiter) -> None:
    """One opening of a serial line; it passes bytes as they are, and echoes nothing."""
    line = device.Device(Path(path))
    try:
        line.raw()
        await Console(line, rpc, toolbox, connected, limiter).run(ready())
    finally:
        await line.close()


class _Visit:
    """One connection through a device, `Shared` by those who come at once after one another: closing it leaves the device open
    for the next."""

    def __init__(self, port: device.Device) -> None:
        self._port = port
        self._over = False

    async def read(self, limit: int) -> bytes:
        return b"" if self._over else await self._port.read(limit)

    async def again(self) -> bool:
        with anyio.move_on_after(LOOK_SECONDS):
            while not self._over:
                await anyio.sleep(GLANCE_SECONDS)
                if self._port.present():
                    return True
        return False

    async def write(self, data: bytes) -> None:
        if self._over:
            raise SteadError("unavailable", "the connection is closed")
        await self._port.write(data)

    def ready(self) -> bool:
        return not self._over and self._port.ready()

    def put(self, pieces: Sequence[bytes | memoryview]) -> None:
        if not self._over:
            self._port.put(pieces)

    async def close(self) -> None:
        self._over = True
        self._port.drop()
