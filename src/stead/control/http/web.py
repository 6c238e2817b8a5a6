"""Serves the built web app: fingerprinted files for ever, the page afresh, and the page for every path it routes itself.

Contract: `WebApp(folder)` is an ASGI application for GET and HEAD. Without a built app, a plain page says how to build it.
Files are read only from below the folder, whatever the path says.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path, PurePosixPath

import anyio.to_thread
import msgspec

from stead.control.http.asgi import Receive, Scope, Send

NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stead</title></head>
<body><h1>Stead is running</h1>
<p>The web app is not built. Build it with <code>make setup</code> (Node 20 or newer), then reload this page.</p>
<p>The API is at <code>/api/v1</code>; the command line works without the web app.</p></body></html>
"""
FOREVER = "public, max-age=31536000, immutable"
AFRESH = "no-cache"


class File(msgspec.Struct, frozen=True):
    """One file as it is answered."""

    body: bytes
    media_type: str
    etag: str
    caching: str


class WebApp:
    """The files, kept in memory once read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, tuple[int, File]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one GET or HEAD."""
        file = await anyio.to_thread.run_sync(self._find, scope["path"])
        if file is None:
            await _send(send, 404, [(b"content-type", b"text/plain; charset=utf-8")], b"not found\n", scope)
            return
        headers = [
            (b"content-type", file.media_type.encode()),
            (b"etag", file.etag.encode()),
            (b"cache-control", file.caching.encode()),
        ]
        if _header(scope, b"if-none-match") == file.etag.encode():
            await _send(send, 304, headers[1:], b"", scope)
            return
        await _send(send, 200, headers, file.body, scope)

    def _find(self, path: str) -> File | None:
        parts = PurePosixPath(path).parts[1:]
        if any(part in {"..", "."} or "\0" in part for part in parts):
            return None
        if parts and (found := self._read("/".join(parts))) is not None:
            return found
        if parts and "." in parts[-1]:
            return None
        return self._read("index.html") or File(NOT_BUILT, "text/html; charset=utf-8", '"not-built"', AFRESH)

    def _read(self, name: str) -> File | None:
        file = self._folder / name
        try:
            inside = file.resolve(strict=True).is_relative_to(self._folder.resolve())
            if not inside or not file.is_file():
                return None
            stamp = file.stat().st_mtime_ns
            if (kept := self._files.get(name)) is not None and kept[0] == stamp:
                return kept[1]
            self._files[name] = (stamp, _load(file, name))
        except OSError:
            return None
        return self._files[name][1]


def _load(file: Path, name: str) -> File:
    body = file.read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in {"application/javascript", "application/json"}:
        kind += "; charset=utf-8"
    caching = FOREVER if name.startswith("assets/") else AFRESH
    return File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"', caching)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, scope: Scope) -> None:
    if status != 304:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    shown = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": shown, "more_body": False})
