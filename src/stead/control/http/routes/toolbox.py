"""The toolbox of a workspace beyond files and execs: one route for each operation that is declared, and what flows.

Contract: `POST .../toolbox/{operation}` takes the operation's params as an object of JSON and answers its result as the
workspace gives it. What the params must be, the workspace judges; the description of the API tells it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from stead.api.toolbox import Operation, declared
from stead.control.http import sse
from stead.control.http.guards import needs, only_looks
from stead.control.http.params import Asker, Given
from stead.control.http.streamed import Streamed
from stead.protocol.codec import decode_as
from stead.protocol.errors import SteadError
from stead.protocol.methods import CALLS, Right
from stead.transport.streams import Stream

READ = needs(Right.READ)
TAGS = ["toolbox"]
LINE_BYTES = 8 << 20

InWorkspace = Annotated[str, QueryParameter(name="path", max_length=4096)]
_PARAMS = msgspec.json.Decoder(dict[str, Any])
Globs = Annotated[list[str] | None, QueryParameter(description="May be repeated.")]


def _route(name: str, operation: Operation) -> Any:
    """The handler of one operation."""
    right = CALLS[name]
    opt = only_looks(needs(right)) if right is Right.READ else needs(right)

    @post(f"/workspaces/{{workspace:str}}/toolbox/{name}", operation_id=name, opt=opt, tags=TAGS, status_code=200)
    async def ask(
        caller: Asker, services: Given, workspace: FromPath[str], request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        params = _params(await request.body())
        answer = await services.inside.call(caller, workspace, name, params, msgspec.Raw, timeout=operation.seconds)
        return Response(bytes(answer), media_type="application/json")

    return ask


def _params(body: bytes) -> dict[str, Any]:
    """The object that was sent; none is an empty one."""
    return decode_as(_PARAMS, body or b"{}", "the params of an operation are an object of JSON")


@get("/workspaces/{workspace:str}/watch", operation_id="watchFiles", opt=READ, tags=TAGS, media_type=sse.MEDIA_TYPE)
async def watch_files(
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    file: InWorkspace = ".",
    include: Globs = None,
    exclude: Globs = None,
    ignored: Annotated[bool, QueryParameter(description="Also what ignore files leave out, and .git.")] = False,
    poll: Annotated[
        bool, QueryParameter(description="Look again and again, also where the system would tell.")
    ] = False,
) -> Response[bytes]:
    """Server-sent events `changes`: lists of {kind, path, directory, previous}. Who comes back after a break lists anew."""
    params = {"path": file, "include": include or [], "exclude": exclude or [], "ignored": ignored, "poll": poll}
    stream = await services.inside.open(caller, workspace, "watch", params)
    return Streamed(_changes(stream), sse.SENT_AS, sse.HEADERS)


@get("/workspaces/{workspace:str}/log", operation_id="followLog", opt=READ, tags=TAGS, media_type=sse.MEDIA_TYPE)
async def follow_log(
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    file: InWorkspace = "",
    unit: Annotated[str, QueryParameter(max_length=300, description="A systemd unit, instead of a file.")] = "",
    lines: Annotated[int, QueryParameter(ge=0, le=10_000, description="How many of the last ones come first.")] = 100,
) -> Response[bytes]:
    """Server-sent events `log` {data (base64)}: the last lines of a file or a unit's journal, then what is added."""
    stream = await services.inside.open(caller, workspace, "log.follow", {"path": file, "unit": unit, "lines": lines})
    return Streamed(_log(stream), sse.SENT_AS, sse.HEADERS)


async def _changes(stream: Stream) -> AsyncGenerator[bytes, None]:
    rest = b""
    async with aclosing(sse.received(stream)) as pieces:
        async for data in pieces:
            if data is None:
                yield sse.BEAT
                continue
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_BYTES:
                raise SteadError("internal", "the workspace sent a list of changes that has no end")
            for line in whole:
                yield sse.event("changes", line)


async def _log(stream: Stream) -> AsyncGenerator[bytes, None]:
    async with aclosing(sse.received(stream)) as pieces:
        async for data in pieces:
            yield sse.BEAT if data is None else sse.event("log", msgspec.json.encode({"data": data}))


ROUTES = [*(_route(name, operation) for name, operation in declared().operations.items()), watch_files, follow_log]
