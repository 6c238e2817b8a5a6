"""A small control plane to drive by typing, for those who write a node: it accepts any node and shows everything said.

Contract: `run(host, port, lines, out)` serves until `quit` or the end of the lines; `python -m stead.testing.mockcontrol`
(and `stead mock-control`) does so on a terminal. Every text message and frame is shown with `<` (from the node) or `>`
(to it). Any enrolment token is accepted; a hello's signature is checked where the key was enrolled here, and only told.
Needs the `server` extra.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import msgspec
import uvicorn
from anyio.abc import TaskGroup
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stead import __version__
from stead.model import ids
from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.protocol.frames import BYTES_KINDS, CONSUMED, Frame, FrameKind
from stead.protocol.messages import (
    Call,
    Challenge,
    Command,
    Drain,
    Message,
    NodeHello,
    Refused,
    Request,
    Welcome,
    WorkspaceSpec,
)
from stead.protocol.version import PROTOCOL, agree
from stead.transport import websocket
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

HELP = """\
wait [SECONDS]              wait for a node, or for a time
nodes | node NAME           list the connected nodes | speak to this one from now on
start|stop|restart|delete WS [driver=D isolation=I ...]   deliver a command; WS is any word, an id is made for it
call WS METHOD [JSON]       a toolbox call
exec WS ARG...              run a command over a stream and show its output
open WS KIND [JSON]         open any stream; what arrives is shown; its name is st1, st2, ...
send ST TEXT | end ST | reset ST    write to a stream, end this direction, reset it
drain on|off                tell the node to take no new workspaces, or to take them again
goaway [SECONDS] | close    announce that the link will close | close it
raw JSON | frame HEX        send a text message or a frame exactly as typed
quit                        end
A line that ends with & does not wait for its answer."""

SHOWN = 200


def show_text(text: str) -> str:
    """A message on one line, shortened."""
    try:
        fields = json.loads(text)
        kind = fields.pop("type", "?")
        rest = json.dumps(fields, ensure_ascii=False)
    except (ValueError, AttributeError, TypeError):
        kind, rest = "unreadable", text
    return f"{kind} {rest if len(rest) <= 4 * SHOWN else rest[: 4 * SHOWN] + '...'}"


def show_frame(data: bytes) -> str:
    """A frame on one line, shortened."""
    try:
        frame = Frame.decode(data)
    except SteadError as error:
        return f"frame {error.code}: {error.message}: {data[:40].hex()}"
    known = frame.kind in list(FrameKind)
    name = FrameKind(frame.kind).name if known else f"kind {frame.kind:#04x}"
    head = f"frame {name} {frame.stream_id} seq={frame.seq}"
    if frame.kind == FrameKind.CREDIT and len(frame.payload) >= CONSUMED.size:
        return f"{head} consumed={CONSUMED.unpack_from(frame.payload)[0]}"
    first = bytes(frame.payload[:SHOWN])
    shown = repr(first)[1:] if frame.kind in BYTES_KINDS else first.decode("utf-8", "replace")
    return f"{head} {len(frame.payload)} B {shown}"


class Shown:
    """A connection that shows everything that passes."""

    def __init__(self, connection: Messages, say: Callable[[str], None]) -> None:
        self._connection = connection
        self._say = say

    async def receive(self) -> str | bytes | None:
        message = await self._connection.receive()
        if message is not None:
            self._show("<", message)
        return message

    async def send(self, message: str | bytes) -> None:
        self._show(">", message)
        await self._connection.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def _show(self, way: str, message: str | bytes) -> None:
        self._say(f"{way} {show_text(message) if isinstance(message, str) else show_frame(message)}")


class Node:
    """One link of a node: the handler of what it says."""

    def __init__(self, mock: MockControl, connection: Shown) -> None:
        self.mock = mock
        self.connection = connection
        self.ends = StreamEnds()
        self.name = "?"
        self.nonce = secrets.token_urlsafe(32)
        self.peer = Peer(connection, self, name="node")

    async def run(self) -> None:
        self.peer.tell(Challenge(nonce=self.nonce))
        await self.peer.run()

    async def request(self, peer: Peer, message: Request) -> Any:
        """Everything a node reports is believed."""

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, NodeHello):
            await self._hello(message)
        else:
            await self.ends.notice(peer, message)

    async def _hello(self, message: NodeHello) -> None:
        try:
            protocol = agree(message.protocol)
        except SteadError as error:
            await self.peer.send(Refused(error=error.fault()))
            return
        self.name = message.node_id
        self.mock.say(f"* {self.name}: {self.mock.check_signature(message, self.nonce)}")
        await self.peer.send(Welcome(protocol=protocol, boot_id=self.mock.boot_id, server_version=__version__))
        self.ends.attach(self.peer)
        self.mock.joined(self)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.close(SteadError("unavailable", "the node's link is over"))
        self.mock.left(self, reason)


class MockControl:
    """The control plane: nodes, the books, the commands one types."""

    def __init__(self, say: Callable[[str], None], group: TaskGroup) -> None:
        self.say = say
        self.boot_id = secrets.token_hex(8)
        self._group = group
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._nodes: list[Node] = []
        self._joined = anyio.Event()
        self._workspaces: dict[str, WorkspaceSpec] = {}
        self._sequences: dict[str, int] = {}
        self._streams: dict[str, Stream] = {}
        self._numbers = itertools.count(1)

    # --- nodes

    def enrol(self, body: bytes) -> tuple[int, dict[str, object]]:
        """Any token will do; the key is kept to check hellos."""
        try:
            asked = json.loads(body)
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(asked["public_key"]))
        except (ValueError, KeyError, TypeError) as error:
            fault = SteadError("invalid", f"not an enrolment: {error}").fault()
            return 400, {"error": msgspec.to_builtins(fault), "request_id": ""}
        node_id = new_id(ids.Kind.NODE)
        self._keys[node_id] = key
        self.say(f"* enrolled {asked.get('name', '?')} as {node_id}")
        return 201, {"node_id": node_id, "approved": True}

    def check_signature(self, hello: NodeHello, nonce: str) -> str:
        """What is to be said about a hello."""
        key = self._keys.get(hello.node_id)
        if key is None:
            return "its key is not known here; accepted"
        try:
            signature = base64.b64decode(hello.signature)
            key.verify(signature, f"stead-node-hello:{nonce}:{hello.node_id}".encode())
        except (InvalidSignature, ValueError):
            return "its signature is WRONG; accepted all the same"
        return "its signature is right"

    def joined(self, node: Node) -> None:
        self._nodes.append(node)
        self._joined.set()

    def left(self, node: Node, reason: str) -> None:
        if node in self._nodes:
            self._nodes.remove(node)
        if not self._nodes:
            self._joined = anyio.Event()
        self.say(f"* {node.name} left: {reason}")

    @property
    def node(self) -> Node:
        """The one that is spoken to."""
        if not self._nodes:
            raise SteadError("no_node", "no node is connected")
        return self._nodes[-1]

    # --- what is typed

    async def obey(self, line: str) -> bool:
        """Does what a line says; False for quit."""
        line, wait = (line.rstrip()[:-1], False) if line.rstrip().endswith("&") else (line, True)
        word, _, rest = line.strip().partition(" ")
        if word in {"quit", "exit"}:
            return False
        if word:
            work = self._do(word, rest.strip())
            if wait:
                await work
            else:
                self._group.start_soon(lambda: work)
        return True

    async def _do(self, word: str, rest: str) -> None:
        verb: Callable[[str], Coroutine[Any, Any, None]] | None = getattr(self, f"_do_{word}", None)
        try:
            if verb is None:
                raise SteadError("invalid", f"no command {word!r}; try help")
            await verb(rest)
        except SteadError as error:
            self.say(f"! {error.code}: {error.message}")
        except (ValueError, IndexError, KeyError) as error:
            self.say(f"! cannot read that: {error}; try help")

    async def _do_help(self, rest: str) -> None:
        self.say(HELP)

    async def _do_wait(self, rest: str) -> None:
        if rest:
            await anyio.sleep(float(rest))
        else:
            await self._joined.wait()

    async def _do_nodes(self, rest: str) -> None:
        for node in self._nodes:
            self.say(f"  {node.name}{' (spoken to)' if node is self._nodes[-1] else ''}")

    async def _do_node(self, rest: str) -> None:
        found = [node for node in self._nodes if node.name.startswith(rest)]
        if len(found) != 1:
            raise SteadError("not_found", f"{len(found)} nodes are called so")
        self._nodes.remove(found[0])
        self._nodes.append(found[0])

    async def _do_start(self, rest: str) -> None:
        await self._command("start", rest)

    async def _do_stop(self, rest: str) -> None:
        await self._command("stop", rest)

    async def _do_restart(self, rest: str) -> None:
        await self._command("restart", rest)

    async def _do_delete(self, rest: str) -> None:
        await self._command("delete", rest)

    async def _command(self, kind: Any, rest: str) -> None:
        name, *options = shlex.split(rest)
        spec = self._spec(name, dict(option.split("=", 1) for option in options), new=kind in {"start", "restart"})
        sequence = self._sequences[name] = self._sequences.get(name, 0) + 1
        message = Command(
            request_id="",
            command_id=new_id(ids.Kind.COMMAND),
            workspace_id=spec.workspace_id,
            sequence=sequence,
            kind=kind,
            spec=spec,
            deadline=time.time() + 300,
        )
        await self.node.peer.request(message)

    def _spec(self, name: str, options: dict[str, str], *, new: bool) -> WorkspaceSpec:
        """The workspace of that name; a new generation of it for every start."""
        spec = self._workspaces.get(name)
        if spec is None:
            found = name if name.startswith("ws_") else new_id(ids.Kind.WORKSPACE)
            spec = WorkspaceSpec(workspace_id=found, name=name, generation=0, driver="process")
        fields = {**msgspec.to_builtins(spec), **options, "generation": spec.generation + new}
        self._workspaces[name] = msgspec.convert(fields, WorkspaceSpec, strict=False)
        return self._workspaces[name]

    def _workspace_id(self, name: str) -> str:
        return self._workspaces[name].workspace_id if name in self._workspaces else name

    async def _do_call(self, rest: str) -> None:
        name, method, *params = rest.split(None, 2)
        raw = msgspec.Raw((params or ["{}"])[0].encode())
        msgspec.json.decode(raw)
        call = Call(request_id="", workspace_id=self._workspace_id(name), method=method, params=raw)
        result = await self.node.peer.request(call, call.timeout)
        self.say(json.dumps(result, indent=1, ensure_ascii=False))

    async def _do_exec(self, rest: str) -> None:
        name, *argv = shlex.split(rest)
        if not argv:
            raise ValueError("nothing to run")
        _, stream = await self._open(name, "exec", {"argv": argv})
        await stream.end()
        await self._listen(stream)

    async def _do_open(self, rest: str) -> None:
        name, kind, *params = rest.split(None, 2)
        short, stream = await self._open(name, kind, json.loads((params or ["{}"])[0]))
        self.say(f"* {short} is {stream.id}")
        self._group.start_soon(self._listen, stream)

    async def _open(self, name: str, kind: str, params: object) -> tuple[str, Stream]:
        stream = await self.node.ends.open(self._workspace_id(name), kind, params, timeout=30)
        short = f"st{next(self._numbers)}"
        self._streams[short] = stream
        return short, stream

    async def _listen(self, stream: Stream) -> None:
        """Takes what arrives (the frames are shown already) and says how it ended."""
        try:
            while await stream.receive() is not None:
                continue
            self.say(f"* {stream.id} ended: {json.dumps(stream.result, ensure_ascii=False)}")
        except SteadError as error:
            self.say(f"* {stream.id} was reset: {error.code}: {error.message}")

    async def _do_send(self, rest: str) -> None:
        short, _, text = rest.partition(" ")
        await self._streams[short].send((text + "\n").encode())

    async def _do_end(self, rest: str) -> None:
        await self._streams[rest].end()

    async def _do_reset(self, rest: str) -> None:
        await self._streams[rest].reset(SteadError("cancelled", "reset by hand"))

    async def _do_drain(self, rest: str) -> None:
        await self.node.peer.send(Drain(draining={"on": True, "off": False}[rest]))

    async def _do_goaway(self, rest: str) -> None:
        await self.node.peer.goaway("asked by hand", float(rest or 0))

    async def _do_close(self, rest: str) -> None:
        await self.node.peer.close("closed by hand")

    async def _do_raw(self, rest: str) -> None:
        await self.node.connection.send(rest)

    async def _do_frame(self, rest: str) -> None:
        await self.node.connection.send(bytes.fromhex(rest))

    # --- HTTP

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """The two addresses a node knows."""
        if scope["type"] == "websocket":
            connection = await websocket.accept(receive, send)
            self.say(f"* a connection to {scope['path']}")
            await Node(self, Shown(connection, self.say)).run()
            return
        body = b""
        more = True
        while more and len(body) < MESSAGE_BYTES:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        status = 404
        answer: dict[str, object] = {"error": {"code": "not_found", "message": "not here"}, "request_id": ""}
        if (scope["method"], scope["path"]) == ("POST", "/api/v1/nodes/enrol"):
            status, answer = self.enrol(body)
        elif scope["path"] == "/api/v1/version":
            status, answer = 200, {"version": __version__, "protocol": PROTOCOL}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def new_id(kind: ids.Kind) -> str:
    """A fresh id."""
    return ids.make(kind, time.time(), os.urandom(ids.ENTROPY_BYTES))


async def run(host: str, port: int, lines: AsyncIterable[str], out: Callable[[str], None]) -> None:
    """Serves and obeys until `quit` or the end of the lines; the first line said names the address."""
    listener = socket.create_server((host, port), backlog=128)
    async with anyio.create_task_group() as group:
        mock = MockControl(out, group)
        server = uvicorn.Server(_config(mock))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listener])
        group.start_soon(server.main_loop)
        out(f"* listening on http://{host}:{listener.getsockname()[1]}; type help")
        try:
            async for line in lines:
                if not await mock.obey(line):
                    break
        finally:
            server.should_exit = server.force_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await server.shutdown(sockets=[listener])
            group.cancel_scope.cancel()


def _config(mock: MockControl) -> uvicorn.Config:
    return uvicorn.Config(
        mock.serve,
        interface="asgi3",
        lifespan="off",
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_max_size=MESSAGE_BYTES,
    )


async def _typed() -> AsyncIterator[str]:
    """Lines of standard input."""
    while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        yield line


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_json(text: str) -> None:
    """A line of JSON: when, the mark that the line begins with, the rest."""
    mark, _, rest = text.partition(" ") if text[:1] in "*!<>" else ("", "", text)
    _print(json.dumps({"at": time.time(), "mark": mark, "text": rest}, ensure_ascii=False))


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="stead mock-control", description="A control plane to drive by typing.", epilog=HELP
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7399)
    parser.add_argument("--json", action="store_true", help="say everything as lines of JSON: at, mark, text")
    options = parser.parse_args(arguments[1:] if arguments[:1] == ["--"] else arguments)
    try:
        anyio.run(run, options.host, options.port, _typed(), _print_json if options.json else _print)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # the thread that reads the terminal cannot be waited for
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
