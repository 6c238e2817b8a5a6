"""Whether a caller may do something in a workspace, and which node it is on: known for a moment, so that calls are fast.

Contract: `await access.find(caller, ref, right) -> Place` raises "forbidden", "not_found" (also for other people's),
"workspace_not_running". `run()` follows the events and forgets what changed; ownership never changes.
"""

from __future__ import annotations

import msgspec

from stead.control.people.caller import SYSTEM, Caller
from stead.control.store import events
from stead.control.store.store import Store
from stead.control.workspaces.service import Workspaces
from stead.model.workspaces import Observed
from stead.protocol.errors import SteadError

_KEPT = 50_000
_PAGE = 500


class Place(msgspec.Struct, frozen=True):
    """A running workspace and where it is."""

    workspace_id: str
    owner: str
    node_id: str


class Access:
    """The facts by which calls are authorised."""

    def __init__(self, store: Store, workspaces: Workspaces) -> None:
        self._store = store
        self._workspaces = workspaces
        self._places: dict[str, Place] = {}

    def at_once(self, caller: Caller, workspace_id: str, right: str) -> Place | None:
        """The answer where nothing must be looked up, else None; raises what `find` raises."""
        caller.require(right)
        place = self._places.get(workspace_id)
        return place if place is not None and caller.may_see(place.owner) else None

    async def find(self, caller: Caller, ref: str, right: str) -> Place:
        """Where the workspace is, for somebody who may."""
        if (place := self.at_once(caller, ref, right)) is not None:
            return place
        found = await self._workspaces.get(caller, ref)
        if found.state is not Observed.RUNNING or found.node_id is None:
            raise SteadError("workspace_not_running", f"the workspace {found.name} is {found.state}", state=found.state)
        place = Place(found.id, found.owner, found.node_id)
        if len(self._places) >= _KEPT:
            self._places.clear()
        self._places[found.id] = place
        return place

    def forget(self, workspace_id: str) -> None:
        """It is looked up again."""
        self._places.pop(workspace_id, None)

    async def run(self) -> None:
        """Forgets what events tell of, until cancelled."""
        cursor = await self._store.read(events.latest)
        while True:
            mark = self._store.hints.mark()
            try:
                page = await self._store.read(events.page, SYSTEM, "", cursor, _PAGE)
            except SteadError:
                self._places.clear()
                await mark.wait()
                continue
            cursor = page.next or cursor
            for event in page.items:
                self.forget(event.subject)
            if not page.items:
                await mark.wait()
