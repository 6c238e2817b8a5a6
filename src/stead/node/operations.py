"""What a command does: start, stop, restart, delete, over any driver.

Contract: `Operations.perform(command, progress)` never raises for what goes wrong in the work: it answers the outcome and the
workspace's new record (None: there is no such workspace any more). Every operation may be performed again from its
beginning after a crash at any point: drivers are idempotent, and setup lines run under exec ids derived from the workspace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import msgspec

from stead.drivers.contract import Handle
from stead.drivers.observer import Observer
from stead.node.books import Books
from stead.node.journal import Outcome, Record
from stead.node.settings import NodeSettings
from stead.protocol.errors import Fault, SteadError
from stead.protocol.messages import Command, WorkspaceReport, WorkspaceSpec

log = logging.getLogger(__name__)

Progress = Callable[[str, str, float, bool], Awaitable[None]]
"""`await progress(step, detail, seconds, done)`."""


class Guests(Protocol):
    """What operations need of the channels."""

    async def let_go(self, workspace_id: str) -> None:
        """Closes the channel, if there is one."""

    def forgive(self, workspace_id: str) -> None:
        """How the guest fared before this start says nothing any more."""


class Preparation(Protocol):
    """What operations need of the setup."""

    async def run(self, spec: WorkspaceSpec, command_id: str, progress: Progress) -> None:
        """Runs the setup lines that have not run yet, in order."""


class Operations:
    """Performs commands."""

    def __init__(
        self, books: Books, guests: Guests, setup: Preparation, settings: NodeSettings, observer: Observer
    ) -> None:
        self._books = books
        self._guests = guests
        self._setup = setup
        self._settings = settings
        self._observer = observer
        self.draining = False

    async def perform(self, command: Command, progress: Progress) -> tuple[Outcome, Record | None]:
        """Does what the command says."""
        record = self._books.record(command.workspace_id)
        try:
            match command.kind:
                case "start":
                    record = await self._start(command, record, progress)
                case "restart":
                    record = await self._restart(command, record, progress)
                case "stop":
                    record = await self._stop(command, record)
                case "delete":
                    await self._delete(command, record)
                    record = None
        except SteadError as error:
            return await self._failed(command, error)
        except Exception:
            log.exception("command %s failed", command.command_id)
            return await self._failed(command, SteadError("internal", "the node failed to do this; its log says why"))
        return Outcome(outcome="completed", report=await self._report(command, record)), record

    async def _start(self, command: Command, record: Record | None, progress: Progress) -> Record:
        environment = self._settings.environment | command.spec.environment
        spec = msgspec.structs.replace(command.spec, environment=environment)
        self._check(command, record)
        driver = self._books.driver(spec.driver)
        self._books.starting.add(spec.workspace_id)
        timer = Steps(progress)
        try:
            with anyio.fail_after(self._settings.start_seconds):
                handle = await driver.start(spec, command.command_id, timer.step)
                self._guests.forgive(spec.workspace_id)
                record = _record(command, handle)
                self._books.keep(record)
                await self._observer.at("operation.started", command.command_id)
                await timer.end()
                await self._setup.run(spec, command.command_id, progress)
        except TimeoutError:
            raise SteadError("timeout", f"not ready within {self._settings.start_seconds:g} s") from None
        finally:
            self._books.starting.discard(spec.workspace_id)
        return record

    async def _restart(self, command: Command, record: Record | None, progress: Progress) -> Record:
        if record is not None and (await self._books.status(record)).generation < command.spec.generation:
            self._check(command, record)
            await self._end(record)
        return await self._start(command, record, progress)

    async def _stop(self, command: Command, record: Record | None) -> Record | None:
        if record is None:
            return None
        await self._end(record)
        return msgspec.structs.replace(record, wanted="stopped", last_sequence=command.sequence, error=None)

    async def _end(self, record: Record) -> None:
        await self._guests.let_go(record.workspace_id)
        await self._books.driver(record.driver).stop(self._books.handle(record), self._settings.stop_grace)
        await self._observer.at("operation.ended", record.workspace_id)

    async def _delete(self, command: Command, record: Record | None) -> None:
        if record is not None:
            await self._guests.let_go(record.workspace_id)
            await self._books.driver(record.driver).delete(self._books.handle(record))
        elif found := await self._books.find(self._books.driver_names, command.workspace_id):
            name, handle = found
            await self._books.driver(name).delete(handle)
        await self._observer.at("operation.deleted", command.command_id)

    def _check(self, command: Command, record: Record | None) -> None:
        if record is None and self.draining:
            raise SteadError("draining", "this node takes no new workspaces")
        limit = self._settings.max_workspaces
        if record is None and limit and len(self._books) >= limit:
            raise SteadError("too_many", f"this node takes at most {limit} workspaces (setting max_workspaces)")
        if record is not None and command.spec.generation < record.generation:
            raise SteadError("conflict", "a later generation of this workspace was made already")
        if record is not None and record.driver != command.spec.driver:
            raise SteadError("conflict", f"this workspace was made by the driver {record.driver!r}")

    async def _failed(self, command: Command, error: SteadError) -> tuple[Outcome, Record | None]:
        """The outcome, with the workspace as it is after the attempt; no record where nothing was made."""
        log.warning("command %s (%s) failed: %s: %s", command.command_id, command.kind, error.code, error.message)
        fault = error.fault()
        record = self._books.record(command.workspace_id)
        if record is None and command.kind in {"start", "restart"}:
            record = await self._remains(command, fault)
        elif record is not None:
            record = msgspec.structs.replace(record, last_sequence=command.sequence, error=fault)
        return Outcome(outcome="failed", error=fault, report=await self._report(command, record, fault)), record

    async def _remains(self, command: Command, fault: Fault) -> Record | None:
        """The record of a half-made workspace, so that it is ours."""
        try:
            found = await self._books.find([command.spec.driver], command.workspace_id)
        except SteadError:
            return None
        return None if found is None else _record(command, found[1], fault)

    async def _report(self, command: Command, record: Record | None, fault: Fault | None = None) -> WorkspaceReport:
        """The workspace as it is; never fails, for the outcome must be told."""
        absent = WorkspaceReport(
            workspace_id=command.workspace_id,
            generation=command.spec.generation,
            state="absent",
            last_sequence=command.sequence,
            error=fault,
        )
        if record is None:
            return absent
        try:
            return await self._books.report(record)
        except SteadError as error:
            return msgspec.structs.replace(absent, state="failed", error=error.fault())


class Steps:
    """Turns a driver's steps into progress with times."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current = ""
        self._since = time.monotonic()

    async def step(self, name: str, detail: str) -> None:
        """A step begins; the one before has ended."""
        await self.end()
        self._current, self._since = name, time.monotonic()
        await self._progress(name, detail, 0.0, False)

    async def end(self) -> None:
        if self._current:
            await self._progress(self._current, "", time.monotonic() - self._since, True)
            self._current = ""


def _record(command: Command, handle: Handle, error: Fault | None = None) -> Record:
    """What is kept of a workspace that this command started, wholly or in part."""
    spec = command.spec
    return Record(
        workspace_id=spec.workspace_id,
        generation=spec.generation,
        driver=spec.driver,
        spec=spec,
        handle=handle,
        wanted="running",
        last_sequence=command.sequence,
        error=error,
    )
