"""Commands: the durable orders to nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from stead.api.types import Command, CommandPage
from stead.sdk.http import Http, segment


class Commands:
    """`stead.commands`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, workspace: str = "", node: str = "", state: str = "") -> AsyncIterator[Command]:
        pages = self._http.pages("/commands", CommandPage, workspace=workspace, node=node, state=state)
        return cast("AsyncIterator[Command]", pages)

    async def get(self, command: str) -> Command:
        return await self._http.get(f"/commands/{segment(command)}", Command)

    async def cancel(self, command: str) -> Command:
        """Only a command that has not begun can be cancelled."""
        return await self._http.post(f"/commands/{segment(command)}/cancel", Command)
