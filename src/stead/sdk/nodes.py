"""Nodes: the machines that run workspaces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from stead.api.types import Node, NodePage, NodePatch, NodeToken, NodeTokenCreate
from stead.sdk.http import Http, segment


class Nodes:
    """`stead.nodes`. A node is named by its id or name."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, status: str = "", labels: dict[str, str] | None = None) -> AsyncIterator[Node]:
        pages = self._http.pages("/nodes", NodePage, status=status, label=labels or {})
        return cast("AsyncIterator[Node]", pages)

    async def get(self, node: str) -> Node:
        return await self._http.get(f"/nodes/{segment(node)}", Node)

    async def update(
        self,
        node: str,
        *,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        max_workspaces: int | None = None,
    ) -> Node:
        """Changes what is given; fails with "precondition_failed" when somebody else was faster."""
        return await self._http.change(
            f"/nodes/{segment(node)}", Node, NodePatch(name=name, labels=labels, max_workspaces=max_workspaces)
        )

    async def approve(self, node: str) -> Node:
        return await self._http.post(f"/nodes/{segment(node)}/approve", Node)

    async def drain(self, node: str) -> Node:
        """No new workspaces; those it has go on."""
        return await self._http.post(f"/nodes/{segment(node)}/drain", Node)

    async def undrain(self, node: str) -> Node:
        return await self._http.post(f"/nodes/{segment(node)}/undrain", Node)

    async def delete(self, node: str, *, force: bool = False) -> None:
        """A "conflict" while it has workspaces; with `force`, for a machine that is gone, they are given up with it."""
        await self._http.delete(f"/nodes/{segment(node)}", **({"force": "true"} if force else {}))

    async def create_token(self, *, lifetime: float = 3600.0, labels: dict[str, str] | None = None) -> NodeToken:
        """A single-use enrolment token, shown once."""
        return await self._http.post(
            "/nodes/tokens", NodeToken, NodeTokenCreate(lifetime_seconds=lifetime, labels=labels or {})
        )
