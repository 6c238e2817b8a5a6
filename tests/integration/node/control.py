"""A scripted control plane, real on the wire: enrols nodes over HTTP, talks to them over WebSocket, keeps what they say."""

import base64
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec
import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import (
    Call,
    Challenge,
    Command,
    CommandProgress,
    CommandResult,
    Health,
    Inventory,
    Message,
    NodeHello,
    Refused,
    Request,
    StreamLost,
    Welcome,
    WorkspaceChanged,
    WorkspaceReport,
    WorkspaceSpec,
)
from stead.transport import websocket
from stead.transport.peer import Peer
from stead.transport.streams import StreamEnds
from support.deadline import PATIENCE


def new_id(kind: ids.Kind) -> str:
    return ids.make(kind, time.time(), secrets.token_bytes(ids.ENTROPY_BYTES))


def spec(workspace_id: str = "", driver: str = "process", generation: int = 1, **more: Any) -> WorkspaceSpec:
    name = workspace_id or new_id(ids.Kind.WORKSPACE)
    return WorkspaceSpec(workspace_id=name, name="box", generation=generation, driver=driver, **more)


class Control:
    """Everything it heard is in its lists; what a test waits for is awaited with `until`."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.keys: dict[str, str] = {}
        self.hellos: list[NodeHello] = []
        self.inventories: list[list[WorkspaceReport]] = []
        self.results: dict[str, list[CommandResult]] = {}
        self.changes: list[WorkspaceReport] = []
        self.health: list[Health] = []
        self.progress: list[CommandProgress] = []
        self.notices: list[Message] = []
        self.refuse: SteadError | None = None
        self.unheard: list[WorkspaceReport] = []
        self.busy = 0
        """So many changes are not heard, as while an order is under way."""
        self.deaf = False
        self.rotations = 0
        self.peer: Peer | None = None
        self.nonce = ""
        self.url = ""
        self.ends = StreamEnds()
        self._pages: list[WorkspaceReport] = []
        self._sequences: dict[str, int] = {}
        self._changed = anyio.Event()

    # --- what a test does

    async def until(self, probe: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
        """The first true answer, asked again whenever something was heard."""
        with anyio.move_on_after(within):
            while not (answer := probe()):
                await self._changed.wait()
            return answer
        raise AssertionError(f"not within {within:g} s: {what}")

    async def connected(self) -> Peer:
        return await self.until(lambda: self.peer, "the node is connected")

    def command(self, kind: str, spec: WorkspaceSpec, **more: Any) -> Command:
        number = self._sequences[spec.workspace_id] = self._sequences.get(spec.workspace_id, 0) + 1
        fields: dict[str, Any] = {
            "request_id": "",
            "command_id": new_id(ids.Kind.COMMAND),
            "workspace_id": spec.workspace_id,
            "sequence": number,
            "kind": kind,
            "spec": spec,
            "deadline": time.time() + 3600,
        }
        return Command(**(fields | more))

    async def deliver(self, command: Command) -> Any:
        return await (await self.connected()).request(command, PATIENCE)

    async def deliver_patiently(self, command: Command) -> None:
        """As a control plane does: again after every lost link, until it is acknowledged."""
        while True:
            peer = await self.connected()
            try:
                await peer.request(command, PATIENCE)
                return
            except SteadError as error:
                if error.code != "unavailable":
                    raise
            await self.until(lambda peer=peer: self.peer is not peer, "the lost link is gone")

    async def result(self, command: Command) -> CommandResult:
        return (
            await self.until(lambda: self.results.get(command.command_id), f"the end of {command.kind}")
            and (self.results[command.command_id][-1])
        )

    async def do(self, kind: str, spec: WorkspaceSpec) -> CommandResult:
        command = self.command(kind, spec)
        await self.deliver(command)
        return await self.result(command)

    async def call(self, workspace_id: str, method: str, timeout: float = PATIENCE, **params: Any) -> Any:
        message = Call(
            request_id="",
            workspace_id=workspace_id,
            method=method,
            params=msgspec.Raw(msgspec.json.encode(params)),
            timeout=timeout,
        )
        return await (await self.connected()).request(message, timeout + 10)

    async def cut(self) -> None:
        if self.peer is not None:
            await self.peer.close("cut by the test")

    # --- stead.transport.peer.Handler

    async def request(self, peer: Peer, message: Request) -> Any:
        match message:
            case Inventory():
                self._page(message)
            case CommandResult():
                if self.deaf:
                    raise SteadError("unavailable", "the database is away")
                self.results.setdefault(message.command_id, []).append(message)
            case WorkspaceChanged() if len(self.unheard) < self.busy:
                self.unheard.append(message.report)
                raise SteadError("in_progress", "an order is under way")
            case WorkspaceChanged():
                self.changes.append(message.report)
            case _:
                raise SteadError("method_not_found", type(message).__name__)
        self.heard()

    async def notice(self, peer: Peer, message: Message) -> None:
        match message:
            case NodeHello():
                await self._greet(peer, message)
            case Health():
                self.health.append(message)
            case CommandProgress():
                self.progress.append(message)
            case StreamLost():
                await self.ends.notice(peer, message)
            case _:
                self.notices.append(message)
        self.heard()

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.detach(peer)
        if self.peer is peer:
            self.peer = None
        self.heard()

    def heard(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _page(self, message: Inventory) -> None:
        self._pages = message.workspaces if message.page == 0 else self._pages + message.workspaces
        assert len(message.workspaces) <= 200
        if message.last:
            self.inventories.append(self._pages)

    async def _greet(self, peer: Peer, hello: NodeHello) -> None:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.keys[hello.node_id]))
        try:
            key.verify(base64.b64decode(hello.signature), f"stead-node-hello:{self.nonce}:{hello.node_id}".encode())
        except InvalidSignature:
            self.refuse = SteadError("unauthenticated", "wrong signature")
        if self.refuse is not None:
            await peer.send(Refused(error=self.refuse.fault()))
            return
        self.hellos.append(hello)
        await peer.send(Welcome(protocol="1.0", boot_id="b", server_version="0", heartbeat_seconds=0.2))
        self.peer = peer
        self.ends.attach(peer)

    # --- ASGI

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._enrol(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/api/v1/nodes/connect":
            connection = await websocket.accept(receive, send)
            peer = Peer(connection, self, name="node")
            self.nonce = secrets.token_hex(16)
            async with anyio.create_task_group() as group:
                group.start_soon(self._challenge, peer)
                await peer.run()
                group.cancel_scope.cancel()

    async def _challenge(self, peer: Peer) -> None:
        await peer.send(Challenge(nonce=self.nonce))

    async def _enrol(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["method"] == "POST"
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        asked = msgspec.json.decode(body)
        if scope["path"].endswith("/key"):
            await self._rotate(scope["path"].split("/")[-2], asked, send)
            return
        if asked["token"] != self.token:
            fault = SteadError("unauthenticated", "the token is not valid").fault()
            await _answer(send, 401, {"error": fault, "request_id": "rq"})
            return
        node_id = next((name for name, key in self.keys.items() if key == asked["public_key"]), "")
        node_id = node_id or new_id(ids.Kind.NODE)
        self.keys[node_id] = asked["public_key"]
        await _answer(send, 201, {"node_id": node_id, "approved": True})

    async def _rotate(self, node_id: str, asked: Any, send: Any) -> None:
        text = f"rotate:{node_id}:{asked['public_key']}".encode()
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(self.keys[node_id])).verify(
                base64.b64decode(asked["signature"]), text
            )
        except InvalidSignature:
            fault = SteadError("unauthenticated", "the signature does not fit").fault()
            await _answer(send, 401, {"error": fault, "request_id": "rq"})
            return
        self.keys[node_id] = asked["public_key"]
        self.rotations += 1
        if self.deaf:
            await _answer(send, 503, {"error": SteadError("unavailable", "deaf").fault(), "request_id": "rq"})
            return
        await _answer(send, 200, {"id": node_id})


async def _answer(send: Any, status: int, content: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(content)})


@contextlib.asynccontextmanager
async def serve(control: Control, port: int = 0) -> AsyncIterator[Control]:
    """Serves until the end of the context; the port may be given again to come back at the same address."""
    config = uvicorn.Config(
        control.app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        lifespan="off",
        ws="websockets-sansio",
        interface="asgi3",
    )
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(_run, server)
        while not server.started:
            await anyio.sleep(0.005)
        control.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield control
        finally:
            await control.cut()
            server.should_exit = True
            server.force_exit = True


async def _run(server: uvicorn.Server) -> None:
    """Without uvicorn's own signal handlers: the tests have theirs."""
    await server._serve()
