"""The node as a whole: what is made of what, and how it goes down.

Contract: `await run(settings, observer=None)` serves until SIGTERM or SIGINT, then goes down in stages: nothing new is taken, a
goodbye is said, running commands may end within `shutdown_seconds`, links close. A second signal ends it at once. The
workspaces go on in any case. A node whose data folder was deleted ends by itself: it could do nothing any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from stead.drivers import registry
from stead.drivers.contract import Driver
from stead.drivers.observer import Nobody, Observer
from stead.drivers.registry import DriverSettings
from stead.node import inventory
from stead.node.books import Books
from stead.node.channels import Channels
from stead.node.health import Figures, facts
from stead.node.identity import Identity, enrol, rotate
from stead.node.journal import Journal
from stead.node.link import Host, Link
from stead.node.operations import Operations
from stead.node.outbox import Outbox
from stead.node.settings import NodeSettings
from stead.node.setup import Setup
from stead.node.supervisor import Supervisor
from stead.node.watch import Watch
from stead.protocol.errors import SteadError
from stead.protocol.messages import Message, WorkspaceChanged, WorkspaceReport
from stead.transport.backoff import Backoff
from stead.transport.peer import Peer

log = logging.getLogger(__name__)
CLOSE_SECONDS = 10.0
TELL_SECONDS = 30.0
FLUSH_SECONDS = 3.0


async def run(settings: NodeSettings, observer: Observer | None = None) -> None:
    """Serves until told to end. What was loaded by then stays, so the collector of garbage need not look at it any more."""
    with _alone(settings.state) as lock:
        async with serving(settings, observer or Nobody()) as node, anyio.create_task_group() as watching:
            watching.start_soon(_fail_without, lock, settings.watch_seconds)
            gc.freeze()
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    break
                log.info("shutting down")
                async with anyio.create_task_group() as group:
                    group.start_soon(_force, signals, group.cancel_scope)
                    await node.go_down()
                    group.cancel_scope.cancel()
            watching.cancel_scope.cancel()


async def rotate_key(settings: NodeSettings) -> None:
    """Replaces the node's key; the node must not run meanwhile."""
    with _alone(settings.state):
        await rotate(Identity.open(settings.state), settings)


async def _fail_without(lock: int, seconds: float) -> None:
    """Ends the node when the file of this descriptor, and so its data folder, was deleted."""
    while os.fstat(lock).st_nlink > 0:
        await anyio.sleep(seconds)
    raise SteadError("not_found", "the data folder was deleted")


async def _force(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        log.warning("told again: ending at once")
        scope.cancel()


@contextlib.asynccontextmanager
async def serving(settings: NodeSettings, observer: Observer) -> AsyncIterator[Node]:
    """A node that runs as long as the context."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity.open(settings.state)
    journal = Journal(settings.state / "journal.sqlite")
    await journal.open()
    drivers = _drivers(settings, observer)
    try:
        async with anyio.create_task_group() as group:
            node = Node(settings, identity, journal, drivers, observer, group)
            await node.start()
            yield node
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
            for driver in drivers.values():
                await driver.close()
            await journal.close()


class Node:
    """The parts of one node, joined."""

    def __init__(
        self,
        settings: NodeSettings,
        identity: Identity,
        journal: Journal,
        drivers: dict[str, Driver],
        observer: Observer,
        group: TaskGroup,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._journal = journal
        self._drivers = drivers
        self._observer = observer
        self._group = group
        self._figures = Figures(settings.state)
        self.books = Books(journal, drivers)
        self.channels = Channels(self.books, self._guest_changed, group)
        self.outbox = Outbox(journal)
        setup = Setup(journal, self.channels.call)
        self.operations = Operations(self.books, self.channels, setup, settings, observer)
        self.supervisor = Supervisor(
            journal,
            self.books,
            self.operations,
            tell=self._tell,
            ended=self.outbox.add,
            at_once=settings.at_once,
            observer=observer,
        )
        self.watch = Watch(self.books, journal, settings, self._tell_changed, self._tell_inventory)
        self.link: Link

    async def start(self) -> None:
        """Reads what is remembered, then resumes, connects and watches."""
        await self.books.open()
        await self.outbox.open()
        host = Host(
            boot_id=secrets.token_hex(16),
            epoch=await self._journal.next_epoch(),
            facts=facts(self._settings.state),
            drivers=[driver.facts() for driver in self._drivers.values()],
        )
        self.link = Link(
            self._settings,
            self._identity,
            host,
            supervisor=self.supervisor,
            channels=self.channels,
            draining=self._drain,
            work=[self._send_inventory, self._send_results, self._send_health],
            observer=self._observer,
        )
        await self._group.start(self.supervisor.run)
        self._group.start_soon(self._connect)
        self._group.start_soon(self.watch.run)

    async def go_down(self) -> None:
        """Stage by stage, bounded."""
        await self.link.goodbye("the node is shutting down")
        if not await self.supervisor.drain(self._settings.shutdown_seconds):
            log.warning("commands still run; they are finished by the next start of this node")
        if self.link.welcomed:
            await self.outbox.empty(FLUSH_SECONDS)
        with anyio.move_on_after(CLOSE_SECONDS):
            await self.link.close()
            await self.channels.close()

    async def _connect(self) -> None:
        """Enrols if that was not done yet, then links."""
        backoff = Backoff(limit=self._settings.reconnect_seconds)
        while self._identity.enrolled is None:
            try:
                await enrol(self._identity, self._settings, _token(self._settings))
                log.info("enrolled as %s", self._identity.node_id)
            except SteadError as error:
                log.warning("not enrolled: %s", error.message)
                if not error.retry:
                    raise
                await anyio.sleep(backoff.delay())
        await self.link.run()

    async def _tell(self, message: Message) -> None:
        await self.link.tell(message)

    def _drain(self, draining: bool) -> None:
        self.operations.draining = draining

    # --- over a link

    async def _send_inventory(self, peer: Peer, heartbeat: float) -> None:
        try:
            await inventory.send(self.books, peer.request)
        except SteadError as error:
            log.warning("the inventory was not taken: %s", error.message)

    async def _send_results(self, peer: Peer, heartbeat: float) -> None:
        await self.outbox.run(peer.request)

    async def _send_health(self, peer: Peer, heartbeat: float) -> None:
        while True:
            await self.link.tell(self._figures.now(len(self.books), dict(self.channels.active)))
            await anyio.sleep(heartbeat)

    async def _tell_inventory(self) -> None:
        await inventory.send(self.books, self.link.ask)

    async def _tell_changed(self, report: WorkspaceReport) -> None:
        await self.link.ask(WorkspaceChanged(request_id="", report=report), TELL_SECONDS)

    def _guest_changed(self, workspace_id: str) -> None:
        self._group.start_soon(self._tell_guest, workspace_id)

    async def _tell_guest(self, workspace_id: str) -> None:
        """The guest came back as another; the inventory of the next link tells it where this cannot."""
        record = self.books.record(workspace_id)
        if record is None:
            return
        try:
            await self._tell_changed(await self.books.report(record))
        except SteadError as error:
            log.debug("a change was not told: %s", error.message)


def _drivers(settings: NodeSettings, observer: Observer) -> dict[str, Driver]:
    given = DriverSettings(
        state=settings.state,
        hidden=(settings.folder,),
        environment=settings.environment,
        options=settings.options,
    )
    return {name: registry.make(name, given, observer) for name in settings.drivers}


def _token(settings: NodeSettings) -> str:
    if not settings.enrol_token_file:
        raise SteadError("unauthenticated", "this node is not enrolled: give it a token (--enrol-token-file FILE)")
    try:
        return Path(settings.enrol_token_file).expanduser().read_text().strip()
    except OSError as error:
        raise SteadError("invalid", f"enrol_token_file: {error.strerror}") from error


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[int]:
    """Two nodes on one folder would undo each other's work. Yields the descriptor of the lock."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SteadError("conflict", "another node runs with this data folder") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
