"""The guest: listens in the run directory, and serves every channel that comes.

Contract: `serve(settings, holder, restarts)` runs until cancelled; `serve_scripted` serves one channel of a fake workspace.
Each connection starts as JSON-RPC lines; after `link.upgrade` it is a link on which `guest.hello` comes first and calls and
streams are answered. Streams outlive their channel.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from stead import __version__
from stead.guest.attendance import Attendance
from stead.guest.calls import Calls
from stead.guest.channel import Channel
from stead.guest.config import SOCKET
from stead.guest.doors import attend
from stead.guest.foreground import Foreground
from stead.guest.limiter import NONE as UNLIMITED
from stead.guest.limiter import Limiter
from stead.guest.methods import Methods
from stead.guest.orders import NONE, Orders, orders_of
from stead.guest.rpc import Params, Rpc
from stead.guest.streams import Streams
from stead.protocol import version
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.guest import Upgraded
from stead.protocol.messages import Call, GuestHello, Message, Request, StreamOpen
from stead.protocol.methods import CALLS, STREAMS
from stead.toolbox.confine import Root
from stead.toolbox.contract import ExecState, Info
from stead.toolbox.execs import Execs, Holder
from stead.toolbox.holding.settings import Settings
from stead.toolbox.leftovers import LEFTOVERS
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.observer import NOBODY, Observer
from stead.toolbox.policy import FencedRoot, PolicedToolbox
from stead.toolbox.scripted import ScriptedToolbox, script_of
from stead.transport import stdio, unix
from stead.transport.framed import Framed
from stead.transport.peer import Peer
from stead.transport.sockets import TransportBytes
from stead.transport.streams import StreamEnds

CONNECTIONS = 64
"""Channels of one door at once."""


class Guest:
    """One guest. Its own socket is one door, `door()` makes others."""

    def __init__(
        self,
        settings: Settings,
        toolbox: LocalToolbox,
        boot_id: str,
        group: TaskGroup,
        observer: Observer = NOBODY,
        orders: Orders = NONE,
    ) -> None:
        self.boot_id = boot_id
        self._observer = observer
        self._settings = settings
        self._methods = Methods(Foreground(toolbox), orders.policy).table()
        self._orders = orders
        self._toolbox = toolbox
        self.attendance = Attendance(settings.detach_seconds, toolbox.show, toolbox.cancel)
        self._ends = StreamEnds(detached=settings.detach_seconds)
        self._calls = Calls(toolbox, self.attendance)
        self._streams = Streams(toolbox, self._ends, self.attendance, group, observer)
        self.connected = self.door().connected

    def door(self) -> Entrance:
        """A way in, with limits of its own."""
        return Entrance(self, self._methods, self._orders)

    async def adopt(self) -> None:
        """Foreground execs of an earlier guest are ended unless somebody comes back to them. A holder that is gone has none."""
        with contextlib.suppress(SteadError):
            for status in (await self._toolbox.execs()).execs:
                if status.state is ExecState.RUNNING and not status.background:
                    self.attendance.watch(status.exec_id)

    def greeting(self) -> GuestHello:
        """What begins a link."""
        self._observer.at("guest.linked", self.boot_id)
        return GuestHello(
            protocol=version.PROTOCOL, boot_id=self.boot_id, version=__version__, capabilities=[*CALLS, *STREAMS]
        )

    def upgraded(self) -> Upgraded:
        return Upgraded(protocol=version.PROTOCOL, boot_id=self.boot_id)

    # --- what comes over the links

    async def request(self, peer: Peer, message: Request, limiter: Limiter) -> Any:
        if isinstance(message, Call):
            self._check(message.workspace_id)
            self._observer.at("call.begun", message.method)
            answer = await self._calls.answer(message.method, message.params, message.timeout, limiter)
            self._observer.at("call.done", message.method)
            return answer
        if isinstance(message, StreamOpen):
            self._check(message.workspace_id)
            return await self._streams.open(peer, message, limiter)
        return await self._ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        await self._ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self._ends.detach(peer)

    def _check(self, workspace_id: str) -> None:
        """Who comes straight to the guest names no workspace."""
        if workspace_id and workspace_id != self._settings.workspace_id:
            raise SteadError("not_found", "this guest serves another workspace")


class Entrance:
    """All that comes through one door, held to the limits together; the handler of its links."""

    def __init__(self, guest: Guest, methods: Params, orders: Orders) -> None:
        self._guest = guest
        self._methods = methods
        self._orders = orders
        self._open: dict[Channel, Bytes] = {}
        self.limiter = Limiter(orders.limits if orders.together else UNLIMITED)

    def rpc(self) -> Rpc:
        """What answers the JSON-RPC of one channel."""
        return Rpc(self._methods, self.limiter if self._orders.together else Limiter(self._orders.limits))

    async def connected(self, connection: Bytes) -> None:
        """One channel, from its first byte to its last."""
        if len(self._open) >= CONNECTIONS and not await self._make_room():
            return
        channel = Channel(connection, self.rpc(), self._guest.upgraded)
        self._open[channel] = connection
        try:
            await self._serve(channel, connection)
        finally:
            self._open.pop(channel, None)

    async def _make_room(self) -> bool:
        """Whether one that asks for nothing, the oldest, could be closed for another."""
        idle = next((channel for channel in self._open if channel.idle), None)
        if idle is None:
            return False
        await self._open.pop(idle).close()
        return True

    async def _serve(self, channel: Channel, connection: Bytes) -> None:
        rest = await channel.run()
        if rest is None:
            return
        peer = Peer(Framed(connection, rest), self, name="node")
        peer.tell(self._guest.greeting())
        await peer.run()

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self._guest.request(peer, message, self.limiter)

    async def notice(self, peer: Peer, message: Message) -> None:
        await self._guest.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._guest.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        await self._guest.closed(peer, reason)


async def serve(
    settings: Settings,
    connection: socket.socket,
    restarts: int = 0,
    ready: Callable[[], None] = lambda: None,
    observer: Observer = NOBODY,
    *,
    task_status: TaskStatus[Guest] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listens until cancelled, or until the holder is gone. `ready` is called once it listens."""
    observer.at("guest.begun", settings.workspace_id)
    orders = orders_of(settings)
    logging.getLogger().setLevel(orders.log_level.upper())
    holder = Holder(connection)
    root = Root(settings.root) if orders.policy is None else FencedRoot(settings.root, orders.policy)
    boot_id = os.urandom(16).hex()
    info = Info(
        workspace_id=settings.workspace_id,
        root=settings.root,
        boot_id=boot_id,
        version=__version__,
        isolation=settings.isolation,
        limits=settings.limits,
        hostname=socket.gethostname(),
        guest_restarts=restarts,
    )
    execs = Execs(holder, settings.run, log_bytes=settings.log_bytes)
    toolbox = _toolbox(root, execs, info, settings, orders)
    toolbox.files.observer = observer
    toolbox.files.clear_up(f"{settings.run}/{LEFTOVERS}")
    try:
        async with anyio.create_task_group() as group:
            guest = Guest(settings, toolbox, boot_id, group, observer, orders)
            await group.start(unix.serve, f"{settings.run}/{SOCKET}", guest.connected)
            for door in orders.doors:
                entrance = guest.door()
                group.start_soon(
                    attend,
                    door,
                    toolbox,
                    entrance.connected,
                    entrance.rpc,
                    orders.retry_seconds,
                    entrance.limiter,
                )
            observer.at("guest.listening", settings.workspace_id)
            ready()
            await guest.adopt()
            observer.at("guest.ready", settings.workspace_id)
            task_status.started(guest)
            await holder.lost.wait()
            guest.attendance.close()
            group.cancel_scope.cancel()
    finally:
        toolbox.place.close()
        holder.close()
        root.close()


def _toolbox(root: Root, execs: Execs, info: Info, settings: Settings, orders: Orders) -> LocalToolbox:
    if orders.policy is None:
        return LocalToolbox(root, execs, info, settings.environment)
    return PolicedToolbox(root, execs, info, settings.environment, orders.policy)


async def serve_scripted(settings: Settings) -> None:
    """One channel on standard input and output, with the scripted toolbox and a holder of its own; ends with it."""
    script = script_of(settings.environment)

    def make(root: Root, execs: Execs, info: Info, environment: Mapping[str, str]) -> ScriptedToolbox:
        return ScriptedToolbox(root, execs, info, environment, script)

    given: dict[str, Any] = {"environment": settings.environment, "detach_seconds": settings.detach_seconds}
    given["workspace_id"] = settings.workspace_id
    async with opened(settings.root, settings.run, make=make, **given) as toolbox:
        assert isinstance(toolbox, ScriptedToolbox)
        connection = await _standard()
        async with anyio.create_task_group() as group:
            toolbox.on_loss = toolbox.on_death = connection.abort
            guest = Guest(settings, toolbox, (await LocalToolbox.info(toolbox)).boot_id, group)
            try:
                await guest.connected(connection)
            finally:
                guest.attendance.close()
                group.cancel_scope.cancel()


async def _standard() -> TransportBytes:
    """Standard input and output, which may be two pipes or one socket."""
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        return await unix.over(socket.socket(fileno=os.dup(0)))
    return await stdio.own()
