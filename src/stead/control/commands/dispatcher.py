"""Delivers commands: at least once each, in order within a workspace, at the same time across workspaces.

Contract: `moved(moved)` or `poke(node_id)` after a commit that ordered something; `replay(node_id)` when a node came (back):
everything live of it is delivered again under the same id, with one more attempt. `progress` and `result` take what nodes
say. The table is the truth: a lost poke costs at most one `SWEEP_SECONDS`, a lost send the lease.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.control.commands import results
from stead.control.nodes.registry import NodeRegistry
from stead.control.store import commands
from stead.control.store.fresh import fresh
from stead.control.store.rows import Row
from stead.control.store.store import Store
from stead.control.workspaces.advance import Moved
from stead.model.commands import SENT_LEASE
from stead.model.ids import Kind
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, CommandProgress, CommandResult, WorkspaceSpec

log = logging.getLogger(__name__)

AT_ONCE = 512
"""Commands delivered in one pass."""

NODES_AT_ONCE = 1000
MOST_SAID = 10_000
"""Progress that waits for the database."""


SWEEP_SECONDS = 5.0
RETRY_SECONDS = 1.0
_LINK_TROUBLE = ("unavailable", "timeout", "node_unreachable", "draining", "too_many")


class Dispatcher:
    """The sending side of all commands."""

    def __init__(self, store: Store, registry: NodeRegistry, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._fresh: set[str] = set()
        self._replay: set[str] = set()
        self._inflight: set[str] = set()
        self._ending: set[str] = set()
        self._group: TaskGroup | None = None
        self._acknowledged: list[results.Taken] = []
        self._said: list[tuple[str, CommandProgress]] = []
        self._to_deliver = anyio.Event()
        self._to_keep = anyio.Event()
        self.retry: Callable[[float], None] = lambda when: None
        """Told when a workspace is to be looked at again."""

    # --- what others tell ------------------------------------------------------------------------------------------

    def poke(self, node_id: str | None) -> None:
        """Something waits for this node."""
        if node_id is not None and self._registry.is_connected(node_id):
            self._fresh.add(node_id)
            self._to_deliver.set()

    def replay(self, node_id: str) -> None:
        """The node came (back)."""
        self._replay.add(node_id)
        self._to_deliver.set()

    def moved(self, moved: Moved | None) -> None:
        """After the commit of a step: what it ordered is delivered, what it puts off is remembered."""
        if moved is not None:
            if moved.command is None:
                self.poke(moved.ordered)
            else:
                self._start(moved.command)
            if moved.retry_at:
                self.retry(moved.retry_at)

    def progress(self, node_id: str, message: CommandProgress) -> None:
        """A node works on a command. What is too much to keep is dropped: it only tells people."""
        if len(self._said) < MOST_SAID:
            self._said.append((node_id, message))
            self._to_keep.set()

    async def result(self, node_id: str, message: CommandResult) -> None:
        """A command's end; durable when this returns. What was said of it before is kept first."""
        said = [entry for entry in self._said if entry[1].command_id == message.command_id]
        if said:
            self._said = [entry for entry in self._said if entry[1].command_id != message.command_id]
        self._ending.add(message.command_id)
        try:
            moved = await self._store.write(results.finish, node_id, message, said, self._clock())
        finally:
            self._ending.discard(message.command_id)
        self.moved(moved)

    # --- work ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self._keep_all)
                group.start_soon(self._sweep_all)
                await self._deliver_all()
        finally:
            self._group = None

    async def _deliver_all(self) -> None:
        while True:
            await self._to_deliver.wait()
            self._to_deliver = anyio.Event()
            try:
                await self._deliver()
            except SteadError as error:
                log.warning("commands wait: %s", error.message)
                await anyio.sleep(RETRY_SECONDS)
                self._to_deliver.set()

    async def _deliver(self) -> None:
        """One pass: claims what is due in one unit, then sends each. A poke during the pass is for the next one."""
        back = self._take(self._replay)
        names = self._take(self._fresh) | back
        if not names:
            return
        try:
            rows = await self._store.write(commands.claim, sorted(names), sorted(back), AT_ONCE, self._clock())
        except SteadError:
            self._fresh |= names
            self._replay |= back
            raise
        if len(rows) == AT_ONCE:
            self._fresh |= names
        if self._fresh or self._replay:
            self._to_deliver.set()
        for row in rows:
            self._start(row)

    def _start(self, row: Row[Any]) -> None:
        """Sends it, unless it is on its way."""
        if self._group is not None and row.id not in self._inflight:
            self._inflight.add(row.id)
            self._group.start_soon(self._send, row)

    def _take(self, names: set[str]) -> set[str]:
        """Takes the connected ones of these nodes, not too many; the others are replayed when they come."""
        taken = set(itertools.islice((name for name in names if self._registry.is_connected(name)), NODES_AT_ONCE))
        gone = {name for name in names if not self._registry.is_connected(name)}
        names.difference_update(taken, gone)
        return taken

    async def _send(self, row: Row[Any]) -> None:
        """Delivers one command; what the link loses is delivered again when the lease is over or the node is back."""
        try:
            await self._registry.link(row.node_id).request(_message(row), SENT_LEASE)
        except SteadError as error:
            if error.code not in _LINK_TROUBLE and not error.retry:
                await self._refused(row.id, error)
            return
        finally:
            self._inflight.discard(row.id)
        self._acknowledged.append(results.Taken(row.id, row.workspace_id, row.kind))
        self._to_keep.set()

    async def _refused(self, command_id: str, error: SteadError) -> None:
        log.warning("a node refused the command %s: %s: %s", command_id, error.code, error.message)
        try:
            self.moved(await self._store.write(results.refuse, command_id, error.fault(), self._clock()))
        except SteadError as trouble:
            log.warning("a refusal could not be kept; the command is delivered again: %s", trouble.message)

    async def _keep_all(self) -> None:
        """Acknowledgements and progress, many in one unit."""
        while True:
            await self._to_keep.wait()
            self._to_keep = anyio.Event()
            taken = [each for each in self._acknowledged if each.command_id not in self._ending]
            self._acknowledged = []
            said, self._said = self._said, []
            try:
                await self._keep(taken, said)
            except SteadError as error:
                log.warning("acknowledgements are lost, the commands are delivered again: %s", error.message)

    async def _keep(self, taken: list[results.Taken], said: list[tuple[str, CommandProgress]]) -> None:
        if taken:
            await self._store.write(results.accept, taken, self._clock())
        if said:
            for command_id in await self._store.write(results.progress, said, self._clock()):
                log.warning("a node reported progress of the command %s of another node", command_id)

    async def _sweep_all(self) -> None:
        """Deadlines and leases."""
        while True:
            await anyio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except SteadError as error:
                log.warning("commands could not be looked through: %s", error.message)

    async def sweep(self) -> None:
        """Ends what is overdue and delivers again what nobody acknowledged."""
        now = self._clock()
        while await self._store.write(results.expire, now, AT_ONCE) == AT_ONCE:
            pass
        for node_id in await self._store.read(commands.due_nodes, now):
            self.poke(node_id)


def _message(row: Row[Any]) -> Command:
    return Command(
        request_id=fresh(Kind.REQUEST),
        command_id=row.id,
        workspace_id=row.workspace_id,
        sequence=row.sequence,
        kind=row.kind,
        spec=msgspec.json.decode(row.spec, type=WorkspaceSpec),
        deadline=row.deadline,
        attempt=row.attempts + 1,
    )
