"""The workspaces of this node, in memory and in the journal, and how each is reported.

Contract: `Books.open` loads the records. `record(id)` is None for what is not ours; `own(id)` raises "not_found". `report`
looks at the workspace through its driver. Records change only by `keep` and `drop`, after the journal has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from stead.drivers.contract import Driver, Found, Handle, Sight, Status
from stead.node.journal import Journal, Record
from stead.protocol.errors import Fault, SteadError
from stead.protocol.messages import WorkspaceReport

_STATES = {Sight.RUNNING: "running", Sight.STOPPED: "stopped", Sight.ABSENT: "absent", Sight.BROKEN: "failed"}


class Books:
    """Records by workspace id."""

    def __init__(self, journal: Journal, drivers: dict[str, Driver]) -> None:
        self._journal = journal
        self._drivers = drivers
        self.boots: dict[str, str] = {}
        """The boot id of each guest as it was reached last."""
        self.silent: dict[str, Fault] = {}
        """Why a guest that should answer is left alone for a while."""
        self._records: dict[str, Record] = {}
        self.starting: set[str] = set()

    async def open(self) -> None:
        self._records = {record.workspace_id: record for record in await self._journal.records()}

    def __len__(self) -> int:
        return len(self._records)

    def all(self) -> list[Record]:
        return list(self._records.values())

    def record(self, workspace_id: str) -> Record | None:
        return self._records.get(workspace_id)

    def own(self, workspace_id: str) -> Record:
        """The record; what is not ours does not exist."""
        record = self._records.get(workspace_id)
        if record is None:
            raise SteadError("not_found", "no such workspace on this node")
        return record

    def keep(self, record: Record) -> None:
        self._records[record.workspace_id] = record

    def drop(self, workspace_id: str) -> None:
        self._records.pop(workspace_id, None)
        self.boots.pop(workspace_id, None)
        self.silent.pop(workspace_id, None)

    def driver(self, name: str) -> Driver:
        """The driver of this name, if this node offers it."""
        driver = self._drivers.get(name)
        if driver is None:
            raise SteadError("refused", f"this node does not offer the driver {name!r}")
        return driver

    def handle(self, record: Record) -> Handle:
        """The handle; a bare one for a workspace whose start was interrupted before it had one."""
        return record.handle or Handle(1, record.driver, record.workspace_id, {})

    async def status(self, record: Record) -> Status:
        return await self.driver(record.driver).status(self.handle(record))

    async def report(self, record: Record) -> WorkspaceReport:
        """The workspace as it is now."""
        return self.describe(record, await self.status(record))

    def describe(self, record: Record, status: Status) -> WorkspaceReport:
        """The report that follows from what was seen."""
        starting = record.workspace_id in self.starting
        return WorkspaceReport(
            workspace_id=record.workspace_id,
            generation=status.generation or record.generation,
            state="starting" if starting else _STATES[status.sight],  # type: ignore[arg-type]
            driver=record.driver,
            isolation=status.isolation.value,
            limits=[limit.value for limit in status.limits],
            persistence=self.driver(record.driver).facts().persistence,
            guest_boot_id=self.boots.get(record.workspace_id, ""),
            guest_restarts=status.guest_restarts,
            last_sequence=record.last_sequence,
            error=_trouble(record, status, self.silent.get(record.workspace_id)),
        )

    async def orphans(self) -> list[tuple[str, Found]]:
        """Things that carry our label and are in no record, with the driver's name."""
        found: list[tuple[str, Found]] = []
        for name, driver in self._drivers.items():
            found += [(name, thing) for thing in await driver.find() if thing.workspace_id not in self._records]
        return [pair for pair in found if pair[1].workspace_id not in self.starting]

    async def find(self, driver_names: Iterable[str], workspace_id: str) -> tuple[str, Handle] | None:
        """The handle of a thing without a record."""
        for name in driver_names:
            if name not in self._drivers:
                continue
            for thing in await self._drivers[name].find():
                if thing.workspace_id == workspace_id:
                    return name, thing.handle
        return None

    @property
    def driver_names(self) -> list[str]:
        return list(self._drivers)


def _trouble(record: Record, status: Status, silence: Fault | None) -> Fault | None:
    if status.sight is Sight.BROKEN:
        return record.error or SteadError("driver_failed", status.note or "the workspace ended by itself").fault()
    return silence if status.sight is Sight.RUNNING else None
