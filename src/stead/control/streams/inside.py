"""What HTTP routes do inside a workspace: the server is a client of its own, over a client link in memory.

Contract: `call` and `open` authorise the caller, then ask over the one link; results come back decoded to the type that is
asked for. `run()` keeps the link up until cancelled. So there is one way into a workspace, whoever asks.
"""

from __future__ import annotations

from typing import Any, TypeVar

import anyio
import msgspec

from stead.control.people.caller import SYSTEM, Caller
from stead.control.people.identity import Known
from stead.control.streams.access import Access
from stead.control.streams.clientlink import ClientLinks
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, ClientHello, Message, Request
from stead.protocol.methods import CALLS, STREAMS, repeatable
from stead.protocol.version import PROTOCOL
from stead.transport import memory
from stead.transport.attempts import CLIENT_GRACE, Deadline, once
from stead.transport.peer import Limits as PeerLimits
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

T = TypeVar("T")

CALL_SECONDS = 60.0


class Inside:
    """The server's own client."""

    def __init__(self, access: Access, links: ClientLinks, boot_id: str) -> None:
        self._access = access
        self._links = links
        self._boot_id = boot_id
        self._ends = StreamEnds()
        self._peer: Peer | None = None

    async def call(
        self,
        caller: Caller,
        ref: str,
        method: str,
        params: Any,
        answer: type[T],
        timeout: float = CALL_SECONDS,
    ) -> T:
        """One call, for this caller."""
        deadline = Deadline(timeout)
        place = await self._access.find(caller, ref, CALLS[method])
        message = Call(
            request_id="",
            workspace_id=place.workspace_id,
            method=method,
            params=msgspec.Raw(msgspec.json.encode(params)),
        )
        raw = await once(message, self._link(), deadline, grace=CLIENT_GRACE, repeat=repeatable(method))
        try:
            return msgspec.json.decode(raw, type=answer)
        except msgspec.DecodeError as error:
            raise SteadError("internal", f"{method} was answered with something else: {error}") from error

    async def open(self, caller: Caller, ref: str, kind: str, params: Any, *, half_open: bool = False) -> Stream:
        """One stream, for this caller."""
        place = await self._access.find(caller, ref, STREAMS[kind])
        return await self._ends.open(place.workspace_id, kind, params, half_open=half_open)

    async def run(self) -> None:
        """The link, and another when it ends."""
        while True:
            here, there = memory.pair()
            peer = Peer(
                here, _Ends(self._ends), name="the control plane itself", limits=PeerLimits(requests_out=1 << 16)
            )
            async with anyio.create_task_group() as group:
                group.start_soon(self._serve, there)
                group.start_soon(peer.run)
                await peer.send(ClientHello(protocol=PROTOCOL, client="control", boot_id=self._boot_id))
                self._ends.attach(peer)
                self._peer = peer
                await peer.closed.wait()
                self._peer = None
                self._ends.detach(peer)
                group.cancel_scope.cancel()

    async def _serve(self, there: Any) -> None:
        await self._links.serve(there, Known(SYSTEM, None), trusted=True)

    def _link(self) -> Peer:
        if self._peer is None:
            raise SteadError("unavailable", "the server is starting or stopping")
        return self._peer


class _Ends:
    """Hands what arrives to the ends of streams."""

    def __init__(self, ends: StreamEnds) -> None:
        self._ends = ends

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self._ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        await self._ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self._ends.detach(peer)
