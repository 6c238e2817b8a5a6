"""Programs in workspaces: run, list, look at, follow, kill."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import anyio
import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from stead.api.types import ExecAnswer, ExecKill, ExecList, ExecRun, ExecStatus
from stead.control.http import sse
from stead.control.http.guards import needs
from stead.control.http.params import Asker, Given
from stead.control.http.scope import header, known
from stead.control.http.streamed import Streamed
from stead.control.people.caller import Caller
from stead.control.streams.records import Records
from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.methods import Right
from stead.transport.streams import Stream

READ, RUN = needs(Right.READ), needs(Right.EXEC)
TAGS = ["execs"]
SHOWN_BYTES = 1 << 20


class Ended(msgspec.Struct):
    """The answer of `exec.run`."""

    status: ExecStatus
    stdout: bytes = b""
    stderr: bytes = b""
    clipped: bool = False


class Listed(msgspec.Struct):
    """The answer of `exec.list`."""

    execs: list[ExecStatus]


@post("/workspaces/{workspace:str}/exec", operation_id="runExec", opt=RUN, tags=TAGS, status_code=200)
async def run_exec(
    caller: Asker, services: Given, workspace: FromPath[str], data: JSONBody[ExecRun], request: Request[Any, Any, Any]
) -> Response[ExecAnswer]:
    """Runs a program to its end, or starts it and answers at once. A program that fails is an answer, not an error."""
    exec_id = _exec_id(request)
    params = {
        "argv": data.argv,
        "exec_id": exec_id,
        "shell": data.shell,
        "cwd": data.cwd,
        "environment": data.environment,
        "timeout": data.timeout,
        "background": data.background,
    }
    longest = services.settings.limits.exec_wait_seconds
    if data.stdin:
        stream = await services.inside.open(caller, workspace, "exec", {**params, "stdin": True})
        ended = await _with_stdin(stream, data.stdin.encode(), longest)
    else:
        ended = await services.inside.call(caller, workspace, "exec.run", params, Ended, timeout=longest)
    where = f"/api/v1/workspaces/{workspace}/execs/{ended.status.exec_id}"
    return Response(_answer(ended), headers={"Location": where})


@get("/workspaces/{workspace:str}/execs", operation_id="listExecs", opt=READ, tags=TAGS)
async def list_execs(caller: Asker, services: Given, workspace: FromPath[str]) -> ExecList:
    """What runs and what ran, newest first."""
    found = await services.inside.call(caller, workspace, "exec.list", {}, Listed)
    return ExecList(items=found.execs)


@get("/workspaces/{workspace:str}/execs/{exec_id:str}", operation_id="getExec", opt=READ, tags=TAGS)
async def get_exec(caller: Asker, services: Given, workspace: FromPath[str], exec_id: FromPath[str]) -> ExecStatus:
    """One exec and, when over, its end."""
    return await _show(caller, services, workspace, exec_id)


@post(
    "/workspaces/{workspace:str}/execs/{exec_id:str}/kill", operation_id="killExec", opt=RUN, tags=TAGS, status_code=200
)
async def kill_exec(
    caller: Asker, services: Given, workspace: FromPath[str], exec_id: FromPath[str], data: JSONBody[ExecKill]
) -> ExecStatus:
    """Sends a signal to the whole tree of processes."""
    params = {"exec_id": exec_id, "signal": data.signal, "grace": data.grace}
    return await services.inside.call(caller, workspace, "exec.kill", params, ExecStatus)


@get(
    "/workspaces/{workspace:str}/execs/{exec_id:str}/output",
    operation_id="followExec",
    opt=READ,
    tags=TAGS,
    media_type=sse.MEDIA_TYPE,
)
async def follow_exec(
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    exec_id: FromPath[str],
    cursor: Annotated[int, QueryParameter(ge=0, description="Where to begin: a cursor of an event before.")] = 0,
    follow: Annotated[bool, QueryParameter(description="Stay until the exec ends.")] = True,
    last_event_id: Annotated[str, HeaderParameter(name="Last-Event-ID", max_length=20)] = "",
) -> Response[bytes]:
    """Server-sent events: `output` {channel, data (base64), cursor}, whose id is the cursor, then `end` with the status."""
    if last_event_id.isascii() and last_event_id.isdigit():
        cursor = int(last_event_id)
    until = None if follow else (await _show(caller, services, workspace, exec_id)).last_cursor
    stream = await services.inside.open(caller, workspace, "exec.attach", {"exec_id": exec_id, "cursor": cursor})
    return Streamed(_events(stream, cursor, until), sse.SENT_AS, sse.HEADERS)


async def _show(caller: Caller, services: Given, workspace: str, exec_id: str) -> ExecStatus:
    return await services.inside.call(caller, workspace, "exec.show", {"exec_id": exec_id}, ExecStatus)


def _exec_id(request: Request[Any, Any, Any]) -> str:
    """A fresh id; with an Idempotency-Key always the same one, so that nothing runs twice, whatever crashed."""
    key = header(request.scope, b"idempotency-key")
    if not key:
        return ids.make(ids.Kind.EXEC, time.time(), os.urandom(ids.ENTROPY_BYTES))
    user = known(request.scope).caller.user_id
    mac = hashlib.sha256(f"{user}|{request.scope['path']}|{key}".encode()).digest()
    number = int.from_bytes(mac[:17], "big")
    digits = "".join(ids.ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
    return f"{ids.Kind.EXEC.value}_{digits}"


async def _with_stdin(stream: Stream, stdin: bytes, longest: float) -> Ended:
    with anyio.move_on_after(longest):
        return await _feed_and_gather(stream, stdin)
    raise SteadError("timeout", f"the exec did not end within {longest:g} s (`limits.exec_wait_seconds`)")


async def _feed_and_gather(stream: Stream, stdin: bytes) -> Ended:
    records = Records()
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    clipped = False
    async with stream, anyio.create_task_group() as group:
        group.start_soon(_feed, stream, stdin)
        while (data := await stream.receive()) is not None:
            for record in records.feed(data):
                room = SHOWN_BYTES - len(kept[record.channel])
                kept[record.channel] += record.data[:room]
                clipped = clipped or len(record.data) > room
        group.cancel_scope.cancel()
    status = msgspec.convert(stream.result, ExecStatus)
    return Ended(status, bytes(kept["stdout"]), bytes(kept["stderr"]), clipped)


async def _feed(stream: Stream, stdin: bytes) -> None:
    try:
        await stream.send(stdin)
        await stream.end()
    except SteadError:
        return


async def _events(stream: Stream, cursor: int, until: int | None) -> AsyncGenerator[bytes, None]:
    records = Records(cursor)
    async with aclosing(sse.received(stream)) as pieces:
        while until is None or cursor < until:
            data = await anext(pieces, b"")
            if data is None:
                yield sse.BEAT
            elif not data:
                yield sse.event("end", msgspec.json.encode(stream.result), cursor)
                return
            else:
                for record in records.feed(data):
                    cursor = record.cursor
                    yield sse.event("output", msgspec.json.encode(record._asdict()), cursor)


def _answer(ended: Ended) -> ExecAnswer:
    return ExecAnswer(
        exec_id=ended.status.exec_id,
        state=ended.status.state,
        exit_code=ended.status.exit_code,
        signal=ended.status.signal,
        stdout=ended.stdout.decode(errors="replace"),
        stderr=ended.stderr.decode(errors="replace"),
        stdout_base64=base64.b64encode(ended.stdout).decode(),
        stderr_base64=base64.b64encode(ended.stderr).decode(),
        clipped=ended.clipped,
        error=ended.status.error,
    )


ROUTES = [run_exec, list_execs, get_exec, kill_exec, follow_exec]
