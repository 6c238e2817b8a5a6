"""Routes about files: read, write, list, search, and whole files as they are under `/files/PATH`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec

from stead.guest.sidecar.http import Download, Request, Response
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind, Stat
from stead.toolbox.files import Reader
from stead.toolbox.local import LocalToolbox

NAMES = 100
PER_FILE = 50
LINE_CHARACTERS = 250
GREP = 1000


class Body(msgspec.Struct, rename="camel", kw_only=True):
    """A request of this face; what it does not know, such as an `explanation` for people, is ignored."""


class OnePath(Body):
    path: str = "."


class ReadBody(Body):
    path: str
    should_read_entire_file: bool = True
    start_line_one_indexed: int = 1
    end_line_one_indexed_inclusive: int = 0


class WriteBody(Body):
    path: str
    content: str


class ReplaceBody(Body):
    path: str
    old_string: str
    new_string: str


class NamesBody(Body):
    query: str
    limit: int = NAMES


class GrepBody(Body):
    query: str
    include_pattern: str = ""
    exclude_pattern: str = ""
    case_sensitive: bool = False
    limit: int = GREP


class FileRoutes:
    """Over one toolbox."""

    def __init__(self, toolbox: LocalToolbox) -> None:
        self._toolbox = toolbox

    def table(self) -> dict[tuple[str, str], Callable[[Request], Awaitable[Any]]]:
        return {
            ("POST", "/api/files/read"): self.read,
            ("POST", "/api/files/stats"): self.stats,
            ("POST", "/api/files/write"): self.write,
            ("POST", "/api/files/delete"): self.delete,
            ("POST", "/api/files/list"): self.list,
            ("POST", "/api/files/list-recursive"): self.list_recursive,
            ("POST", "/api/files/search-replace"): self.replace,
            ("POST", "/api/search/files"): self.names,
            ("POST", "/api/search/grep"): self.grep,
            ("POST", "/search/files"): self.names,
            ("POST", "/search/grep"): self.grep,
            ("GET", "/files/*"): self.download,
            ("POST", "/files/*"): self.upload,
            ("PUT", "/files/*"): self.upload,
            ("DELETE", "/files/*"): self.remove,
            ("GET", "/directory/*"): self.directory,
        }

    async def read(self, request: Request) -> dict[str, Any]:
        body = await request.json(ReadBody)
        first, last = (1, 0) if body.should_read_entire_file else _lines(body)
        found = await self._toolbox.text.read(body.path, first, last)
        return {
            "success": True,
            "content": found.content,
            "totalLines": found.total_lines,
            "startLine": found.first,
            "endLine": found.last,
            "truncated": found.truncated,
        }

    async def stats(self, request: Request) -> dict[str, Any]:
        found = await self._toolbox.stat((await request.json(OnePath)).path)
        stats = {
            "size": found.size,
            "mtime": found.modified,
            "isFile": found.kind is FileKind.FILE,
            "isDirectory": found.kind is FileKind.DIRECTORY,
        }
        return {"success": True, "stats": stats}

    async def write(self, request: Request) -> dict[str, Any]:
        body = await request.json(WriteBody)
        done = await self._toolbox.text.write(body.path, body.content, parents=True)
        return {
            "success": True,
            "isNewFile": done.created,
            "linesAdded": done.lines_added,
            "linesRemoved": done.lines_removed,
        }

    async def delete(self, request: Request) -> dict[str, Any]:
        done = await self._toolbox.delete((await request.json(OnePath)).path)
        return {"success": True, "wasAlreadyDeleted": not done.existed}

    async def list(self, request: Request) -> dict[str, Any]:
        return await self._list((await request.json(OnePath)).path)

    async def directory(self, request: Request) -> dict[str, Any]:
        return await self._list(_path(request, "/directory/"))

    async def _list(self, path: str) -> dict[str, Any]:
        found = await self._toolbox.list(path)
        return {"success": True, "contents": [_entry(each) for each in found.entries], "truncated": found.truncated}

    async def list_recursive(self, request: Request) -> dict[str, Any]:
        path = (await request.json(OnePath)).path
        found = await self._toolbox.trees.list(path, ignore=True)
        base = (await self._toolbox.stat(path)).path
        entries = [_entry(each) | {"relativePath": each.path.removeprefix(f"{base}/")} for each in found.entries]
        return {
            "success": True,
            "entries": entries,
            "basePath": path,
            "totalCount": len(entries),
            "truncated": found.truncated,
        }

    async def replace(self, request: Request) -> dict[str, Any]:
        body = await request.json(ReplaceBody)
        before = (await self._toolbox.stat(body.path)).size
        done = await self._toolbox.text.replace(body.path, body.old_string, body.new_string)
        return {
            "success": True,
            "occurrences": done.replaced,
            "oldLength": before,
            "newLength": done.size,
            "linesAdded": done.lines_added,
            "linesRemoved": done.lines_removed,
        }

    async def names(self, request: Request) -> dict[str, Any]:
        body = await request.json(NamesBody)
        found = await self._toolbox.search.names(body.query, limit=body.limit)
        return {"success": True, "files": [each.path for each in found.files], "count": found.total}

    async def grep(self, request: Request) -> dict[str, Any]:
        body = await request.json(GrepBody)
        found = await self._toolbox.search.content(
            body.query,
            include=[body.include_pattern] if body.include_pattern else [],
            exclude=[body.exclude_pattern] if body.exclude_pattern else [],
            case="sensitive" if body.case_sensitive else "insensitive",
            limit=body.limit,
            per_file=PER_FILE,
            characters=LINE_CHARACTERS,
        )
        detailed = [{"file": each.path, "lineNumber": each.line, "content": each.text} for each in found.matches]
        return {
            "success": True,
            "matches": [f"{each.path}:{each.line}:{each.text}" for each in found.matches],
            "detailedMatches": detailed,
            "matchCount": len(detailed),
            "truncated": found.truncated or bool(found.cut),
        }

    # --- whole files -----------------------------------------------------------------------------------------------------

    async def download(self, request: Request) -> Download | Response:
        """The bytes, from `offset` on where asked; as many as there were at the beginning. What does not tell its size, as
        files of /proc, is read first."""
        offset = _number(request, "offset")
        reader = await self._toolbox.reader(_path(request, "/files/"), offset)
        if reader.size:
            return Download(max(0, reader.size - offset), _pieces(self._toolbox, reader), reader.close)
        content = b"".join([piece async for piece in _pieces(self._toolbox, reader)])
        return Response(200, content, "application/octet-stream")

    async def upload(self, request: Request) -> dict[str, Any]:
        """The body becomes the file, in one step at its end."""
        path, digest = _path(request, "/files/"), request.headers.get("x-content-sha256", "")
        done = await self._toolbox.upload(path, request.stream(), parents=True, sha256=digest)
        return {"success": True, "path": done.path, "size": done.size, "isNewFile": done.created}

    async def remove(self, request: Request) -> dict[str, Any]:
        done = await self._toolbox.delete(_path(request, "/files/"), recursive=_flag(request, "recursive"))
        return {"success": True, "wasAlreadyDeleted": not done.existed}


def _lines(body: ReadBody) -> tuple[int, int]:
    return body.start_line_one_indexed, body.end_line_one_indexed_inclusive


def _path(request: Request, prefix: str) -> str:
    """What follows the prefix; a path with a second slash is absolute, as it is written."""
    return request.path.removeprefix(prefix) or "."


def _number(request: Request, name: str) -> int:
    given = request.query.get(name, "0")
    return int(given) if given.isdecimal() and len(given) < 19 else -1


def _flag(request: Request, name: str) -> bool:
    """`?name` and `?name=true` are a yes."""
    given = request.query.get(name, "false")
    if given not in {"", "true", "false"}:
        raise SteadError("invalid", f"{name}: true or false is needed", field=name)
    return given != "false"


def _entry(found: Stat) -> dict[str, Any]:
    directory = found.kind is FileKind.DIRECTORY
    return {"name": found.path.rpartition("/")[2], "type": found.kind.value, "isDirectory": directory}


async def _pieces(toolbox: LocalToolbox, reader: Reader) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await toolbox.in_thread(reader.next):
            yield piece
    finally:
        reader.close()
