"""Simulated nodes: `python -m benchmarks.fleet URL` reads `count label` and enrolment tokens from stdin and keeps the nodes
connected until stdin closes. Each proves its key, sends an inventory and heartbeats, and completes commands at once.

It prints `enrolled N` once, and `connected TIME` (monotonic) whenever all are connected. A lost link is opened again after
a random pause.
"""

import asyncio
import base64
import contextlib
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Literal

import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from stead.protocol.messages import (
    Ack,
    AnyMessage,
    Challenge,
    Command,
    CommandResult,
    DriverFacts,
    Facts,
    Health,
    Inventory,
    NodeHello,
    Ping,
    Request,
    Welcome,
    WorkspaceReport,
)
from stead.protocol.version import PROTOCOL

AT_ONCE = 64
STATES: dict[str, Literal["running", "stopped", "absent"]] = {
    "start": "running",
    "restart": "running",
    "stop": "stopped",
    "delete": "absent",
}
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AnyMessage).decode


@dataclass
class Fleet:
    """What the nodes of one process share."""

    url: str
    label: str
    count: int
    connected: int = 0
    opening: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def changed(self, by: int) -> None:
        """A node connected or was lost."""
        self.connected += by
        if self.connected == self.count:
            print(f"connected {time.monotonic()}", flush=True)


@dataclass
class Node:
    """One simulated node."""

    fleet: Fleet
    number: int
    node_id: str = ""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    epoch: int = 0
    done: dict[str, WorkspaceReport] = field(default_factory=dict)

    async def enrol(self, client: httpx2.AsyncClient, token: str) -> None:
        """Spends one enrolment token."""
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        body = {"token": token, "name": f"{self.fleet.label}-{self.number}"}
        body |= {"public_key": base64.b64encode(public).decode()}
        async with self.fleet.opening:
            answer = await client.post("/api/v1/nodes/enrol", json=body)
        answer.raise_for_status()
        self.node_id = answer.json()["node_id"]

    async def live(self) -> None:
        """Connected, again and again."""
        address = self.fleet.url.replace("http", "ws", 1) + "/api/v1/nodes/connect"
        while True:
            try:
                async with self.fleet.opening:
                    link = await connect(address, compression=None, ping_interval=None, max_queue=4, open_timeout=60)
                async with link:
                    await self._talk(link)
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError, EOFError):
                await asyncio.sleep(random.random() * 2)

    async def _talk(self, link: ClientConnection) -> None:
        welcome = False
        self.epoch += 1
        beats: asyncio.Task[None] | None = None
        try:
            async for text in link:
                if isinstance(text, bytes):
                    continue
                message = decode(text)
                if isinstance(message, Welcome):
                    welcome = True
                    self.fleet.changed(+1)
                    beats = asyncio.create_task(self._beat(link, message.heartbeat_seconds))
                for answer in self._answers(message):
                    await link.send(encode(answer).decode())
        finally:
            if beats is not None:
                beats.cancel()
            if welcome:
                self.fleet.changed(-1)

    def _answers(self, message: object) -> list[msgspec.Struct]:
        match message:
            case Challenge(nonce=nonce):
                return [self._hello(nonce)]
            case Welcome():
                reports = list(self.done.values())
                return [Inventory(request_id="i", inventory_id=f"{self.epoch}", page=0, last=True, workspaces=reports)]
            case Ping(request_id=request_id):
                return [Ack(request_id=request_id, ok=True)]
            case Command():
                return [Ack(request_id=message.request_id, ok=True), self._result(message)]
            case Request(request_id=request_id):
                return [Ack(request_id=request_id, ok=True)]
            case _:
                return []

    def _hello(self, nonce: str) -> NodeHello:
        signed = self.key.sign(f"stead-node-hello:{nonce}:{self.node_id}".encode())
        return NodeHello(
            node_id=self.node_id,
            signature=base64.b64encode(signed).decode(),
            protocol=PROTOCOL,
            boot_id=f"boot-{self.number}",
            epoch=self.epoch,
            version="0.1.0",
            facts=Facts(hostname=f"sim-{self.number}", os="linux", arch="x86_64", cpus=2, memory_bytes=2**32),
            drivers=[DriverFacts(name="process", isolation=["none"])],
            labels={"fleet": self.fleet.label},
        )

    def _result(self, command: Command) -> CommandResult:
        report = WorkspaceReport(
            workspace_id=command.workspace_id,
            generation=command.spec.generation,
            state=STATES[command.kind],
            driver="process",
            isolation="none",
            last_sequence=command.sequence,
        )
        self.done[command.workspace_id] = report
        return CommandResult(
            request_id=f"r-{command.command_id}-{command.attempt}",
            command_id=command.command_id,
            outcome="completed",
            report=report,
        )

    async def _beat(self, link: ClientConnection, every: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(every * random.uniform(0.5, 1.0))
                health = Health(
                    at=time.time(),
                    cpu_percent=1.0,
                    memory_used_bytes=2**30,
                    memory_total_bytes=2**32,
                    disk_used_bytes=2**30,
                    disk_total_bytes=2**34,
                    uptime_seconds=time.monotonic(),
                    workspaces=len(self.done),
                )
                await link.send(encode(health).decode())


async def main(url: str) -> None:
    """Enrols, connects, and lives until stdin closes."""
    count, label = sys.stdin.readline().split()
    fleet = Fleet(url, label, int(count))
    nodes = [Node(fleet, number) for number in range(fleet.count)]
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=httpx2.Limits(max_connections=AT_ONCE)) as client:
        await asyncio.gather(*(node.enrol(client, sys.stdin.readline().strip()) for node in nodes))
    print(f"enrolled {fleet.count}", flush=True)
    lives = [asyncio.create_task(node.live()) for node in nodes]
    await asyncio.to_thread(sys.stdin.read)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
