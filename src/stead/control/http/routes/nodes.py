"""Nodes: the machines that run workspaces."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody

from stead.api.types import KeyRotate, Node, NodeEnrol, NodeEnrolled, NodePage, NodePatch, NodeToken, NodeTokenCreate
from stead.control.http.auth import gate_of
from stead.control.http.guards import needs, public
from stead.control.http.params import (
    FIRST_PAGE,
    After,
    Asker,
    Given,
    IfMatch,
    Labels,
    Limit,
    Word,
    labels_of,
    version_of,
    versioned,
)
from stead.control.nodes.service import NodeFilter
from stead.control.people.caller import ADMIN
from stead.protocol.errors import SteadError
from stead.protocol.methods import Right

READ, CHANGE = needs(Right.READ), needs(ADMIN)
TAGS = ["nodes"]


@post("/nodes/enrol", operation_id="enrolNode", opt=public(), tags=TAGS)
async def enrol_node(
    services: Given, data: JSONBody[NodeEnrol], request: Request[Any, Any, Any]
) -> Response[NodeEnrolled]:
    """A machine becomes a node with a single-use token; the token is the proof."""
    gate = gate_of(request.scope)
    gate.attempt(request.scope)
    try:
        made = await services.nodes.enrol(data)
    except SteadError as error:
        raise gate.failed(request.scope, error) from None
    return Response(made, status_code=201, headers={"Location": f"/api/v1/nodes/{made.node_id}"})


@post("/nodes/tokens", operation_id="createNodeToken", opt=CHANGE, tags=TAGS)
async def create_node_token(caller: Asker, services: Given, data: JSONBody[NodeTokenCreate]) -> Response[NodeToken]:
    """A token with which one machine can enrol; it is shown once."""
    made = await services.nodes.create_token(caller, data)
    return Response(made, status_code=201, headers={"Location": f"/api/v1/nodes/tokens/{made.id}"})


@get("/nodes", operation_id="listNodes", opt=READ, tags=TAGS)
async def list_nodes(
    caller: Asker,
    services: Given,
    status: Word = "",
    labels: Labels = None,
    limit: Limit = FIRST_PAGE,
    after: After = "",
) -> NodePage:
    """All nodes."""
    return await services.nodes.list(caller, NodeFilter(status=status, labels=labels_of(labels)), limit, after)


@get("/nodes/{node:str}", operation_id="getNode", opt=READ, tags=TAGS)
async def get_node(caller: Asker, services: Given, node: FromPath[str]) -> Response[Node]:
    """One node, by id, unique beginning of an id, or name."""
    found = await services.nodes.get(caller, node)
    return versioned(found, found.version_number)


@patch("/nodes/{node:str}", operation_id="patchNode", opt=CHANGE, tags=TAGS)
async def patch_node(
    caller: Asker, services: Given, node: FromPath[str], data: JSONBody[NodePatch], if_match: IfMatch = ""
) -> Response[Node]:
    """Another name, labels, capacity; draining and approval."""
    changed = await services.nodes.patch(caller, node, data, version_of(if_match))
    return versioned(changed, changed.version_number)


@delete("/nodes/{node:str}", operation_id="deleteNode", opt=CHANGE, tags=TAGS)
async def delete_node(caller: Asker, services: Given, node: FromPath[str], force: FromQuery[bool] = False) -> None:
    """Forgets a node; with `force` also its workspaces."""
    await services.nodes.remove(caller, node, force)


@post("/nodes/{node:str}/approve", operation_id="approveNode", opt=CHANGE, tags=TAGS, status_code=200)
async def approve_node(caller: Asker, services: Given, node: FromPath[str]) -> Node:
    """Lets an enrolled node connect."""
    return await services.nodes.approve(caller, node)


@post("/nodes/{node:str}/drain", operation_id="drainNode", opt=CHANGE, tags=TAGS, status_code=200)
async def drain_node(caller: Asker, services: Given, node: FromPath[str]) -> Node:
    """Gives it no new workspaces."""
    return await services.nodes.drain(caller, node)


@post("/nodes/{node:str}/undrain", operation_id="undrainNode", opt=CHANGE, tags=TAGS, status_code=200)
async def undrain_node(caller: Asker, services: Given, node: FromPath[str]) -> Node:
    """Gives it workspaces again."""
    return await services.nodes.undrain(caller, node)


@post("/nodes/{node:str}/key", operation_id="rotateNodeKey", opt=public(), tags=TAGS, status_code=200)
async def rotate_node_key(
    services: Given, node: FromPath[str], data: JSONBody[KeyRotate], request: Request[Any, Any, Any]
) -> Node:
    """A node changes its key; the signature by the old one is the proof."""
    gate = gate_of(request.scope)
    gate.attempt(request.scope)
    try:
        return await services.nodes.rotate_key(node, data)
    except SteadError as error:
        raise gate.failed(request.scope, error) from None


ROUTES = [
    enrol_node,
    create_node_token,
    list_nodes,
    get_node,
    patch_node,
    delete_node,
    approve_node,
    drain_node,
    undrain_node,
    rotate_node_key,
]
