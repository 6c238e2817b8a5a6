"""A git server over HTTP on this machine: `git http-backend` behind basic authentication, held up or redirected on demand."""

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

WAIT_SECONDS = 60.0


class GitServer:
    """Serves the bare repositories below `root`. `seen` has what every request brought as its credential."""

    def __init__(self, root: Path, username: str = "", password: str = "", redirect: str = "") -> None:
        self.root = root
        self.redirect = redirect
        self.seen: list[str] = []
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        word = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.expected = f"Basic {word}" if password else ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{name}"

    def hold(self) -> None:
        """From now on requests that have a credential wait for `go_on`."""
        self.held.clear()
        self.go_on.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def bare(path: Path, branch: str = "main") -> Path:
    """A bare repository that may be pushed to over HTTP, with one commit."""
    _git("init", "-q", "--bare", "-b", branch, str(path))
    _git("-C", str(path), "config", "http.receivepack", "true")
    tree = _git("-C", str(path), "mktree", stdin="").strip()
    commit = _git("-C", str(path), *PERSON, "commit-tree", "-m", "first", tree).strip()
    _git("-C", str(path), "update-ref", f"refs/heads/{branch}", commit)
    return path


PERSON = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")


def _git(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True, input=stdin)
    return done.stdout


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(_body(self))

        def _serve(self, body: bytes) -> None:
            given = self.headers.get("Authorization", "")
            server.seen.append(given)
            if server.redirect:
                self.send_response(302)
                self.send_header("Location", server.redirect + self.path)
                self.end_headers()
                return
            if server.expected and given != server.expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if not server.go_on.is_set():
                server.held.set()
                server.go_on.wait(WAIT_SECONDS)
            _backend(self, server.root, body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", "0")))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _backend(request: BaseHTTPRequestHandler, root: Path, body: bytes) -> None:
    parts = urlsplit(request.path)
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "REMOTE_USER": "somebody",
        "REMOTE_ADDR": "127.0.0.1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    status, headers = 200, []
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Status":
            status = int(value.split()[0])
        elif name:
            headers.append((name, value))
    request.send_response(status)
    for name, value in headers:
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
