"""A node in memory: journals commands, does them at once, reports until acknowledged. For tests of the control core.

Contract: `await enrol(core, name)` makes an approved node; `async with node.link(core)` connects it. `node.effects` counts
what was really done per command id; `node.workspaces` is what it has.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stead.api.types import NodeEnrol, NodeTokenCreate
from stead.control.core import Core
from stead.control.people.caller import SYSTEM
from stead.protocol import codec
from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import (
    Challenge,
    Command,
    CommandCancel,
    CommandProgress,
    CommandResult,
    Drain,
    DriverFacts,
    Facts,
    Inventory,
    Message,
    NodeHello,
    Refused,
    Request,
    Welcome,
    WorkspaceReport,
)
from stead.protocol.version import PROTOCOL
from stead.transport import memory
from stead.transport.memory import Faults
from stead.transport.peer import Peer

DRIVERS = [DriverFacts(name="process", isolation=["none", "namespaces"], persistence="disk")]
FACTS = Facts(hostname="test", os="linux", arch="x86_64", cpus=8, memory_bytes=16 << 30)


class FakeNode:
    """One node."""

    def __init__(self, node_id: str, name: str, key: Ed25519PrivateKey) -> None:
        self.node_id = node_id
        self.name = name
        self.key = key
        self.epoch = 0
        self.boot_id = "boot-1"
        self.max_workspaces = 0
        self.protocol = PROTOCOL
        self.labels: dict[str, str] = {}
        self.drivers = DRIVERS
        self.workspaces: dict[str, WorkspaceReport] = {}
        self.journal: dict[str, CommandResult | None] = {}
        self.effects: Counter[str] = Counter()
        self.order: list[tuple[str, int]] = []
        self.deliveries: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.draining: bool | None = None
        self.before: Callable[[Command], Awaitable[None]] | None = None
        self.fail: Callable[[Command], SteadError | None] = lambda command: None
        self.peer: Peer | None = None
        self._group: TaskGroup | None = None
        self._undone: dict[str, Command] = {}
        self._unheard: set[str] = set()
        self.steps: list[str] = []

    def hold(self, *, begun: bool = False) -> anyio.Event:
        """From now on commands wait until this is set; those that have `begun` are not given back."""
        go = anyio.Event()

        async def wait(command: Command) -> None:
            if begun:
                self._undone.clear()
            await go.wait()

        self.before = wait
        return go

    # --- connecting ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def link(self, core: Core, faults: Faults | None = None, inventory: bool = True) -> AsyncIterator[Peer]:
        """Connected until the block ends."""
        ours, theirs = memory.pair(faults)
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(core.links.serve, theirs)
            answer = await self.hello(ours)
            assert isinstance(answer, Welcome), answer
            peer = self.peer = Peer(ours, self, name="control")
            group.start_soon(peer.run)
            for command in list(self._undone.values()):
                group.start_soon(self._do, command)
            for result in [result for result in map(self.journal.get, self._unheard) if result is not None]:
                group.start_soon(self._report, result)
            if inventory:
                await self.send_inventory()
            yield peer
            await peer.close()
            group.cancel_scope.cancel()
        self.peer = None

    async def hello(self, ours: Messages, nonce: str | None = None) -> Welcome | Refused:
        """Answers the challenge."""
        text = await ours.receive()
        assert isinstance(text, str)
        challenge = codec.decode(text)
        assert isinstance(challenge, Challenge)
        statement = f"stead-node-hello:{nonce or challenge.nonce}:{self.node_id}"
        signature = base64.b64encode(self.key.sign(statement.encode())).decode()
        hello = NodeHello(
            node_id=self.node_id,
            signature=signature,
            protocol=self.protocol,
            boot_id=self.boot_id,
            epoch=self.epoch,
            version="0.1.0",
            facts=FACTS,
            drivers=self.drivers,
            labels=self.labels,
            max_workspaces=self.max_workspaces,
        )
        await ours.send(codec.encode(hello).decode())
        text = await ours.receive()
        assert isinstance(text, str)
        answer = codec.decode(text)
        assert isinstance(answer, Welcome | Refused)
        return answer

    async def send_inventory(self, inventory_id: str = "inv") -> None:
        """All that there is, two a page."""
        assert self.peer is not None
        reports = list(self.workspaces.values())
        pages = [reports[start : start + 2] for start in range(0, len(reports), 2)] or [[]]
        for number, page in enumerate(pages):
            message = Inventory(
                request_id="", inventory_id=inventory_id, page=number, last=number == len(pages) - 1, workspaces=page
            )
            await self.peer.request(message)

    # --- the handler -----------------------------------------------------------------------------------------------

    async def request(self, peer: Peer, message: Request) -> Any:
        if isinstance(message, CommandCancel):
            return {"cancelled": self._cancel(message)}
        assert isinstance(message, Command)
        self.deliveries[message.command_id] += 1
        if message.command_id not in self.journal:
            self.journal[message.command_id] = None
            self._undone[message.command_id] = message
            assert self._group is not None
            self._group.start_soon(self._do, message)
        elif (result := self.journal[message.command_id]) is not None:
            assert self._group is not None
            self._group.start_soon(self._report, result)
        return None

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, Drain):
            self.draining = message.draining

    def frame(self, peer: Peer, frame: Frame) -> None:
        raise AssertionError("no frames here")

    async def closed(self, peer: Peer, reason: str) -> None:
        return None

    def _cancel(self, message: CommandCancel) -> bool:
        """Agrees while the command has not begun."""
        self.cancelled.append(message.command_id)
        return self._undone.pop(message.command_id, None) is not None

    # --- doing -----------------------------------------------------------------------------------------------------

    async def _do(self, command: Command) -> None:
        """What a lost link interrupts is done again with the next one; what was done is not."""
        if self.before is not None:
            await self.before(command)
        for step in self.steps:
            await self._tell(CommandProgress(command_id=command.command_id, step=step, done=True, seconds=0.5))
        if self._undone.pop(command.command_id, None) is None:
            return
        error = self.fail(command)
        if error is None:
            self._effect(command)
        report = self.workspaces.get(command.workspace_id) or WorkspaceReport(
            workspace_id=command.workspace_id,
            generation=command.spec.generation,
            state="absent",
            last_sequence=command.sequence,
        )
        result = CommandResult(
            request_id="",
            command_id=command.command_id,
            outcome="failed" if error else "completed",
            report=report,
            error=error.fault() if error else None,
        )
        self.journal[command.command_id] = result
        self._unheard.add(command.command_id)
        await self._report(result)

    def _effect(self, command: Command) -> None:
        self.effects[command.command_id] += 1
        self.order.append((command.workspace_id, command.sequence))
        if command.kind == "delete":
            self.workspaces.pop(command.workspace_id, None)
            return
        self.workspaces[command.workspace_id] = WorkspaceReport(
            workspace_id=command.workspace_id,
            generation=command.spec.generation,
            state="stopped" if command.kind == "stop" else "running",
            driver=command.spec.driver,
            isolation="namespaces",
            persistence="disk",
            last_sequence=command.sequence,
        )

    async def _report(self, result: CommandResult) -> None:
        """Until it is acknowledged, or the link is gone."""
        while self.peer is not None:
            try:
                await self.peer.request(result, 1.0)
                self._unheard.discard(result.command_id)
                return
            except SteadError as error:
                if error.code == "unavailable":
                    return
                if not error.retry:
                    self._unheard.discard(result.command_id)
                    return
                await anyio.sleep(0.02)

    async def _tell(self, message: Message) -> None:
        if self.peer is not None:
            await self.peer.send(message)


async def enrol(core: Core, name: str) -> FakeNode:
    """A new, approved node."""
    token = await core.nodes.create_token(SYSTEM, NodeTokenCreate(), approved=True)
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    answer = await core.nodes.enrol(NodeEnrol(token=token.token, name=name, public_key=public))
    return FakeNode(answer.node_id, name, key)


async def enrol_known(core: Core, name: str) -> FakeNode:
    """A node that was connected once, so that its drivers are known."""
    node = await enrol(core, name)
    async with node.link(core):
        pass
    node.epoch += 1
    return node
