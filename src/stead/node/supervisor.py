"""Runs commands: one after the other in a workspace, side by side across workspaces, so many at once, each exactly once.

Contract: `accept` returns when the command is in the journal; a known one is answered from there. `run` resumes what a
crash interrupted and works until cancelled. `drain(within)` takes nothing new and waits for what runs; what does not end
in time is left in the journal, to be done again from its beginning by the next start of the node.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from stead.drivers.observer import Observer
from stead.node.books import Books
from stead.node.journal import Entry, Journal, Outcome, Record
from stead.node.operations import Operations, Progress
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, CommandProgress, Message

log = logging.getLogger(__name__)
T = TypeVar("T")
PAUSE = 1.0

Tell = Callable[[Message], Awaitable[None]]
Ended = Callable[[Command, Outcome], None]
Queue = list[tuple[int, int, Command]]


class Supervisor:
    """All commands of this node."""

    def __init__(
        self,
        journal: Journal,
        books: Books,
        operations: Operations,
        *,
        tell: Tell,
        ended: Ended,
        at_once: int,
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._books = books
        self._operations = operations
        self._tell = tell
        self._ended = ended
        self._limiter = anyio.CapacityLimiter(at_once)
        self._observer = observer
        self._clock = clock
        self._queues: dict[str, Queue] = {}
        self._known: set[str] = set()
        self._begun: set[str] = set()
        self._counter = itertools.count()
        self._group: TaskGroup | None = None
        self._draining = False
        self._idle = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Resumes the unfinished and serves until cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            for entry in await self._journal.unfinished():
                self._enqueue(entry.command)
            task_status.started()
            await anyio.sleep_forever()

    async def accept(self, command: Command) -> Entry:
        """Takes a command, once. Not interrupted by the link it came over."""
        if self._draining or self._group is None:
            raise SteadError("draining", "the node is shutting down")
        with anyio.CancelScope(shield=True):
            entry = await self._journal.take(command, self._clock(), begins=self._is_next(command))
            await self._observer.at("command.taken", command.command_id)
            if entry.phase in {"taken", "begun"}:
                self._enqueue(entry.command, begun=entry.phase == "begun")
            elif entry.outcome is not None:
                self._ended(entry.command, entry.outcome)
        return entry

    async def cancel(self, command_id: str) -> bool:
        """Whether the command never begins."""
        with anyio.CancelScope(shield=True):
            entry = await self._journal.cancel(command_id, self._clock())
            if entry is None:
                return True
            if entry.outcome is None or entry.outcome.error is None or entry.outcome.error.code != "cancelled":
                return False
            self._ended(entry.command, entry.outcome)
        return True

    async def drain(self, within: float) -> bool:
        """Takes nothing new; whether everything that ran has ended in time."""
        self._draining = True
        with anyio.move_on_after(within):
            while self._queues:
                await self._idle.wait()
            return True
        return False

    def _is_next(self, command: Command) -> bool:
        """Whether nothing is in its way, so that taking and beginning are one."""
        return command.workspace_id not in self._queues and self._limiter.available_tokens > 0

    def _enqueue(self, command: Command, *, begun: bool = False) -> None:
        if command.command_id in self._known or self._group is None:
            return
        self._known.add(command.command_id)
        if begun:
            self._begun.add(command.command_id)
        queue = self._queues.get(command.workspace_id)
        if queue is None:
            queue = self._queues[command.workspace_id] = []
            self._group.start_soon(self._serve, command.workspace_id, queue)
        heapq.heappush(queue, (command.sequence, next(self._counter), command))

    async def _serve(self, workspace_id: str, queue: Queue) -> None:
        """The commands of one workspace, until there are none."""
        while queue and not self._draining:
            command = heapq.heappop(queue)[2]
            async with self._limiter:
                await self._attempt(command)
            self._known.discard(command.command_id)
        del self._queues[workspace_id]
        self._idle.set()
        self._idle = anyio.Event()

    async def _attempt(self, command: Command) -> None:
        """What the journal will never take is left as it stands there; the other commands go on."""
        try:
            await self._perform(command)
        except SteadError as error:
            log.error("command %s could not be ended: %s: %s", command.command_id, error.code, error.message)

    async def _perform(self, command: Command) -> None:
        if command.command_id in self._begun:
            self._begun.discard(command.command_id)
        elif (without := await self._insist(lambda: self._journal.begin(command, self._clock()))) is not None:
            self._ended(command, without)
            return
        await self._observer.at("command.begun", command.command_id)
        outcome, record = await self._operations.perform(command, self._progress(command))
        await self._observer.at("command.done", command.command_id)
        with anyio.CancelScope(shield=self._draining):
            await self._insist(lambda: self._journal.finish(command, outcome, record, self._clock()))
            self._note(command, record)
        await self._observer.at("command.finished", command.command_id)
        self._ended(command, outcome)

    def _note(self, command: Command, record: Record | None) -> None:
        if record is None:
            self._books.drop(command.workspace_id)
        else:
            self._books.keep(record)

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Until the journal has taken it: a full disk delays a command, it never loses or doubles one."""
        while True:
            try:
                return await write()
            except SteadError as error:
                if not error.retry:
                    raise
                log.warning("the journal did not take a write and is tried again: %s", error.message)
            await anyio.sleep(PAUSE)

    def _progress(self, command: Command) -> Progress:
        async def progress(step: str, detail: str, seconds: float, done: bool) -> None:
            message = CommandProgress(
                command_id=command.command_id, step=step, detail=detail, seconds=seconds, done=done
            )
            await self._tell(message)

        return progress
