"""Commands: the durable orders to nodes."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, QueryParameter

from stead.api.types import Command, CommandPage
from stead.control.commands.service import CommandFilter
from stead.control.http.guards import needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, Limit, Word
from stead.protocol.methods import Right

TAGS = ["commands"]


@get("/commands", operation_id="listCommands", opt=needs(Right.READ), tags=TAGS)
async def list_commands(
    caller: Asker,
    services: Given,
    workspace: Word = "",
    node: Word = "",
    status: Annotated[str, QueryParameter(name="state", max_length=200)] = "",
    limit: Limit = FIRST_PAGE,
    after: After = "",
) -> CommandPage:
    """The commands that the caller may see, newest first."""
    wanted = CommandFilter(workspace=workspace, node=node, state=status)
    return await services.commands.list(caller, wanted, limit, after)


@get("/commands/{command:str}", operation_id="getCommand", opt=needs(Right.READ), tags=TAGS)
async def get_command(caller: Asker, services: Given, command: FromPath[str]) -> Command:
    """One command."""
    return await services.commands.get(caller, command)


@post(
    "/commands/{command:str}/cancel", operation_id="cancelCommand", opt=needs(Right.WRITE), tags=TAGS, status_code=200
)
async def cancel_command(caller: Asker, services: Given, command: FromPath[str]) -> Command:
    """Takes it back, unless its node has begun."""
    return await services.commands.cancel(caller, command)


ROUTES = [list_commands, get_command, cancel_command]
