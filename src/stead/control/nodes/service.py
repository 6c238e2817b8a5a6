"""What people do with nodes.

Contract: `ref` is an id, a unique beginning of an id, or a name. Everyone may see nodes; changing them needs an
administrator. `enrol` and `rotate_key` carry their own proof and need no caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from stead.api.types import KeyRotate, Node, NodeEnrol, NodeEnrolled, NodePage, NodePatch, NodeToken, NodeTokenCreate
from stead.control.nodes import views
from stead.control.nodes.keys import check_key, verify
from stead.control.nodes.registry import NodeRegistry
from stead.control.people.caller import Caller
from stead.control.store import commands, events, nodes, workspaces
from stead.control.store.fresh import digest, fresh, secret
from stead.control.store.rows import Connection, Row
from stead.control.store.store import Store
from stead.control.workspaces.checks import check_labels
from stead.model.commands import CommandState
from stead.model.ids import Kind, check_name
from stead.model.workspaces import Desired, Observed
from stead.protocol.errors import SteadError
from stead.protocol.messages import Drain

SHORTEST_LIFE = 60.0
LONGEST_LIFE = 30 * 86_400.0
MOST_WORKSPACES = 1_000_000
GIVEN_UP_AT_ONCE = 10_000


class NodeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes to list; empty means any."""

    status: str = ""
    labels: dict[str, str] = {}


class Nodes:
    """The service."""

    def __init__(
        self,
        store: Store,
        registry: NodeRegistry,
        approve_nodes: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._registry = registry
        self._approve = approve_nodes
        self._clock = clock

    # --- enrolment -------------------------------------------------------------------------------------------------

    async def create_token(self, caller: Caller, body: NodeTokenCreate, approved: bool = False) -> NodeToken:
        """A single-use token; with `approved` the node needs no further approval (the embedded node)."""
        caller.require_admin()
        check_labels(body.labels, "labels")
        if not SHORTEST_LIFE <= body.lifetime_seconds <= LONGEST_LIFE:
            raise SteadError("invalid", f"lifetime_seconds: {SHORTEST_LIFE:g} to {LONGEST_LIFE:g}")
        now, token = self._clock(), secret("steadnode")
        values: dict[str, Any] = {
            "id": fresh(Kind.ENROLMENT),
            "hash": digest(token),
            "labels": body.labels,
            "approved": approved or not self._approve,
            "created_by": caller.user_id,
            "created": now,
            "expires": now + body.lifetime_seconds,
            "used": None,
            "node_id": None,
        }
        await self._store.write(nodes.insert_enrolment, values)
        return NodeToken(id=values["id"], token=token, expires=values["expires"])

    async def enrol(self, body: NodeEnrol) -> NodeEnrolled:
        """The token becomes a node; the same token and key again answer the same node."""
        check_name(body.name)
        check_key(body.public_key)
        check_labels(body.labels, "labels")
        return await self._store.write(_enrol, body, self._clock())

    async def rotate_key(self, node_id: str, body: KeyRotate) -> Node:
        """The old key signs `rotate:<node id>:<new key>`. A link that the old key opened is cut."""
        check_key(body.public_key)
        await self._store.write(_rotate, node_id, body)
        await self._registry.cut(node_id)
        return await self._node(node_id)

    # --- looking ---------------------------------------------------------------------------------------------------

    async def list(self, caller: Caller, filters: NodeFilter, limit: int, after: str) -> NodePage:
        """Oldest first. Filtering by status may leave a page short; `next` goes on."""
        _ = caller
        rows, counts = await self._store.read(_page, filters.labels, limit, after)
        more = rows[limit - 1].id if len(rows) > limit else ""
        items = [self._view(row, counts) for row in rows[:limit]]
        return NodePage(items=[item for item in items if filters.status in ("", item.status)], next=more)

    async def get(self, caller: Caller, ref: str) -> Node:
        _ = caller
        return await self._node(ref)

    # --- changing --------------------------------------------------------------------------------------------------

    async def patch(self, caller: Caller, ref: str, body: NodePatch, if_version: int | None) -> Node:
        """ "precondition_failed" when the version is another one by now."""
        caller.require_admin()
        _check_patch(body)
        values = {name: value for name in _PATCHED if (value := getattr(body, name)) is not None}
        return await self._change(ref, values, if_version)

    async def approve(self, caller: Caller, ref: str) -> Node:
        caller.require_admin()
        return await self._change(ref, {"approved": True}, None)

    async def drain(self, caller: Caller, ref: str) -> Node:
        """It takes no new workspaces; those it has go on."""
        caller.require_admin()
        return await self._change(ref, {"draining": True}, None)

    async def undrain(self, caller: Caller, ref: str) -> Node:
        caller.require_admin()
        return await self._change(ref, {"draining": False}, None)

    async def remove(self, caller: Caller, ref: str, force: bool = False) -> None:
        """ "conflict" while it has workspaces; with `force` they are given up with it. Its link is cut."""
        caller.require_admin()
        node_id = await self._store.write(_remove, ref, force, self._clock())
        await self._registry.cut(node_id)
        self._registry.forget(node_id)

    async def _change(self, ref: str, values: dict[str, Any], if_version: int | None) -> Node:
        row = await self._store.write(_patch, ref, values, if_version)
        await self._apply(row)
        return await self._node(row.id)

    async def _apply(self, row: Row[Any]) -> None:
        """What a connected node and placement need to know of a change."""
        known = self._registry.get(row.id)
        if known is None:
            return
        drains = known.draining != row.draining
        known.name, known.draining, known.labels = row.name, row.draining, row.said_labels | row.labels
        known.max_workspaces = row.said_max if row.max_workspaces is None else row.max_workspaces
        if not row.approved:
            await self._registry.cut(row.id)
        elif drains and known.peer is not None:
            known.peer.tell(Drain(draining=row.draining))

    async def _node(self, ref: str) -> Node:
        row, counts = await self._store.read(_one, ref)
        return self._view(row, counts)

    def _view(self, row: Row[Any], counts: dict[str, int]) -> Node:
        return views.node(row, self._registry.get(row.id), self._registry.online(row.id), counts.get(row.id, 0))


_PATCHED = ("name", "labels", "max_workspaces", "draining", "approved")


def _check_patch(body: NodePatch) -> None:
    if body.name is not None:
        check_name(body.name)
    if body.labels is not None:
        check_labels(body.labels, "labels")
    if body.max_workspaces is not None and not 0 <= body.max_workspaces <= MOST_WORKSPACES:
        raise SteadError("invalid", f"max_workspaces: 0 (no limit) to {MOST_WORKSPACES}")


def _one(conn: Connection, ref: str) -> tuple[Row[Any], dict[str, int]]:
    return nodes.resolve(conn, ref), workspaces.count_by_node(conn)


def _page(conn: Connection, labels: dict[str, str], limit: int, after: str) -> tuple[list[Row[Any]], dict[str, int]]:
    return nodes.page(conn, labels, limit, after), workspaces.count_by_node(conn)


def _enrol(conn: Connection, body: NodeEnrol, now: float) -> NodeEnrolled:
    token = nodes.enrolment(conn, digest(body.token))
    if token is None or token.expires <= now:
        raise SteadError("unauthenticated", "the enrolment token is not valid")
    if token.used is not None:
        return _enrolled_before(conn, token, body)
    node_id = fresh(Kind.NODE)
    nodes.insert(conn, _new(conn, node_id, token, body, now))
    nodes.use_enrolment(conn, token.id, node_id, now)
    events.append(conn, "node.enrolled", node_id, events.EVERYONE, {"name": body.name, "approved": token.approved})
    return NodeEnrolled(node_id=node_id, approved=token.approved)


def _enrolled_before(conn: Connection, token: Row[Any], body: NodeEnrol) -> NodeEnrolled:
    """The answer to the first enrolment got lost: the same key gets it again."""
    row = nodes.by_id(conn, token.node_id)
    if row is None or row.public_key != body.public_key:
        raise SteadError("unauthenticated", "the enrolment token is not valid")
    return NodeEnrolled(node_id=row.id, approved=row.approved)


def _new(conn: Connection, node_id: str, token: Row[Any], body: NodeEnrol, now: float) -> dict[str, Any]:
    return {
        "id": node_id,
        "name": _free_name(conn, body.name),
        "public_key": body.public_key,
        "approved": token.approved,
        "draining": False,
        "labels": body.labels | token.labels,
        "max_workspaces": None,
        "said_labels": {},
        "said_max": 0,
        "facts": None,
        "drivers": [],
        "software": "",
        "protocol": "",
        "boot_id": "",
        "epoch": 0,
        "health": None,
        "last_seen": None,
        "created": now,
        "version": 1,
    }


def _free_name(conn: Connection, name: str) -> str:
    taken = nodes.names_like(conn, name)
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name[:58]}-{number}"
    return free


def _rotate(conn: Connection, node_id: str, body: KeyRotate) -> None:
    row = nodes.by_id(conn, node_id)
    if row is None:
        raise SteadError("unauthenticated", "the node's proof is not valid")
    verify(row.public_key, body.signature, f"rotate:{node_id}:{body.public_key}")
    nodes.change(conn, node_id, {"public_key": body.public_key})
    events.append(conn, "node.key_rotated", node_id, "", {"name": row.name})


def _patch(conn: Connection, ref: str, values: dict[str, Any], if_version: int | None) -> Row[Any]:
    row = nodes.resolve(conn, ref)
    if if_version is not None and if_version != row.version:
        raise SteadError("precondition_failed", f"the node has version {row.version} by now")
    if any(getattr(row, name) != value for name, value in values.items()):
        nodes.change(conn, row.id, values)
        events.append(conn, "node.changed", row.id, events.EVERYONE, {"name": row.name} | values)
    after = nodes.by_id(conn, row.id)
    assert after is not None
    return after


def _remove(conn: Connection, ref: str, force: bool, now: float) -> str:
    row = nodes.resolve(conn, ref)
    left = workspaces.of_node(conn, row.id)
    if left and not force:
        raise SteadError(
            "conflict",
            f"the node has {len(left)} workspaces; delete them first, or give them up with force",
            workspaces=len(left),
        )
    for workspace in left:
        _give_up(conn, workspace, now)
    error = SteadError("cancelled", "the node was removed").fault()
    for command in commands.page(
        conn, [commands.c.node_id == row.id, commands.c.ended.is_(None)], GIVEN_UP_AT_ONCE, ""
    ):
        commands.end(conn, command.id, CommandState.CANCELLED, error, now)
    nodes.remove(conn, row.id)
    events.append(conn, "node.removed", row.id, events.EVERYONE, {"name": row.name})
    return str(row.id)


def _give_up(conn: Connection, row: Row[Any], now: float) -> None:
    values = {"desired": Desired.DELETED.value, "state": Observed.DELETED.value, "live": None}
    workspaces.change(conn, row.id, values, now)
    events.append(conn, "workspace.deleted", row.id, row.owner, {"name": row.name, "reason": "its node was removed"})
