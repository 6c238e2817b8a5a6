"""Files of workspaces: whole ones as bytes that flow, and the small calls around them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from stead.api.types import FileDeleted, FileList, FileMakeDirectory, FileMove, FileStat, FileWritten
from stead.control.http import ranges
from stead.control.http.guards import needs
from stead.control.http.params import Asker, Given
from stead.control.http.streamed import Streamed
from stead.control.people.caller import Caller
from stead.protocol.errors import SteadError
from stead.protocol.methods import Right
from stead.transport.streams import Stream

READ, WRITE = needs(Right.READ), needs(Right.WRITE)
TAGS = ["files"]
BYTES = "application/octet-stream"

FilePath = Annotated[str, QueryParameter(name="path", min_length=1, max_length=4096, description="Below the root.")]
Match = Annotated[str, HeaderParameter(name="If-Match", max_length=200)]
NoneMatch = Annotated[str, HeaderParameter(name="If-None-Match", max_length=200)]


@get("/workspaces/{workspace:str}/files", operation_id="readFile", opt=READ, tags=TAGS, media_type=BYTES)
async def read_file(
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    file: FilePath,
    byte_range: Annotated[str, HeaderParameter(name="Range", max_length=100)] = "",
    none_match: NoneMatch = "",
) -> Response[bytes]:
    """The bytes of a file, or of a part of it."""
    found = await _stat(caller, services, workspace, file)
    if found.kind == "directory":
        raise SteadError("is_directory", "it is a directory; list it instead")
    etag = _etag(found)
    if none_match and none_match in {etag, "*"}:
        return Response(b"", status_code=304, headers={"ETag": etag}, media_type=BYTES)
    wanted = ranges.part(byte_range, found.size)
    offset, length = wanted or (0, found.size)
    stream = await services.inside.open(
        caller, workspace, "file.read", {"path": file, "offset": offset, "length": length}
    )
    headers = {
        "content-length": str(length),
        "accept-ranges": "bytes",
        "etag": etag,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(PurePosixPath(file).name)}",
    }
    if wanted is not None:
        headers["content-range"] = f"bytes {offset}-{offset + length - 1}/{found.size}"
    return Streamed(_pieces(stream, length), BYTES, headers, 200 if wanted is None else 206)


@put(
    "/workspaces/{workspace:str}/files",
    operation_id="writeFile",
    opt=WRITE,
    tags=TAGS,
    status_code=200,
    request_max_body_size=None,
)
async def write_file(  # noqa: PLR0913
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    file: FilePath,
    request: Request[Any, Any, Any],
    mode: Annotated[int | None, QueryParameter(ge=0, le=0o7777)] = None,
    parents: FromQuery[bool] = False,
    match: Match = "",
    none_match: NoneMatch = "",
) -> Response[FileWritten]:
    """Writes a file whole and at once: before the last byte has come, readers see the old one."""
    if match:
        await _check_match(caller, services, workspace, file, match)
    most = services.settings.limits.upload_bytes
    size = request.content_length
    if size is not None and size > most:
        raise SteadError("too_large", f"a file has at most {most} bytes (`limits.upload_bytes`)")
    params = {"path": file, "mode": mode, "parents": parents, "exclusive": none_match == "*", "size": size}
    stream = await services.inside.open(caller, workspace, "file.write", params)
    written = await _upload(stream, request, most)
    found = await _stat(caller, services, workspace, file)
    return Response(written, headers={"ETag": _etag(found)})


@delete("/workspaces/{workspace:str}/files", operation_id="deleteFile", opt=WRITE, tags=TAGS, status_code=200)
async def delete_file(
    caller: Asker, services: Given, workspace: FromPath[str], file: FilePath, recursive: FromQuery[bool] = False
) -> FileDeleted:
    """Deletes a file or directory; already gone is success and says so."""
    params = {"path": file, "recursive": recursive}
    return await services.inside.call(caller, workspace, "files.delete", params, FileDeleted)


@get("/workspaces/{workspace:str}/files/stat", operation_id="statFile", opt=READ, tags=TAGS)
async def stat_file(caller: Asker, services: Given, workspace: FromPath[str], file: FilePath) -> Response[FileStat]:
    """What is there."""
    found = await _stat(caller, services, workspace, file)
    return Response(found, headers={"ETag": _etag(found)})


@get("/workspaces/{workspace:str}/files/list", operation_id="listFiles", opt=READ, tags=TAGS)
async def list_files(
    caller: Asker,
    services: Given,
    workspace: FromPath[str],
    file: Annotated[str, QueryParameter(name="path", min_length=1, max_length=4096)] = ".",
    depth: Annotated[int, QueryParameter(ge=1, le=100)] = 1,
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1_000,
) -> FileList:
    """What is in a directory, sorted by path."""
    params = {"path": file, "depth": depth, "limit": limit}
    return await services.inside.call(caller, workspace, "files.list", params, FileList)


@post("/workspaces/{workspace:str}/files/mkdir", operation_id="makeDirectory", opt=WRITE, tags=TAGS, status_code=200)
async def make_directory(
    caller: Asker, services: Given, workspace: FromPath[str], data: JSONBody[FileMakeDirectory]
) -> FileStat:
    """Makes a directory."""
    return await services.inside.call(caller, workspace, "files.mkdir", msgspec.structs.asdict(data), FileStat)


@post("/workspaces/{workspace:str}/files/move", operation_id="moveFile", opt=WRITE, tags=TAGS, status_code=200)
async def move_file(caller: Asker, services: Given, workspace: FromPath[str], data: JSONBody[FileMove]) -> FileStat:
    """Moves a file or directory within the workspace."""
    return await services.inside.call(caller, workspace, "files.move", msgspec.structs.asdict(data), FileStat)


async def _stat(caller: Caller, services: Given, workspace: str, file: str) -> FileStat:
    return await services.inside.call(caller, workspace, "files.stat", {"path": file}, FileStat)


async def _check_match(caller: Caller, services: Given, workspace: str, file: str, match: str) -> None:
    found = await _stat(caller, services, workspace, file)
    if match not in {"*", _etag(found)}:
        raise SteadError("precondition_failed", "the file has changed since it was read")


def _etag(found: FileStat) -> str:
    return f'"{found.size:x}-{round(found.modified * 1e6):x}"'


async def _pieces(stream: Stream, length: int) -> AsyncGenerator[bytes, None]:
    sent = 0
    async with stream:
        while (data := await stream.receive()) is not None:
            sent += len(data)
            yield data
    if sent != length:
        raise SteadError("conflict", "the file changed while it was read")


async def _upload(stream: Stream, request: Request[Any, Any, Any], most: int) -> FileWritten:
    size = 0
    async with stream:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise SteadError("too_large", f"a file has at most {most} bytes (`limits.upload_bytes`)")
            await stream.send(piece)
        await stream.end()
        while await stream.receive() is not None:
            pass
        return msgspec.convert(stream.result, FileWritten)


ROUTES = [read_file, write_file, delete_file, stat_file, list_files, make_directory, move_file]
