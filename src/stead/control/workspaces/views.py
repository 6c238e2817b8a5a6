"""Workspaces as the API shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from stead.api.types import Step, Workspace
from stead.control.store.rows import Row
from stead.model.workspaces import Desired, Isolation, Observed
from stead.protocol.errors import Fault


def workspace(row: Row[Any], reachable: bool) -> Workspace:
    """The answer for a row of `store.workspaces`."""
    return Workspace(
        id=row.id,
        name=row.name,
        owner=row.owner,
        node_id=row.node_id,
        node_name=row.node_name,
        driver=row.driver,
        desired=Desired(row.desired),
        state=Observed(row.state),
        reachable=reachable,
        generation=row.generation,
        isolation=_isolation(row.isolation),
        isolation_wanted=_isolation(row.isolation_wanted),
        limits=row.limits,
        persistence=row.persistence,
        hibernate=row.hibernate,
        cpus=row.cpus,
        memory_bytes=row.memory_bytes,
        processes=row.processes,
        labels=row.labels,
        environment_names=sorted(row.environment),
        setup=row.setup,
        steps=msgspec.convert(row.steps, list[Step]),
        guest_restarts=row.guest_restarts,
        error=None if row.error is None else msgspec.convert(row.error, Fault),
        created=row.created,
        updated=row.updated,
        version=row.version,
    )


def _isolation(level: str | None) -> Isolation | None:
    return Isolation(level) if level in set(Isolation) else None
