"""Forwards frames of streams from one link to another, with the id swapped and nothing else.

Contract. A program makes one `Relay(peer)` for each of its links. `bind` joins a stream id of this link (the side of the
opener) with an id of a far link; call it before passing on a `stream.open`, and again with every `stream.resume`. The
far link's own relay then forwards in the other direction. A stream that its opener has reset meanwhile is not bound any more;
`abandon` is for one whose opening was not answered. `frame` forwards or drops: where the next link's queue is full,
the stream is marked, the rest of its frames in that direction are dropped too, and the opener hears `stream.lost` once
there is room again. `notice` passes on `stream.lost` and `stream.detached`. `closed` when the link is over: ends of streams
opened through it hear `stream.detached`, openers of streams that ended beyond it hear `stream.lost`.

A relay keeps nothing of a stream but the ids, so it may forget them at any time: the ends resume.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.messages import Message, StreamDetached, StreamLost
from stead.transport.peer import Peer
from stead.transport.streams import GivenUp

STREAMS = 1024
"""The most streams opened through one link at once."""
LINGER = 60.0
"""How long the ids of a stream that ended in both directions, or was abandoned, are kept for what comes late."""


class Bound(NamedTuple):
    """A stream that was bound: for whoever keeps books."""

    near_id: str
    far: Peer
    far_id: str
    workspace_id: str


class Joint:
    """One stream through this program: both ids, and what was dropped. Kept in the `routes` of both peers."""

    def __init__(self, near: Peer, near_id: str, far: Peer, far_id: str, workspace_id: str) -> None:
        self.near = near
        self.near_id = near_id
        self.far = far
        self.far_id = far_id
        self.workspace_id = workspace_id
        self._lost: set[bool] = set()
        self._ended: set[bool] = set()
        self._linger: asyncio.TimerHandle | None = None
        near.routes[near_id] = self
        far.routes[far_id] = self

    def joins(self, near: Peer, far: Peer, far_id: str) -> bool:
        """Whether it is this stream, over the same links."""
        return self.near is near and self.far is far and self.far_id == far_id

    @property
    def over(self) -> bool:
        """Whether both directions have ended, or it was abandoned; the ids are only kept for what comes late."""
        return self._linger is not None

    def resumed(self) -> None:
        """Nothing is dropped any more, until a queue is full again."""
        self._lost.clear()
        if self._linger is not None and len(self._ended) < 2:
            self._linger.cancel()
            self._linger = None

    def forward(self, source: Peer, frame: Frame) -> None:
        """Passes a frame on, outward from the opener or back to it."""
        outward = source is self.near
        target, name = (self.far, self.far_id) if outward else (self.near, self.near_id)
        if outward in self._lost:
            return
        if not target.post(frame.renamed(name)):
            self._lost.add(outward)
            target.when_room(self.tell_lost)
        elif frame.kind == FrameKind.RESET:
            self.unbind()
        elif frame.kind == FrameKind.END:
            self._end(outward)

    def _end(self, outward: bool) -> None:
        self._ended.add(outward)
        if len(self._ended) == 2:
            self.linger()

    def linger(self) -> None:
        """The ids are kept for a while, in which nobody need use them."""
        if self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER, self.unbind)

    def tell_lost(self) -> None:
        """The opener is to resume."""
        self.near.tell(StreamLost(stream_id=self.near_id))

    def tell_detached(self) -> None:
        """The far end is to wait for its opener, or give up in time."""
        self.far.tell(StreamDetached(stream_id=self.far_id, workspace_id=self.workspace_id))

    def unbind(self) -> None:
        """Forgets the ids on both sides."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        for peer, name in ((self.near, self.near_id), (self.far, self.far_id)):
            if peer.routes.get(name) is self:
                del peer.routes[name]


class Relay:
    """The streams of one link."""

    def __init__(self, near: Peer) -> None:
        self._near = near
        self._given_up = GivenUp()

    def __len__(self) -> int:
        """How many streams run over this link."""
        return len(self._near.routes)

    def __bool__(self) -> bool:
        return True

    def bind(self, near_id: str, far_peer: Peer, far_id: str, workspace_id: str = "") -> None:
        """Joins the two ids; again (with a resume) starts to forward again. "too_many" over `STREAMS`, "cancelled" for one that
        its opener gave up."""
        self._given_up.check(near_id)
        joint = self._near.routes.get(near_id)
        if joint is not None and joint.joins(self._near, far_peer, far_id):
            joint.resumed()
            return
        if joint is None and len(self) >= STREAMS and not self._make_room():
            raise SteadError("too_many", f"at most {STREAMS} streams are open through one link")
        for old in (joint, far_peer.routes.get(far_id)):
            if old is not None:
                old.unbind()
        Joint(self._near, near_id, far_peer, far_id, workspace_id)

    def _make_room(self) -> bool:
        """Forgets the oldest stream that has ended; False when all are under way."""
        for joint in self._near.routes.values():
            if joint.over:
                joint.unbind()
                return True
        return False

    def active(self) -> int:
        """How many streams have not ended."""
        return sum(not joint.over for joint in self._near.routes.values())

    def unbind(self, near_id: str) -> None:
        """Forgets the stream; unknown ones are no error."""
        joint = self._near.routes.get(near_id)
        if joint is not None:
            joint.unbind()

    def abandon(self, near_id: str) -> None:
        """Its far end, should it have come to be, waits for the opener or gives up in time; that the opener gave up is still
        passed on."""
        joint = self._near.routes.get(near_id)
        if joint is not None:
            joint.tell_detached()
            joint.linger()

    def streams(self) -> list[Bound]:
        """What is bound now, of streams opened through this link."""
        return [
            Bound(joint.near_id, joint.far, joint.far_id, joint.workspace_id)
            for joint in self._near.routes.values()
            if joint.near is self._near
        ]

    def frame(self, peer: Peer, frame: Frame) -> None:
        """Forwards a frame that came from this peer; frames of unknown streams are dropped."""
        joint = peer.routes.get(frame.stream_id)
        if joint is not None:
            joint.forward(peer, frame)
        else:
            self._given_up.heard(frame)

    def notice(self, peer: Peer, message: Message) -> bool:
        """Passes on what concerns a stream; False for any other message."""
        if not isinstance(message, StreamLost | StreamDetached):
            return False
        joint = peer.routes.get(message.stream_id)
        if joint is not None and isinstance(message, StreamLost) and peer is joint.far:
            joint.tell_lost()
        elif joint is not None and isinstance(message, StreamDetached) and peer is joint.near:
            joint.tell_detached()
        return True

    def closed(self) -> list[Bound]:
        """This link is over: the other ends are told. What was opened through it, for whoever keeps books."""
        opened = self.streams()
        for joint in list(self._near.routes.values()):
            joint.unbind()
            if joint.near is self._near:
                joint.tell_detached()
            else:
                joint.tell_lost()
        return opened
