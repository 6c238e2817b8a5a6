"""What people do with nodes.

Contract: `ref` is an id, a unique beginning of an id, or a name. Everyone may see nodes; changing them needs an
administrator. `enrol` and `rotate_key` carry their own proof and need no caller.
"""

from __future__ import annotations

import msgspec

from stead.api.types import KeyRotate, Node, NodeEnrol, NodeEnrolled, NodePage, NodePatch, NodeToken, NodeTokenCreate
from stead.control.people.caller import Caller


class NodeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes to list; empty means any."""

    status: str = ""
    labels: dict[str, str] = {}


class Nodes:
    """The service."""

    async def create_token(self, caller: Caller, body: NodeTokenCreate, approved: bool = False) -> NodeToken:
        """A single-use token; with `approved` the node needs no further approval (the embedded node)."""
        raise NotImplementedError

    async def enrol(self, body: NodeEnrol) -> NodeEnrolled:
        """The token becomes a node; the same token and key again answer the same node."""
        raise NotImplementedError

    async def list(self, caller: Caller, filters: NodeFilter, limit: int, after: str) -> NodePage:
        raise NotImplementedError

    async def get(self, caller: Caller, ref: str) -> Node:
        raise NotImplementedError

    async def patch(self, caller: Caller, ref: str, body: NodePatch, if_version: int | None) -> Node:
        raise NotImplementedError

    async def approve(self, caller: Caller, ref: str) -> Node:
        raise NotImplementedError

    async def drain(self, caller: Caller, ref: str) -> Node:
        raise NotImplementedError

    async def undrain(self, caller: Caller, ref: str) -> Node:
        raise NotImplementedError

    async def remove(self, caller: Caller, ref: str, force: bool = False) -> None:
        """ "conflict" while it has workspaces; with `force` they are given up with it. Its link is cut."""
        raise NotImplementedError

    async def rotate_key(self, node_id: str, body: KeyRotate) -> Node:
        """The old key signs `rotate:<node id>:<new key>`."""
        raise NotImplementedError
