"""Workspaces."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from stead.api.types import EventPage, Workspace, WorkspaceCreate, WorkspacePage, WorkspacePatch
from stead.control.http.guards import in_one_unit, needs
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
from stead.control.http.scope import header
from stead.control.workspaces.service import WorkspaceFilter
from stead.protocol.methods import Right

READ, WRITE = needs(Right.READ), needs(Right.WRITE)
ORDER = in_one_unit(WRITE)
TAGS = ["workspaces"]


@get("/workspaces", operation_id="listWorkspaces", opt=READ, tags=TAGS)
async def list_workspaces(  # noqa: PLR0913
    caller: Asker,
    services: Given,
    name: Word = "",
    status: Annotated[str, QueryParameter(name="state", max_length=200)] = "",
    node: Word = "",
    owner: Word = "",
    labels: Labels = None,
    limit: Limit = FIRST_PAGE,
    after: After = "",
) -> WorkspacePage:
    """The workspaces that the caller may see, newest first."""
    wanted = WorkspaceFilter(name=name, state=status, node=node, owner=owner, labels=labels_of(labels))
    return await services.workspaces.list(caller, wanted, limit, after)


@post("/workspaces", operation_id="createWorkspace", opt=ORDER, tags=TAGS)
async def create_workspace(
    caller: Asker, services: Given, data: JSONBody[WorkspaceCreate], request: Request[Any, Any, Any]
) -> Response[Workspace]:
    """Makes a workspace; it starts by itself."""
    key = header(request.scope, b"idempotency-key") or ""
    made = await services.workspaces.create(caller, data, key)
    return versioned(made, made.version, 201, f"/api/v1/workspaces/{made.id}")


@get("/workspaces/{workspace:str}", operation_id="getWorkspace", opt=READ, tags=TAGS)
async def get_workspace(caller: Asker, services: Given, workspace: FromPath[str]) -> Response[Workspace]:
    """One workspace, by id, unique beginning of an id, or name."""
    found = await services.workspaces.get(caller, workspace)
    return versioned(found, found.version)


@patch("/workspaces/{workspace:str}", operation_id="patchWorkspace", opt=WRITE, tags=TAGS)
async def patch_workspace(
    caller: Asker, services: Given, workspace: FromPath[str], data: JSONBody[WorkspacePatch], if_match: IfMatch = ""
) -> Response[Workspace]:
    """Another name or other labels."""
    changed = await services.workspaces.patch(caller, workspace, data, version_of(if_match))
    return versioned(changed, changed.version)


@delete("/workspaces/{workspace:str}", operation_id="deleteWorkspace", opt=WRITE, tags=TAGS, status_code=202)
async def delete_workspace(caller: Asker, services: Given, workspace: FromPath[str]) -> Workspace:
    """Deletes a workspace with all that is in it; the node does it as soon as it can."""
    return await services.workspaces.delete(caller, workspace)


@post("/workspaces/{workspace:str}/start", operation_id="startWorkspace", opt=ORDER, tags=TAGS, status_code=202)
async def start_workspace(caller: Asker, services: Given, workspace: FromPath[str]) -> Workspace:
    """Asks that it run."""
    return await services.workspaces.start(caller, workspace)


@post("/workspaces/{workspace:str}/stop", operation_id="stopWorkspace", opt=ORDER, tags=TAGS, status_code=202)
async def stop_workspace(caller: Asker, services: Given, workspace: FromPath[str]) -> Workspace:
    """Asks that its processes end; the files stay."""
    return await services.workspaces.stop(caller, workspace)


@post("/workspaces/{workspace:str}/restart", operation_id="restartWorkspace", opt=ORDER, tags=TAGS, status_code=202)
async def restart_workspace(caller: Asker, services: Given, workspace: FromPath[str]) -> Workspace:
    """Stops and starts it."""
    return await services.workspaces.restart(caller, workspace)


@get("/workspaces/{workspace:str}/events", operation_id="listWorkspaceEvents", opt=READ, tags=TAGS)
async def list_workspace_events(
    caller: Asker, services: Given, workspace: FromPath[str], limit: Limit = FIRST_PAGE, after: After = ""
) -> EventPage:
    """What happened to it, oldest first."""
    return await services.workspaces.history(caller, workspace, after, limit)


ROUTES = [
    list_workspaces,
    create_workspace,
    get_workspace,
    patch_workspace,
    delete_workspace,
    start_workspace,
    stop_workspace,
    restart_workspace,
    list_workspace_events,
]
