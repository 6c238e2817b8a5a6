"""Reports ends of commands until the control plane has acknowledged them.

Contract: `add` takes an end that is in the journal; `run(ask)` sends while a link is up and returns when the link is gone;
what was not acknowledged stays and is sent again over the next link. A refusal that cannot be helped counts as heard.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from stead.node.journal import Journal, Outcome
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, CommandResult, Request

log = logging.getLogger(__name__)
Ask = Callable[[Request, float], Awaitable[Any]]

AT_ONCE = 64
TIMEOUT = 30.0
PAUSE = 1.0


class Outbox:
    """Ends that were not acknowledged yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: dict[str, CommandResult] = {}
        self._sending: set[str] = set()
        self._changed = anyio.Event()
        self._heard_one = anyio.Event()

    async def open(self) -> None:
        """What an earlier life of the node left."""
        for entry in await self._journal.unreported():
            if entry.outcome is not None:
                self.add(entry.command, entry.outcome)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, command: Command, outcome: Outcome) -> None:
        """To be reported, also when it was before."""
        self._waiting[command.command_id] = CommandResult(
            request_id="",
            command_id=command.command_id,
            outcome=outcome.outcome,
            report=outcome.report,
            error=outcome.error,
        )
        self._changed.set()

    async def empty(self, within: float) -> bool:
        """Whether everything was acknowledged in time."""
        with anyio.move_on_after(within):
            while self._waiting:
                await self._heard_one.wait()
            return True
        return False

    async def run(self, ask: Ask) -> None:
        """Sends whatever there is, over one link."""
        self._sending.clear()
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            while True:
                self._changed = anyio.Event()
                for command_id in [name for name in self._waiting if name not in self._sending]:
                    self._sending.add(command_id)
                    group.start_soon(self._send, command_id, ask, limiter)
                await self._changed.wait()

    async def _send(self, command_id: str, ask: Ask, limiter: anyio.CapacityLimiter) -> None:
        result = self._waiting[command_id]
        async with limiter:
            try:
                await ask(result, TIMEOUT)
            except SteadError as error:
                if error.retry:
                    await anyio.sleep(PAUSE)
                    self._again(command_id)
                    return
                log.warning("the end of command %s was refused: %s: %s", command_id, error.code, error.message)
        self._heard(command_id, result)

    def _heard(self, command_id: str, result: CommandResult) -> None:
        self._journal.reported(command_id)
        if self._waiting.get(command_id) is result:
            del self._waiting[command_id]
            self._sending.discard(command_id)
            self._heard_one.set()
            self._heard_one = anyio.Event()
        else:
            self._again(command_id)

    def _again(self, command_id: str) -> None:
        self._sending.discard(command_id)
        self._changed.set()
