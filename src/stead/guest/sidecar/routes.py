"""The routes: which there are, and what each answers.

Contract: `Sidecar(toolbox, group, connected, seconds).handle(request)` answers a request; `connected` serves a channel, as
which `GET /link` goes on; `seconds` hold for what has no time limit of its own. Each group of routes has a `table` of methods
and paths; the last part of a path may be `*`, for the path of a file. Answers have `success`; errors have `success: false`,
`error` (a word of this face where it has one, else of ours) and `message`. A command that fails is an answer, never an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from anyio.abc import TaskGroup

from stead import __version__
from stead.guest.channel import Connected
from stead.guest.limiter import within
from stead.guest.sidecar.files import FileRoutes
from stead.guest.sidecar.http import Download, Events, Request, Response, Switch
from stead.guest.sidecar.repository import GitRoutes
from stead.guest.sidecar.terminal import TerminalRoutes
from stead.protocol.errors import SteadError
from stead.protocol.guest import LINK_PATH, LINK_PROTOCOL
from stead.toolbox.local import LocalToolbox

Answer = Response | Download | Events | Switch | Mapping[str, Any] | msgspec.Struct
Route = Callable[[Request], Awaitable[Answer]]

CODES = {
    "invalid": "VALIDATION_ERROR",
    "malformed": "INVALID_REQUEST",
    "path_invalid": "VALIDATION_ERROR",
    "path_outside": "SECURITY_ERROR",
    "refused": "SECURITY_ERROR",
    "permission_denied": "SECURITY_ERROR",
    "too_large": "FILE_TOO_LARGE",
    "not_directory": "DIRECTORY_NOT_FOUND",
    "ref_unknown": "COMMIT_NOT_FOUND",
    "internal": "INTERNAL_ERROR",
}
"""Words of this face for codes of ours; the others are told in capitals."""
DIRECTORIES = ("/directory/", "/api/files/list")
FILES = ("/files/", "/api/files/")
"""Where nothing is found that is to be one."""
TIMED_BY_THEMSELVES = ("/execute/", "/api/execute/", "/api/git/", "/files/")
"""Commands, programs, and bodies of any size, which end when nothing moves."""


def uncounted(request: Request) -> bool:
    """What is never too much: an end, and a channel, whose own requests are counted."""
    return request.path == LINK_PATH or (request.method == "DELETE" and request.path.startswith("/api/commands/"))


class Sidecar:
    """The routes over one toolbox."""

    def __init__(self, toolbox: LocalToolbox, group: TaskGroup, connected: Connected, seconds: float = 0.0) -> None:
        self._toolbox = toolbox
        self._connected = connected
        self._seconds = seconds
        terminal = TerminalRoutes(toolbox, group)
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/health"): self._health,
            ("GET", "/status"): self._status,
            ("GET", LINK_PATH): self._link,
            **FileRoutes(toolbox).table(),
            **terminal.table(),
            **GitRoutes(toolbox).table(),
        }

    async def handle(self, request: Request) -> Response | Download | Events | Switch:
        """The answer to a request."""
        route = self._find(request)
        timed = request.path.startswith(TIMED_BY_THEMSELVES) and request.method != "DELETE"
        try:
            async with within(0.0 if timed else self._seconds, request.path[:200]):
                answer = await route(request)
        except SteadError as error:
            return Response(error.row.status, msgspec.json.encode(_failure(request, error)))
        if isinstance(answer, Response | Download | Events | Switch):
            return answer
        return Response(200, msgspec.json.encode(answer))

    def _find(self, request: Request) -> Route:
        if route := self._routes.get((request.method, request.path)):
            return route
        for (method, pattern), route in self._routes.items():
            if method == request.method and pattern.endswith("*") and request.path.startswith(pattern[:-1]):
                return route
        if any(_fits(pattern, request.path) for _, pattern in self._routes):
            raise SteadError("method_not_allowed", f"{request.method} is not for {request.path[:200]}")
        raise SteadError("not_found", f"there is no {request.path[:200]}")

    async def _link(self, request: Request) -> Answer:
        return Switch(LINK_PROTOCOL, self._connected)

    async def _health(self, request: Request) -> Answer:
        return {"status": "healthy", "version": __version__}

    async def _status(self, request: Request) -> Answer:
        info = await self._toolbox.info()
        execs = (await self._toolbox.execs()).execs
        running = sum(1 for each in execs if each.ended is None)
        return {"status": "healthy", "workspace": info.root, "version": info.version, "runningCommands": running}


def _failure(request: Request, error: SteadError) -> dict[str, Any]:
    word = error.details.get("code") or CODES.get(error.code, error.code.upper())
    if error.code == "not_found" and request.path.startswith(DIRECTORIES):
        word = "DIRECTORY_NOT_FOUND"
    elif error.code == "not_found" and request.path.startswith(FILES):
        word = "FILE_NOT_FOUND"
    return {"success": False, "error": word, "message": error.message, "details": error.details}


def _fits(pattern: str, path: str) -> bool:
    return path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1]))
