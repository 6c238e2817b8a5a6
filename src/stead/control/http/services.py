"""What the routes call.

Contract: one object for every route; the composition root makes it, the door leaves it in the scope.
"""

from __future__ import annotations

import msgspec

from stead.control.commands.service import Commands
from stead.control.nodes.service import Nodes
from stead.control.people.service import People
from stead.control.readiness import Readiness
from stead.control.settings import ServerSettings
from stead.control.store.store import Store
from stead.control.streams.inside import Inside
from stead.control.workspaces.service import Workspaces


class Services(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All of them."""

    settings: ServerSettings
    store: Store
    workspaces: Workspaces
    commands: Commands
    nodes: Nodes
    people: People
    inside: Inside
    readiness: Readiness
