"""The composition root: every part of the control plane, made once and joined here.

Contract: `async with running(settings) as app` opens the store, starts the background work and gives the application;
`app.door` is its ASGI face. Leaving closes the links, ends the work and lets go of the store.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec

from stead.control.core import Core
from stead.control.http.api import build_api
from stead.control.http.asgi import ASGIApp
from stead.control.http.audited import Audited
from stead.control.http.auth import Gate
from stead.control.http.door import Door
from stead.control.http.idempotency import Idempotency
from stead.control.http.services import Services
from stead.control.http.sockets import client_socket, node_socket
from stead.control.http.web import WebApp
from stead.control.people.origins import Origins
from stead.control.people.service import People
from stead.control.readiness import Readiness
from stead.control.settings import ServerSettings
from stead.control.store import facts, retention
from stead.control.store.store import Store, open_store
from stead.control.streams.access import Access
from stead.control.streams.clientlink import Books, ClientLinks
from stead.control.streams.inside import Inside
from stead.control.streams.names import SECRET, Names
from stead.control.streams.relay import NodeStreams
from stead.protocol.messages import GoAway

API = "/api/v1"
Opener = Callable[[str, Path], Awaitable[Store]]


class App(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The control plane, ready to serve."""

    settings: ServerSettings
    services: Services
    core: Core
    people: People
    links: ClientLinks
    origins: Origins
    door: Door

    async def goaway(self, reason: str, retry_after: float) -> None:
        """Tells every client and node that this server will close soon."""
        await self.links.goaway(reason, retry_after)
        for node_id in self.core.registry.connected():
            self.core.registry.link(node_id).tell(GoAway(reason=reason, retry_after=retry_after))


@asynccontextmanager
async def running(settings: ServerSettings, opener: Opener = open_store) -> AsyncIterator[App]:
    """The application at work. `opener` may open another store than the usual one."""
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = await opener(settings.database_url, settings.folder)
    try:
        parts = await _parts(settings, store)
        async with anyio.create_task_group() as group:
            for work in parts.work:
                group.start_soon(work)
            try:
                yield parts.app
            finally:
                await parts.app.links.close()
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


class _Parts(msgspec.Struct):
    app: App
    work: list[Any]


async def _parts(settings: ServerSettings, store: Store) -> _Parts:
    boot_id = secrets.token_hex(8)
    limits = settings.limits
    streams = NodeStreams()
    history_days = settings.limits.history_seconds / retention.DAY
    core = Core(store, streams=streams, approve_nodes=settings.approve_nodes, history_days=history_days)
    people = People(store, limits)
    access = Access(store, core.workspaces)
    names = Names(await store.write(facts.once, SECRET, secrets.token_hex(32)))
    links = ClientLinks(
        Books(
            store=store,
            access=access,
            nodes=streams,
            names=names,
            audit=people.audit,
            identities=people.identities,
            live=people.live,
            limits=limits,
            boot_id=boot_id,
        )
    )
    inside = Inside(access, links, boot_id)
    services = Services(
        settings=settings,
        store=store,
        workspaces=core.workspaces,
        commands=core.commands,
        nodes=core.nodes,
        people=people,
        inside=inside,
        readiness=Readiness(),
    )
    origins = Origins([*settings.allowed_origins, settings.public_url])
    gate = Gate(people.identities, people.tickets, origins, limits)
    door = Door(
        services,
        _api(settings, people, store, boot_id),
        WebApp(web_folder(settings)),
        {f"{API}/link": client_socket(gate, links), f"{API}/nodes/connect": node_socket(core.links)},
        gate,
    )
    app = App(settings=settings, services=services, core=core, people=people, links=links, origins=origins, door=door)
    return _Parts(app, [core.run, people.run, access.run, inside.run])


def _api(settings: ServerSettings, people: People, store: Store, boot_id: str) -> ASGIApp:
    audited = Audited(build_api(settings.limits.body_bytes), people.audit)
    return Idempotency(audited, store, boot_id, settings.limits.body_bytes)


def web_folder(settings: ServerSettings) -> Path:
    """Where the built web app is: as set, or inside the package, or in the checkout."""
    if settings.web:
        return Path(settings.web).expanduser()
    package = Path(__file__).parent.parent
    packed = package / "web"
    return packed if packed.is_dir() else package.parent.parent / "web" / "dist"
