"""Who may connect as a node, and what becomes of the links."""

import base64
import tracemalloc

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stead.api.types import KeyRotate, NodeEnrol, NodePatch, NodeTokenCreate
from stead.control.core import Core
from stead.control.nodes.service import NodeFilter
from stead.control.people.caller import SYSTEM, Caller
from stead.control.store import events
from stead.protocol import codec
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.messages import Health, Message, Refused, Request, StreamLost, StreamResume, Welcome
from stead.transport import memory
from stead.transport.peer import Peer
from unit.control.fakenode import FakeNode, enrol

pytestmark = pytest.mark.anyio

MEMBER = Caller(user_id="us_1", name="m", role="member", scopes=frozenset({"*"}), via="token")
HEALTH = Health(
    at=1.0,
    cpu_percent=5.0,
    memory_used_bytes=1,
    memory_total_bytes=2,
    disk_used_bytes=3,
    disk_total_bytes=4,
    uptime_seconds=5.0,
    load1=0.5,
)


async def greeted(core: Core, node: FakeNode, nonce: str | None = None) -> Welcome | Refused:
    """What the control plane answers to this hello."""
    ours, theirs = memory.pair()
    async with anyio.create_task_group() as group:
        group.start_soon(core.links.serve, theirs)
        answer = await node.hello(ours, nonce)
        await ours.close()
        group.cancel_scope.cancel()
    return answer


async def refusal(core: Core, node: FakeNode, nonce: str | None = None) -> str:
    answer = await greeted(core, node, nonce)
    assert isinstance(answer, Refused), answer
    return answer.error.code


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


async def test_a_node_with_its_key_is_welcome(core: Core) -> None:
    assert isinstance(await greeted(core, await enrol(core, "one")), Welcome)


async def test_another_key_an_unknown_node_and_an_old_nonce_are_refused(core: Core) -> None:
    node = await enrol(core, "one")
    assert await refusal(core, FakeNode(node.node_id, "one", Ed25519PrivateKey.generate())) == "unauthenticated"
    assert await refusal(core, FakeNode("nd_" + "0" * 26, "x", node.key)) == "unauthenticated"
    assert await refusal(core, node, nonce="an-old-nonce") == "unauthenticated"


@pytest.mark.parametrize("first", ["{}", "no json", b"\1\0", '{"type":"link.ping","request_id":"1"}', "x" * (3 << 20)])
async def test_what_is_not_a_hello_is_refused(core: Core, first: str | bytes) -> None:
    ours, theirs = memory.pair()
    async with anyio.create_task_group() as group:
        group.start_soon(core.links.serve, theirs)
        await ours.receive()
        await ours.send(first)
        text = await ours.receive()
        assert isinstance(text, str)
        answer = codec.decode(text)
        assert isinstance(answer, Refused)
        assert answer.error.code in ("malformed", "too_large")
        assert await ours.receive() is None


async def test_a_node_that_hangs_up_at_once_does_no_harm(core: Core) -> None:
    ours, theirs = memory.pair()
    await ours.close()
    await core.links.serve(theirs)


async def test_an_older_life_of_a_node_is_refused(core: Core) -> None:
    node = await enrol(core, "one")
    node.epoch = 5
    assert isinstance(await greeted(core, node), Welcome)
    node.epoch = 4
    assert await refusal(core, node) == "conflict"
    node.epoch = 5
    assert isinstance(await greeted(core, node), Welcome)


async def test_a_newer_protocol_of_another_major_is_refused(core: Core) -> None:
    node = await enrol(core, "one")
    node.protocol = "9.0"
    assert await refusal(core, node) == "version_unsupported"
    node.protocol = "1.99"
    assert isinstance(await greeted(core, node), Welcome)


async def test_a_hello_out_of_bounds_is_refused(core: Core) -> None:
    node = await enrol(core, "one")
    node.labels = {'a"b': "c"}
    assert await refusal(core, node) == "invalid"
    node.labels, node.drivers = {}, node.drivers * 40
    assert await refusal(core, node) == "invalid"
    node.drivers = node.drivers[:1]
    for epoch, most in ((2**63, 1), (-1, 1), (1, 2**31), (1, -1)):
        node.epoch, node.max_workspaces = epoch, most
        assert await refusal(core, node) == "invalid"


async def test_a_new_link_takes_the_place_of_the_old_one(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as first:
        async with node.link(core) as second:
            with anyio.fail_after(30):
                await first.closed.wait()
            assert core.registry.is_connected(node.node_id)
            assert not second.closed.is_set()
        assert core.registry.online(node.node_id)


async def test_approval_can_be_asked_for_and_taken_away(core: Core) -> None:
    node = await enrol(core, "one")
    await core.nodes.patch(SYSTEM, "one", NodePatch(approved=False), None)
    assert await refusal(core, node) == "approval_needed"
    assert (await core.nodes.get(MEMBER, "one")).status == "pending"
    await core.nodes.approve(SYSTEM, "one")
    async with node.link(core) as peer:
        assert (await core.nodes.get(MEMBER, "one")).status == "online"
        await core.nodes.patch(SYSTEM, "one", NodePatch(approved=False), None)
        with anyio.fail_after(30):
            await peer.closed.wait()


async def test_health_and_silence(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        await peer.send(HEALTH)
        await node.send_inventory()
        shown = await core.nodes.get(MEMBER, "one")
        assert shown.health is not None
        assert (shown.health.cpu_percent, shown.health.load1, shown.facts and shown.facts.cpus) == (5.0, 0.5, 8)
    assert (await core.nodes.get(MEMBER, "one")).status == "online"
    known = core.registry.get(node.node_id)
    assert known is not None
    known.heard -= 46.0
    assert (await core.nodes.get(MEMBER, "one")).status == "offline"
    await core.watch.look()
    assert core.registry.get(node.node_id) is None
    shown = await core.nodes.get(MEMBER, "one")
    assert shown.health is not None
    assert shown.health.cpu_percent == 5.0
    page = await core.store.read(events.page, SYSTEM, node.node_id, "", 50)
    assert [event.kind for event in page.items] == ["node.enrolled", "node.online", "node.offline"]


async def test_the_silence_before_a_link_was_given_up_counts(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        known = core.registry.get(node.node_id)
        assert known is not None
        peer = known.peer
        assert peer is not None
        before = core.registry._clock()
        await peer.close("nothing was heard for 30 s")
        with anyio.fail_after(30):
            while core.registry.is_connected(node.node_id):
                await anyio.sleep(0.01)
        assert known.heard < before - 20


async def test_after_a_restart_nodes_have_time_to_come_back(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        await core.watch.save()
    restarted = Core(core.store)
    assert not restarted.registry.online(node.node_id)
    await restarted.watch.load()
    assert restarted.registry.online(node.node_id)
    with pytest.raises(SteadError) as caught:
        restarted.registry.link(node.node_id)
    assert caught.value.code == "node_unreachable"


async def test_draining_is_told_now_and_at_the_next_hello(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        await core.nodes.drain(SYSTEM, "one")
        await core.nodes.drain(SYSTEM, "one")
        await _drains(node, True)
        assert (await core.nodes.get(MEMBER, "one")).status == "draining"
    node.draining = None
    async with node.link(core):
        await _drains(node, True)
        await core.nodes.undrain(SYSTEM, "one")
        await _drains(node, False)


async def _drains(node: FakeNode, wanted: bool) -> None:
    with anyio.fail_after(30):
        while node.draining is not wanted:
            await anyio.sleep(0.01)


async def test_what_a_node_does_not_ask_is_refused(core: Core) -> None:
    from stead.protocol.messages import Call

    node = await enrol(core, "one")
    async with node.link(core) as peer:
        with pytest.raises(SteadError) as caught:
            await peer.request(Call(request_id="", workspace_id="w", method="exec.run"))
        assert caught.value.code == "method_not_found"


class Heard:
    """What the relay is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def attached(self, node_id: str, peer: Peer) -> None:
        self.told.append("attached")

    async def detached(self, node_id: str) -> None:
        self.told.append("detached")

    def frame(self, node_id: str, frame: Frame) -> None:
        self.told.append(frame.payload)

    async def notice(self, node_id: str, message: Message) -> None:
        self.told.append(type(message))

    async def request(self, node_id: str, message: Request) -> object:
        return {"received": 7}


async def test_streams_of_a_node_go_to_the_relay(core: Core) -> None:
    node, heard = await enrol(core, "one"), Heard()
    core.links.streams = heard
    async with node.link(core) as peer:
        assert heard.told == ["attached"]
        peer.post(Frame(FrameKind.DATA, "st_1", 0, b"abc"))
        await peer.send(StreamLost(stream_id="st_1"))
        resume = StreamResume(request_id="", stream_id="st_1", workspace_id="w", received=3)
        assert await peer.request(resume) == {"received": 7}
        with anyio.fail_after(30):
            while len(heard.told) < 3:
                await anyio.sleep(0.01)
    assert b"abc" in heard.told
    assert StreamLost in heard.told
    assert heard.told[-1] == "detached"


async def test_an_idle_link_is_small(core: Core) -> None:
    nodes = [await enrol(core, f"n{number}") for number in range(100)]
    async with anyio.create_task_group() as group:
        stop, ready = anyio.Event(), 0

        async def idle(node: FakeNode) -> None:
            nonlocal ready
            async with node.link(core):
                ready += 1
                await stop.wait()

        async def all_ready() -> None:
            with anyio.fail_after(60):
                while ready < len(nodes):
                    await anyio.sleep(0.01)

        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for node in nodes:
            group.start_soon(idle, node)
        await all_ready()
        each = (tracemalloc.get_traced_memory()[0] - before) / len(nodes)
        tracemalloc.stop()
        assert len(core.registry.connected()) == len(nodes)
        stop.set()
    assert each < 2 * 64 * 1024, "both ends of a link together"


# --- the service ---------------------------------------------------------------------------------------------------


async def refused(code: str, asked: object) -> None:
    with pytest.raises(SteadError) as caught:
        await asked  # type: ignore[misc]
    assert caught.value.code == code, caught.value


async def test_a_token_makes_one_node(core: Core) -> None:
    token = await core.nodes.create_token(SYSTEM, NodeTokenCreate(labels={"from": "token"}))
    key = Ed25519PrivateKey.generate()
    body = NodeEnrol(token=token.token, name="one", public_key=public(key), labels={"mine": "yes"})
    first = await core.nodes.enrol(body)
    assert (await core.nodes.enrol(body)).node_id == first.node_id
    stolen = NodeEnrol(token=token.token, name="two", public_key=public(Ed25519PrivateKey.generate()))
    await refused("unauthenticated", core.nodes.enrol(stolen))
    assert (await core.nodes.get(SYSTEM, first.node_id)).labels == {"mine": "yes", "from": "token"}
    second = await core.nodes.create_token(SYSTEM, NodeTokenCreate())
    await core.nodes.enrol(NodeEnrol(token=second.token, name="one", public_key=public(key)))
    assert [node.name for node in (await core.nodes.list(MEMBER, NodeFilter(), 5, "")).items] == ["one", "one-2"]
    labelled = await core.nodes.list(MEMBER, NodeFilter(labels={"from": "token"}, status="offline"), 5, "")
    assert [node.name for node in labelled.items] == ["one"]


async def test_bad_enrolments_are_refused(core: Core) -> None:
    token = (await core.nodes.create_token(SYSTEM, NodeTokenCreate())).token
    key = public(Ed25519PrivateKey.generate())
    await refused("unauthenticated", core.nodes.enrol(NodeEnrol(token="wrong", name="a", public_key=key)))
    await refused("invalid", core.nodes.enrol(NodeEnrol(token=token, name="a", public_key="c2hvcnQ=")))
    await refused("invalid", core.nodes.enrol(NodeEnrol(token=token, name="A b", public_key=key)))
    core.nodes._clock = lambda: 1e12
    await refused("unauthenticated", core.nodes.enrol(NodeEnrol(token=token, name="a", public_key=key)))


async def test_only_administrators_change_nodes(core: Core) -> None:
    await enrol(core, "one")
    for asked in (
        core.nodes.create_token(MEMBER, NodeTokenCreate()),
        core.nodes.approve(MEMBER, "one"),
        core.nodes.drain(MEMBER, "one"),
        core.nodes.undrain(MEMBER, "one"),
        core.nodes.patch(MEMBER, "one", NodePatch(), None),
        core.nodes.remove(MEMBER, "one"),
    ):
        await refused("forbidden", asked)
    await refused("invalid", core.nodes.create_token(SYSTEM, NodeTokenCreate(lifetime_seconds=1)))
    await refused("invalid", core.nodes.patch(SYSTEM, "one", NodePatch(max_workspaces=-1), None))


async def test_two_editors_of_a_node_meet(core: Core) -> None:
    await enrol(core, "one")
    await enrol(core, "two")
    before = await core.nodes.get(SYSTEM, "one")
    after = await core.nodes.patch(SYSTEM, "one", NodePatch(max_workspaces=3, labels={"a": "b"}), before.version_number)
    assert (after.max_workspaces, after.labels) == (3, {"a": "b"})
    await refused("precondition_failed", core.nodes.patch(SYSTEM, "one", NodePatch(name="x"), before.version_number))
    await refused("already_exists", core.nodes.patch(SYSTEM, "one", NodePatch(name="two"), None))
    assert (await core.nodes.get(SYSTEM, before.id[:-1])).name == "one"
    await refused("ambiguous", core.nodes.get(SYSTEM, before.id[:4]))
    await refused("not_found", core.nodes.get(SYSTEM, "none"))


async def test_a_key_is_replaced_only_by_its_owner(core: Core) -> None:
    node = await enrol(core, "one")
    new = Ed25519PrivateKey.generate()

    def signed(key: Ed25519PrivateKey) -> KeyRotate:
        text = f"rotate:{node.node_id}:{public(new)}"
        return KeyRotate(public_key=public(new), signature=base64.b64encode(key.sign(text.encode())).decode())

    await refused("unauthenticated", core.nodes.rotate_key(node.node_id, signed(new)))
    await refused("unauthenticated", core.nodes.rotate_key("nd_" + "0" * 26, signed(node.key)))
    async with node.link(core) as peer:
        await core.nodes.rotate_key(node.node_id, signed(node.key))
        with anyio.fail_after(30):
            await peer.closed.wait()
    assert await refusal(core, node) == "unauthenticated"
    node.key = new
    assert isinstance(await greeted(core, node), Welcome)


async def test_a_node_with_workspaces_is_removed_only_by_force(core: Core) -> None:
    from stead.api.types import WorkspaceCreate
    from unit.control.waiting import until_state

    node = await enrol(core, "one")
    async with node.link(core) as peer:
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "running")
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="v"))
        await refused("conflict", core.nodes.remove(SYSTEM, "one"))
        await core.nodes.remove(SYSTEM, "one", force=True)
        with anyio.fail_after(30):
            await peer.closed.wait()
    assert (await core.workspaces.get(SYSTEM, made.id)).state.value == "deleted"
    await refused("not_found", core.nodes.get(SYSTEM, "one"))
    assert await refusal(core, node) == "unauthenticated"
