"""The control plane to drive by typing, against a node written with nothing but HTTP, WebSocket and JSON."""

import base64
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stead.protocol.frames import Frame, FrameKind
from stead.testing.mockcontrol import show_frame, show_text
from stead.transport import websocket
from support.deadline import eventually_async
from unit.testing.console import Console, mocked

pytestmark = pytest.mark.anyio


class RawNode:
    """A node of few words."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.commands: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.frames: list[Frame] = []

    async def say(self, **fields: Any) -> None:
        await self.connection.send(json.dumps(fields))

    async def hear(self) -> dict[str, Any]:
        message = await self.connection.receive()
        assert isinstance(message, str)
        return dict(json.loads(message))

    async def hello(self, key: Ed25519PrivateKey, node_id: str, protocol: str = "1.0") -> dict[str, Any]:
        challenge = await self.hear()
        assert challenge["type"] == "link.challenge"
        signed = key.sign(f"stead-node-hello:{challenge['nonce']}:{node_id}".encode())
        await self.say(
            type="node.hello",
            node_id=node_id,
            signature=base64.b64encode(signed).decode(),
            protocol=protocol,
            boot_id="b",
            epoch=1,
            version="0",
            facts={"hostname": "h", "os": "linux", "arch": "x"},
            drivers=[],
        )
        return await self.hear()

    async def serve(self) -> None:
        """Answers commands, calls and streams."""
        while (message := await self.connection.receive()) is not None:
            if isinstance(message, bytes):
                await self._frame(Frame.decode(message))
            else:
                await self._text(json.loads(message))

    async def _text(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "command.deliver":
                self.commands.append(message)
                await self.say(type="ack", request_id=message["request_id"], ok=True)
                await self.say(
                    type="command.result", request_id="1", command_id=message["command_id"], outcome="completed"
                )
            case "call":
                await self.say(type="ack", request_id=message["request_id"], ok=True, result={"saw": message["params"]})
            case "stream.open":
                await self.say(type="ack", request_id=message["request_id"], ok=True)
                name = message["stream_id"]
                await self.connection.send(Frame(FrameKind.DATA, name, 0, b"output").encode())
                await self.connection.send(Frame(FrameKind.END, name, 6, b'{"exit_code":0}').encode())
            case _:
                self.notices.append(message)

    async def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)


async def enrol(address: str, key: Ed25519PrivateKey) -> str:
    body = {"token": "any", "name": "n", "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode()}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{address}/api/v1/nodes/enrol", json=body)
    assert answer.status_code == 201
    return str(answer.json()["node_id"])


Test = Callable[[Console, RawNode], Awaitable[None]]


async def with_node(test: Test) -> Console:
    key = Ed25519PrivateKey.generate()
    async with mocked() as (console, address):
        node_id = await enrol(address, key)
        node = RawNode(await websocket.connect(f"ws://{address}/api/v1/nodes/connect", proxy=None))
        assert (await node.hello(key, node_id))["type"] == "link.welcome"
        async with anyio.create_task_group() as group:
            group.start_soon(node.serve)
            await console.type("wait")
            await test(console, node)
            await node.connection.close()
    return console


async def test_a_node_enrols_says_hello_and_gets_commands() -> None:
    async def test(console: Console, node: RawNode) -> None:
        await console.sees("its signature is right")
        for line in ("start mine driver=scripted", "stop mine", "restart mine", "delete mine"):
            await console.type(line)
        await eventually_async(lambda: len(node.commands) == 4, "all commands arrived")
        kinds = [(c["kind"], c["sequence"], c["spec"]["generation"], c["spec"]["driver"]) for c in node.commands]
        assert kinds == [("start", 1, 1, "scripted"), ("stop", 2, 1, "scripted"), ("restart", 3, 2, "scripted"),
                         ("delete", 4, 2, "scripted")]  # fmt: skip
        assert len({c["workspace_id"] for c in node.commands}) == 1
        await console.sees("< command.result")
        await console.sees("> command.deliver")

    await with_node(test)


async def test_calls_streams_and_frames_are_shown() -> None:
    async def test(console: Console, node: RawNode) -> None:
        await console.type('call ws_1 files.stat {"path": "a"}')
        await console.sees('"path": "a"')
        await console.type("exec ws_1 echo hi")
        await console.sees("frame DATA")
        await console.sees('ended: {"exit_code": 0}')
        await eventually_async(lambda: any(f.kind == FrameKind.END for f in node.frames), "the stream was ended")

    await with_node(test)


async def test_drains_goaways_and_raw_words_reach_the_node() -> None:
    async def test(console: Console, node: RawNode) -> None:
        for line in ("drain on", "goaway 3", 'raw {"type":"made.up"}', "frame 7f0173000000000000002a"):
            await console.type(line)
        await eventually_async(lambda: len(node.notices) == 3 and node.frames, "all arrived")
        kinds = [notice["type"] for notice in node.notices]
        assert kinds == ["node.drain", "link.goaway", "made.up"]
        assert (node.notices[0]["draining"], node.notices[1]["retry_after"]) == (True, 3.0)
        assert (node.frames[0].kind, node.frames[0].seq) == (0x7F, 42)
        await console.type("close")
        await console.sees("left: closed by hand")

    await with_node(test)


async def test_streams_are_driven_by_their_names() -> None:
    async def test(console: Console, node: RawNode) -> None:
        await console.type('open ws_1 file.read {"path": "x"}')
        await console.sees("* st1 is st_")
        await console.type("reset st1")
        await console.type("nodes")
        await console.sees("(spoken to)")
        await console.type("node nd_")

    await with_node(test)


async def test_what_cannot_be_is_said_and_nothing_ends() -> None:
    async with mocked() as (console, address):
        for line in ("dance", "start x", "call", "drain maybe", "node z", "frame zz", "", "help"):
            await console.type(line)
        await console.sees("no command 'dance'")
        await console.sees("! no_node")
        await console.sees("A line that ends with &")
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.post(f"http://{address}/api/v1/nodes/enrol", json={"no": 1})).status_code == 400
            assert (await client.get(f"http://{address}/api/v1/version")).json()["protocol"] == "1.0"
            assert (await client.get(f"http://{address}/other")).status_code == 404


async def test_wrong_signatures_are_told_and_wrong_versions_refused() -> None:
    key = Ed25519PrivateKey.generate()
    async with mocked() as (console, address):
        node_id = await enrol(address, key)
        for name, protocol, answer in (
            (node_id, "1.0", "link.welcome"), ("nd_unknown", "1.0", "link.welcome"), (node_id, "2.0", "link.refused"),
        ):  # fmt: skip
            node = RawNode(await websocket.connect(f"ws://{address}/api/v1/nodes/connect", proxy=None))
            signer = Ed25519PrivateKey.generate() if protocol == "1.0" else key
            assert (await node.hello(signer, name, protocol))["type"] == answer
            await node.connection.close()
        await console.sees("its signature is WRONG")
        await console.sees("its key is not known here")


def test_the_program_runs_a_script_and_ends() -> None:
    argv = [sys.executable, "-m", "stead.testing.mockcontrol", "--", "--port", "0"]
    done = subprocess.run(argv, input="help\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "listening on http://127.0.0.1:" in done.stdout


def test_what_is_shown_is_short_and_survives_anything() -> None:
    assert show_text('{"type":"x","a":"é"}') == 'x {"a": "é"}'
    assert show_text("[]").startswith("unreadable")
    assert len(show_text(json.dumps({"type": "x", "a": "y" * 10_000}))) < 1000
    assert "malformed" in show_frame(b"\x00")
    assert "consumed=5" in show_frame(Frame(FrameKind.CREDIT, "s", 9, (5).to_bytes(8, "big")).encode())
    assert "kind 0x7f" in show_frame(Frame(0x7F, "s", 9, b"\xff").encode())
