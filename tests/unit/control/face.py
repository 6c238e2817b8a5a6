"""The whole control plane in this process, with its HTTP face, for tests.

Contract: `async with face(folder, **settings) as it`: `it.client(secret)` speaks HTTP to it, `it.admin` is the first user's
client, `it.member(name)` makes another user with a token, `it.node()` attaches a node that answers calls and streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
from anyio.abc import TaskGroup

from stead.api.types import TokenCreate, User, WorkspaceCreate
from stead.control.app import App, running
from stead.control.people.caller import Caller
from stead.control.people.identity import Known
from stead.control.settings import load
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, ClientHello, Message, Request, StreamOpen, StreamResume
from stead.protocol.version import PROTOCOL
from stead.transport import memory
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds
from support.deadline import eventually_async
from unit.control.fakenode import FakeNode, enrol

ORIGIN = "http://stead.test"


class Face:
    """It."""

    def __init__(self, app: App, stack: AsyncExitStack) -> None:
        self.app = app
        self._stack = stack
        self.admin: httpx2.AsyncClient
        self.secret = ""
        self.user: User

    async def begin(self) -> None:
        self.user = await self.app.people.users.first()
        self.secret = (await self.app.people.tokens.grant(self.user.id, "test")).secret
        self.admin = self.client(self.secret)

    def client(self, secret: str = "", **headers: str) -> httpx2.AsyncClient:
        """A client with this token, or none."""
        given = {"Authorization": f"Bearer {secret}"} if secret else {}
        transport = httpx2.ASGITransport(app=self.app.door)  # type: ignore[arg-type]
        return httpx2.AsyncClient(transport=transport, base_url=f"{ORIGIN}/api/v1", headers={**given, **headers})

    async def caller(self, secret: str) -> Caller:
        return (await self.known(secret)).caller

    async def known(self, secret: str) -> Known:
        return await self.app.people.identities.of_bearer(secret)

    async def token(self, *scopes: str, lifetime: float = 0.0, secret: str = "") -> str:
        """Another token of the admin (or of whose secret this is)."""
        caller = await self.caller(secret or self.secret)
        body = TokenCreate(name="narrow", scopes=list(scopes), lifetime_seconds=lifetime)
        return (await self.app.people.tokens.create(caller, body)).secret

    async def member(self, name: str = "mia") -> str:
        """The secret of a new member."""
        made = await self.admin.post("/users", json={"name": name})
        assert made.status_code == 201, made.text
        return (await self.app.people.tokens.grant(made.json()["user"]["id"], "test")).secret

    async def node(self, name: str = "alpha") -> WorkNode:
        """A connected node."""
        programs = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(programs.cancel_scope.cancel)
        node = WorkNode(await enrol(self.app.core, name), programs)
        await self._stack.enter_async_context(node.link(self.app.core))
        return node

    async def workspace(self, name: str = "box", secret: str = "") -> str:
        """The id of a workspace that runs on a node."""
        caller = await self.caller(secret or self.secret)
        made = await self.app.core.workspaces.create(caller, WorkspaceCreate(name=name))

        async def runs() -> bool:
            return (await self.app.core.workspaces.get(caller, made.id)).state == "running"

        await eventually_async(runs, "the workspace runs")
        return made.id

    @asynccontextmanager
    async def link(self, secret: str = "") -> AsyncIterator[Client]:
        """A client link in memory."""
        known = await self.known(secret or self.secret)
        here, there = memory.pair()
        client = Client()
        async with anyio.create_task_group() as group:
            group.start_soon(self.app.links.serve, there, known)
            client.peer = Peer(here, client, name="server")
            group.start_soon(client.peer.run)
            await client.peer.send(ClientHello(protocol=PROTOCOL, client="test", boot_id="b"))
            client.ends.attach(client.peer)
            await eventually_async(lambda: client.heard, "a welcome")
            yield client
            await client.peer.close()
            group.cancel_scope.cancel()


class Client:
    """The far side of a client link."""

    def __init__(self) -> None:
        self.ends = StreamEnds()
        self.peer: Peer
        self.heard: list[Message] = []
        self.reason = ""

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self.ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        self.heard.append(message)
        await self.ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.reason = reason

    async def call(self, workspace_id: str, method: str = "files.stat", params: Any = None) -> Any:
        raw = msgspec.Raw(msgspec.json.encode(params or {"path": "."}))
        return await self.peer.request(Call(request_id="", workspace_id=workspace_id, method=method, params=raw))


class WorkNode(FakeNode):
    """A node whose workspaces answer calls with what was asked, and streams with what was sent."""

    def __init__(self, like: FakeNode, programs: TaskGroup) -> None:
        super().__init__(like.node_id, like.name, like.key)
        self.programs = programs
        self.calls: list[Call] = []
        self.opened: list[StreamOpen] = []
        self.detached: list[str] = []
        self.answers: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.ends = StreamEnds()
        self.hold: anyio.Event | None = None
        self.deaf = False

    async def request(self, peer: Peer, message: Request) -> Any:
        if isinstance(message, Call):
            return await self._called(message)
        if isinstance(message, StreamOpen):
            self.opened.append(message)
            stream = self.ends.accept(message.stream_id, message.workspace_id, message.kind, peer)
            if stream.fresh:
                self.programs.start_soon(self._serve, stream, msgspec.json.decode(message.params))
            return {"kind": message.kind}
        if isinstance(message, StreamResume):
            return await self.ends.request(peer, message)
        return await super().request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        if type(message).__name__ == "StreamDetached":
            self.detached.append(message.stream_id)  # type: ignore[attr-defined]
        if not await self.ends.notice(peer, message):
            await super().notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def _called(self, message: Call) -> Any:
        self.calls.append(message)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answers.get(message.method, {"method": message.method})
        if isinstance(answer, SteadError):
            raise answer
        if message.method == "files.stat":
            path = msgspec.json.decode(message.params)["path"]
            if path in self.files:
                size = len(self.files[path])
                return {"path": path, "kind": "file", "size": size, "mode": 420, "modified": float(size)}
            if path != ".":
                raise SteadError("not_found", "no such file")
            return {"path": ".", "kind": "directory", "size": 0, "mode": 493, "modified": 1.0}
        return answer

    async def _serve(self, stream: Stream, params: Any) -> None:
        try:
            if stream.kind == "file.read":
                data = self.files[params["path"]]
                await stream.send(data[params["offset"] :][: params["length"]])
                await stream.end()
            elif stream.kind == "file.write":
                await self._write(stream, params["path"])
            elif not self.deaf:
                while (data := await stream.receive()) is not None:
                    await stream.send(data)
                await stream.end({"exec_id": "ex_1", "state": "exited"})
        except SteadError:
            return

    async def _write(self, stream: Stream, path: str) -> None:
        whole = b""
        while (data := await stream.receive()) is not None:
            whole += data
        created = path not in self.files
        self.files[path] = whole
        await stream.end({"path": path, "size": len(whole), "created": created})


@asynccontextmanager
async def face(folder: Path, **settings: Any) -> AsyncIterator[Face]:
    """The control plane at work."""
    flags = {"data": str(folder / "data"), "mode": "remote", "web": str(folder / "web"), **settings}
    async with running(load(None, {}, flags)) as app, AsyncExitStack() as stack:
        app.origins.allow(ORIGIN)
        it = Face(app, stack)
        await it.begin()
        yield it
