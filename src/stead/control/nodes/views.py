"""Nodes as the API shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from stead.api.types import Node, NodeHealth
from stead.control.nodes.registry import Known
from stead.control.store.rows import Row
from stead.protocol.messages import DriverFacts, Facts, Health


def node(row: Row[Any], known: Known | None, online: bool, workspaces: int) -> Node:
    """The answer for a row of `store.nodes` and what the registry knows."""
    health = known.health if known is not None else None
    return Node(
        id=row.id,
        name=row.name,
        status=status(row, online),
        approved=row.approved,
        draining=row.draining,
        labels=row.said_labels | row.labels,
        max_workspaces=row.said_max if row.max_workspaces is None else row.max_workspaces,
        workspaces=workspaces,
        facts=None if row.facts is None else msgspec.convert(row.facts, Facts),
        drivers=msgspec.convert(row.drivers, list[DriverFacts]),
        version=row.software,
        protocol=row.protocol,
        health=_kept(row.health) if health is None else figures(health),
        last_seen=known.heard if known is not None else row.last_seen,
        created=row.created,
        version_number=row.version,
    )


def status(row: Row[Any], online: bool) -> str:
    if not row.approved:
        return "pending"
    if not online:
        return "offline"
    return "draining" if row.draining else "online"


def figures(health: Health) -> NodeHealth:
    """The latest figures as the API shows and the database keeps them."""
    return NodeHealth(
        at=health.at,
        cpu_percent=health.cpu_percent,
        memory_used_bytes=health.memory_used_bytes,
        memory_total_bytes=health.memory_total_bytes,
        disk_used_bytes=health.disk_used_bytes,
        disk_total_bytes=health.disk_total_bytes,
        uptime_seconds=health.uptime_seconds,
        load1=health.load1,
        workspaces=health.workspaces,
    )


def _kept(figures: Any) -> NodeHealth | None:
    return None if figures is None else msgspec.convert(figures, NodeHealth)
