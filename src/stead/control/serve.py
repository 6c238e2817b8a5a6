"""Runs the server: `stead serve`, and `stead up` with its embedded node.

Contract: `run(settings, stop_workspaces=..., say=...) -> int` serves until SIGTERM or SIGINT, then stops in stages within a
bound: clients and nodes are told, the embedded node ends (its workspaces go on, unless asked otherwise), requests finish,
the store closes. A second signal stops at once. `say` gets what a person should read; secrets go to no log.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

import anyio
import structlog
import uvicorn

from stead.api.types import Workspace
from stead.control import logs
from stead.control.app import App, Opener, running
from stead.control.embedded import EmbeddedNode
from stead.control.files import LOCAL_TOKEN, LOCK, SERVER, Lock, read_or_empty, write_private
from stead.control.http.heads import bounded
from stead.control.http.limits import MESSAGE_BYTES, PAGE_ITEMS
from stead.control.http.upgrade import Upgrade
from stead.control.people.caller import SYSTEM
from stead.control.settings import ServerSettings, is_loopback
from stead.control.store.store import open_store
from stead.control.workspaces.service import WorkspaceFilter
from stead.model.workspaces import Desired, Observed
from stead.protocol.errors import SteadError

log = structlog.get_logger("stead")

RETRY_AFTER = 1.0
STOP_WORKSPACES_SECONDS = 60.0
FORCED = 130
OPEN_FILES = 65_536
FEWER_FILES = 10_240
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept; longer than clients keep theirs, so that none is closed under a request."""

Say = Callable[[str], None]


def _print(line: str) -> None:
    print(line, flush=True)


def run(
    settings: ServerSettings, *, stop_workspaces: bool = False, say: Say = _print, opener: Opener = open_store
) -> int:
    """Serves until told to stop; the exit code."""
    logs.configure(settings.log_level)
    _allow_many_files()
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Lock(settings.folder / LOCK)
    if not lock.take():
        say(f"stead: a server already runs for {settings.folder}: {read_or_empty(settings.folder / SERVER)}")
        return 1
    try:
        listening = _listen(settings)
    except OSError as error:
        say(f"stead: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}")
        return 1
    try:
        serve = partial(_serve, settings, listening, stop_workspaces, say, opener)
        return anyio.run(serve, backend_options={"use_uvloop": True})
    except SteadError as error:
        say(f"stead: {error.message}")
        return 1
    finally:
        listening.close()
        lock.release()


def _allow_many_files() -> None:
    """Every link is an open file. macOS may refuse what its own limit seems to permit, but not the smaller number."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in raised(now, most):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return


def raised(now: int, most: int) -> list[int]:
    """What to ask for, best first; nothing where there is enough."""
    if now == resource.RLIM_INFINITY:
        return []
    room = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    return [wanted for wanted in dict.fromkeys((room, min(room, FEWER_FILES))) if now < wanted]


def url_of(settings: ServerSettings, listening: socket.socket) -> str:
    """How this machine reaches the server: with TLS of its own by the public name, for which the certificate is."""
    if settings.tls_certificate and settings.public_url:
        return settings.public_url.rstrip("/")
    port = listening.getsockname()[1]
    host = settings.host if is_loopback(settings.host) else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_certificate else 'http'}://{shown}:{port}"


class HttpServer(uvicorn.Server):
    """uvicorn, with our own signals and a call once it serves."""

    def __init__(self, config: uvicorn.Config, ready: anyio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """We listen to them ourselves."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As ever, then tells."""
        await super().startup(sockets)
        self._ready.set()


async def _serve(
    settings: ServerSettings, listening: socket.socket, stop_workspaces: bool, say: Say, opener: Opener
) -> int:
    url = url_of(settings, listening)
    async with running(settings, opener) as app:
        for origin in (url, url.replace("127.0.0.1", "localhost")):
            app.origins.allow(origin)
        ready = anyio.Event()
        server = HttpServer(_config(settings, app), ready)
        node = None if settings.mode == "remote" else EmbeddedNode(settings, url, app.core.nodes)
        words = await _begin(settings, app, url)
        async with anyio.create_task_group() as group:
            group.start_soon(_watch_signals, _Stop(app, server, node, stop_workspaces))
            if node is not None:
                app.services.readiness.ready = False
                group.start_soon(_run_node, node, ready)
            group.start_soon(_say, app, node is not None, ready, say, words)
            group.start_soon(_keep_for_good, ready)
            await server.serve([listening])
            group.cancel_scope.cancel()
    (settings.folder / SERVER).unlink(missing_ok=True)
    return 0


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(False)
    return listening


def _config(settings: ServerSettings, app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app.door,
        http=bounded(settings.limits.header_bytes, settings.limits.head_seconds),
        ws=Upgrade,
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.limits.shutdown_seconds)),
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )


async def _run_node(node: EmbeddedNode, ready: anyio.Event) -> None:
    await ready.wait()
    await node.run()


async def _keep_for_good(ready: anyio.Event) -> None:
    """What was loaded stays, so the collector of garbage need not look at it again and again."""
    await ready.wait()
    gc.freeze()


async def _begin(settings: ServerSettings, app: App, url: str) -> list[str]:
    """The files for this machine, before anybody can ask; and the words for the person.

    What a service manager keeps as a log gets a login only at the first start, when there is no other way in.
    """
    fresh = await app.people.users.none()
    first = await app.people.users.first()
    await _local_token(settings, app, first.id)
    write_private(settings.folder / SERVER, json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    shown = settings.public_url or url
    if settings.mode == "remote" and not fresh and not sys.stdout.isatty():
        return [f"Stead serves at {shown}"]
    code = await app.people.logins.issue(first.id)
    return [f"Stead serves at {shown}", f"Log in as {first.name}: {shown}/login#{code}"]


async def _say(app: App, has_node: bool, ready: anyio.Event, say: Say, words: list[str]) -> None:
    await ready.wait()
    if has_node:
        await app.services.readiness.await_node(app.core.registry)
    for line in words:
        say(line)


async def _local_token(settings: ServerSettings, app: App, user_id: str) -> None:
    """The machine's own token; the one there is stays while it holds."""
    file = settings.folder / LOCAL_TOKEN
    try:
        await app.people.identities.of_bearer(read_or_empty(file))
    except SteadError as error:
        if error.code != "unauthenticated":
            raise
        write_private(file, await app.people.tokens.renew_local(user_id))


class _Stop:
    """The stages of stopping."""

    def __init__(self, app: App, server: HttpServer, node: EmbeddedNode | None, stop_workspaces: bool) -> None:
        self._app = app
        self._server = server
        self._node = node
        self._stop_workspaces = stop_workspaces

    async def gently(self) -> None:
        """Stage by stage, each bounded."""
        log.info("stopping")
        await self._app.goaway("the server stops", RETRY_AFTER)
        if self._stop_workspaces:
            await self._end_workspaces()
        if self._node is not None:
            await self._node.stop()
        await self._app.links.close()
        self._server.should_exit = True

    def at_once(self) -> None:
        """Now. What is durable stays so."""
        log.warning("stopping at once")
        sys.stderr.flush()
        os._exit(FORCED)

    async def _end_workspaces(self) -> None:
        workspaces = self._app.core.workspaces
        with anyio.move_on_after(STOP_WORKSPACES_SECONDS):
            while live := await self._live():
                for each in live:
                    if each.desired is not Desired.STOPPED:
                        await workspaces.stop(SYSTEM, each.id)
                await anyio.sleep(0.1)

    async def _live(self) -> list[Workspace]:
        found: list[Workspace] = []
        after = ""
        while True:
            page = await self._app.core.workspaces.list(SYSTEM, WorkspaceFilter(), PAGE_ITEMS, after)
            found += [each for each in page.items if each.state not in {Observed.STOPPED, Observed.FAILED}]
            if not (after := page.next):
                return found


async def _watch_signals(stop: _Stop) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:
            began = False
            async for _ in signals:
                if began:
                    stop.at_once()
                began = True
                group.start_soon(stop.gently)
