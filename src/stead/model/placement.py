"""Chooses the node of a new workspace. Pure.

Contract: `choose(wish, candidates) -> Candidate` picks the least loaded node that fits, or raises with a reason per node:
"isolation_unavailable" where only the isolation is missing, else "no_node".
"""

from __future__ import annotations

import msgspec

from stead.model.workspaces import Isolation
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts

MOST_REASONS = 20


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace needs."""

    driver: str
    labels: dict[str, str] = {}
    isolation: Isolation | None = None
    cpus: float = 0.0
    memory_bytes: int = 0
    named: bool = False


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node as placement sees it."""

    node_id: str
    name: str
    approved: bool = True
    online: bool = True
    draining: bool = False
    labels: dict[str, str] = {}
    drivers: list[DriverFacts] = []
    max_workspaces: int = 0
    workspaces: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    load1: float = 0.0


def choose(wish: Wish, candidates: list[Candidate]) -> Candidate:
    """The node."""
    if not candidates:
        raise SteadError("no_node", "there is no node yet; add one with `stead node join`")
    reasons = {candidate.name: _why_not(wish, candidate) for candidate in candidates}
    fitting = [candidate for candidate in candidates if not reasons[candidate.name]]
    if fitting:
        return min(fitting, key=_burden)
    shown = dict(list(reasons.items())[:MOST_REASONS])
    text = "; ".join(f"{name}: {reason}" for name, reason in shown.items())
    code = "isolation_unavailable" if all(r.startswith(_ISOLATION) for r in reasons.values()) else "no_node"
    raise SteadError(code, f"no node fits: {text}", nodes=shown)


_ISOLATION = "gives isolation"


def _why_not(wish: Wish, node: Candidate) -> str:
    """Empty where the node fits."""
    for reason in (_standing(wish, node), _shape(wish, node), _driver(wish, node)):
        if reason:
            return reason
    return ""


def _standing(wish: Wish, node: Candidate) -> str:
    if not node.approved:
        return "waits for approval"
    if node.draining:
        return "is draining"
    if not node.online and not wish.named:
        return "is offline"
    return ""


def _shape(wish: Wish, node: Candidate) -> str:
    missing = [f"{key}={value}" for key, value in wish.labels.items() if node.labels.get(key) != value]
    if missing:
        return f"lacks the label {', '.join(missing)}"
    if node.max_workspaces and node.workspaces >= node.max_workspaces:
        return f"is full ({node.workspaces} of {node.max_workspaces} workspaces)"
    if node.memory_bytes and wish.memory_bytes > node.memory_bytes:
        return f"has only {node.memory_bytes} bytes of memory"
    if node.cpus and wish.cpus > node.cpus:
        return f"has only {node.cpus} CPUs"
    return ""


def _driver(wish: Wish, node: Candidate) -> str:
    driver = next((driver for driver in node.drivers if driver.name == wish.driver), None)
    if driver is None:
        return f"has no driver {wish.driver}"
    if wish.isolation is None:
        return ""
    given = [Isolation(level) for level in driver.isolation if level in set(Isolation)]
    if any(level.rank >= wish.isolation.rank for level in given):
        return ""
    best = max(given, key=lambda level: level.rank, default=Isolation.NONE)
    return f"{_ISOLATION} {best.value} at most, {wish.isolation.value} is asked"


def _burden(node: Candidate) -> tuple[float, float, str]:
    size = max(node.cpus, 1)
    return node.workspaces / size, node.load1 / size, node.name
