"""The TypeScript client against a server in Python, over a real WebSocket that is cut again and again."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, ClientHello, EventNotice, Message, Request, StreamOpen, Watch, Welcome
from stead.transport import websocket
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

WEB = Path(__file__).parents[3] / "web"
VITEST = WEB / "node_modules" / ".bin" / "vitest"

pytestmark = [pytest.mark.anyio, pytest.mark.needs_engine("node")]


class Server:
    """Control plane, node and guest in one."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.ends = StreamEnds()
        self.links = 0
        self.opened = 0

    async def attend(self, connection: websocket.WebSocket, path: str, headers: Mapping[str, str]) -> None:
        self.links += 1
        await Peer(connection, self, name="browser").run()

    async def request(self, peer: Peer, message: Request) -> Any:
        match message:
            case StreamOpen():
                return self._open(peer, message)
            case Watch():
                await peer.send(EventNotice(cursor=f"c{self.links}", at=0.0, kind="k", subject=f"link {self.links}"))
                return None
            case Call(method="cut"):
                await peer.close("cut by the test")
                return None
            case Call(method="refuse"):
                raise SteadError("refused", "not here", why="test")
            case Call():
                return message.params
        return await self.ends.request(peer, message)

    def _open(self, peer: Peer, message: StreamOpen) -> Any:
        stream = self.ends.accept(message.stream_id, message.workspace_id, message.kind, peer)
        if stream.fresh:
            self.opened += 1
            self.group.start_soon(self._echo if message.kind == "echo" else self._reset, stream)
        return {"kind": message.kind}

    async def _echo(self, stream: Stream) -> None:
        count = 0
        while (data := await stream.receive()) is not None:
            count += len(data)
            await stream.send(data)
        await stream.end({"bytes": count})

    async def _reset(self, stream: Stream) -> None:
        await stream.reset(SteadError("refused", "no more"))

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, ClientHello):
            assert message.client == "live-test"
            await peer.send(Welcome(protocol=message.protocol, boot_id="b", server_version="test"))
        else:
            await self.ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.detach(peer)


async def test_the_client_in_typescript_loses_nothing_over_a_link_that_is_cut() -> None:
    if not VITEST.exists():
        pytest.skip("the web app's packages are not installed; `make setup` installs them")
    async with anyio.create_task_group() as group:
        server = Server(group)
        async with websocket.serve(server.attend, "127.0.0.1", 0) as port:
            environment = os.environ | {
                "STEAD_LIVE_URL": f"ws://127.0.0.1:{port}/api/v1/link",
                "NODE_OPTIONS": "--experimental-websocket",
            }
            argv = [str(VITEST), "run", "src/protocol/live.test.ts"]
            with anyio.fail_after(100):
                done = await anyio.run_process(
                    argv, cwd=WEB, env=environment, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
                )
        group.cancel_scope.cancel()
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    assert b"1 passed" in done.stdout
    assert server.opened == 2
    assert server.links == 5
