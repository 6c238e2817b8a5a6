"""The client link: calls and streams relayed to the right node, for the right people, and cut when their right ends."""

from pathlib import Path

import anyio
import msgspec
import pytest

from stead.api.types import UserPatch
from stead.control.people.identity import Known
from stead.control.streams.clientlink import who
from stead.protocol.errors import SteadError
from stead.protocol.frames import BULK_BYTES, Frame, FrameKind
from stead.protocol.messages import (
    Call,
    ClientHello,
    EventNotice,
    GoAway,
    Ping,
    Refused,
    StreamOpen,
    StreamResume,
    Watch,
    Welcome,
)
from stead.protocol.version import PROTOCOL
from stead.transport import memory
from stead.transport.peer import Peer
from support.deadline import eventually_async
from unit.control.face import Client, Face, face

pytestmark = pytest.mark.anyio

STREAM = "st_" + "0" * 26


async def code_of(work: object) -> str:
    with pytest.raises(SteadError) as caught:
        await work  # type: ignore[misc]
    return caught.value.code


async def test_a_link_begins_with_hello(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        here, there = memory.pair()
        client = Client()
        async with anyio.create_task_group() as group:
            group.start_soon(it.app.links.serve, there, await it.known(it.secret))
            peer = client.peer = Peer(here, client, name="server")
            group.start_soon(peer.run)
            assert await code_of(client.call("ws_x")) == "malformed"
            await peer.send(ClientHello(protocol=PROTOCOL, client="test", boot_id="b"))
            await eventually_async(lambda: client.heard, "a welcome")
            assert isinstance(client.heard[0], Welcome)
            group.cancel_scope.cancel()


async def test_another_major_version_is_refused(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        here, there = memory.pair()
        client = Client()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(it.app.links.serve, there, await it.known(it.secret))
                peer = Peer(here, client, name="server")
                group.start_soon(peer.run)
                await peer.send(ClientHello(protocol="99.0", client="test", boot_id="b"))
                await peer.closed.wait()
        assert isinstance(client.heard[0], Refused)
        assert client.heard[0].error.code == "version_unsupported"


async def test_a_call_reaches_the_node_and_comes_back_undecoded(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        node.answers["files.read"] = {"anything": [1, 2.5, None], "more": "ü"}
        async with it.link() as client:
            answer = await client.call(box, "files.read", {"path": "x", "unknown": True})
        assert answer == node.answers["files.read"]
        assert msgspec.json.decode(node.calls[-1].params) == {"path": "x", "unknown": True}


async def test_a_name_does_as_well_as_an_id(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace("box")
        async with it.link() as client:
            await client.call("box", "exec.list")
        assert node.calls[-1].workspace_id == box


async def test_what_is_refused(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        async with it.link() as client:
            assert await code_of(client.call(box, "files.nonsense")) == "method_not_found"
            assert await code_of(client.call("nobody")) == "not_found"
            assert await code_of(client.ends.open(box, "nonsense", {})) == "method_not_found"
            open_badly = StreamOpen(request_id="", stream_id="../x", workspace_id=box, kind="exec")
            assert await code_of(client.peer.request(open_badly)) == "invalid"
        async with it.link(await it.member()) as stranger:
            assert await code_of(stranger.call(box)) == "not_found"
            assert await code_of(stranger.ends.open(box, "exec", {})) == "not_found"
        async with it.link(await it.token("workspace:read")) as reader:
            await reader.call(box, "exec.list")
            assert await code_of(reader.call(box, "files.write")) == "forbidden"
            assert await code_of(reader.call(box, "exec.run")) == "forbidden"
            assert await code_of(reader.ends.open(box, "file.write", {})) == "forbidden"
        assert [call.method for call in node.calls] == ["exec.list"]
        assert node.opened == []


async def test_bytes_of_a_stream_go_both_ways(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        content = bytes(range(256)) * 8_000
        got = bytearray()
        async with it.link() as client:
            stream = await client.ends.open(box, "exec", {"argv": ["cat"]})

            async def send() -> None:
                await stream.send(content)
                await stream.end()

            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(send)
                    while (data := await stream.receive()) is not None:
                        got += data
            assert stream.result["state"] == "exited"
        assert bytes(got) == content
        assert node.opened[0].stream_id != stream.id


async def test_a_client_cannot_reach_the_stream_of_another(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        second = await it.admin.post("/users", json={"name": "root2", "role": "admin"})
        other = (await it.app.people.tokens.grant(second.json()["user"]["id"], "t")).secret
        async with it.link() as mine, it.link(other) as theirs:
            opened = StreamOpen(request_id="", stream_id=STREAM, workspace_id=box, kind="exec")
            await mine.peer.request(opened)
            await theirs.peer.request(opened)
        assert len({message.stream_id for message in node.opened}) == 2


@pytest.mark.parametrize("asked,passed", [(1 << 30, BULK_BYTES), (100_000, 100_000), (65_536, 65_536)])
async def test_frames_get_no_larger_than_this_hop_takes(tmp_path: Path, asked: int, passed: int) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        async with it.link() as client:
            opened = StreamOpen(request_id="", stream_id=STREAM, workspace_id=box, kind="exec", frame_bytes=asked)
            await client.peer.request(opened)
        assert [message.frame_bytes for message in node.opened] == [passed]


@pytest.mark.parametrize("asked", [0.5, 20.0])
async def test_a_node_has_the_time_that_is_left_to_open_a_stream(tmp_path: Path, asked: float) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        async with it.link() as client:
            await client.ends.open(box, "exec", {}, timeout=asked)
        assert 0 < node.opened[0].timeout <= asked


async def test_a_narrower_token_cannot_take_a_stream_over(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        narrow = await it.token("workspace:read")
        async with it.link() as client, it.link(narrow) as other:
            stream = await client.ends.open(box, "exec", {})
            resume = StreamResume(request_id="", stream_id=stream.id, workspace_id=box, received=0)
            assert await code_of(other.peer.request(resume)) == "stream_unknown"
            assert await client.peer.request(resume) == {"received": 0}


async def test_a_node_cannot_speak_in_the_stream_of_another(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        first = await it.node("alpha")
        box = await it.workspace()
        second = await it.node("beta")
        async with it.link() as client:
            stream = await client.ends.open(box, "exec", {})
            far = first.opened[0].stream_id
            assert second.peer is not None
            forged = Frame(kind=FrameKind.DATA, stream_id=far, seq=0, payload=b"forged")
            assert second.peer.post(forged)
            await second.peer.request(Ping(request_id=""))
            await stream.send(b"true")
            assert await stream.receive() == b"true"


async def test_the_same_stream_has_the_same_name_after_a_restart(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        opened = StreamOpen(request_id="", stream_id=STREAM, workspace_id=box, kind="exec")
        for _ in range(2):
            async with it.link() as client:
                await client.peer.request(opened)
        assert len({message.stream_id for message in node.opened}) == 1
        await eventually_async(lambda: len(node.detached) == 2, "the node hears of detached streams")
        expected = it.app.links._books.names.next_hop(who(await it.caller(it.secret)), STREAM, box)
        assert set(node.detached) == {expected}


async def test_a_stream_outlives_its_link(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        client = Client()
        got = bytearray()
        content = b"0123456789" * 50_000

        async def linked(until: int) -> None:
            """A link that is lost once this much has come back."""
            here, there = memory.pair()
            async with anyio.create_task_group() as group:
                group.start_soon(it.app.links.serve, there, await it.known(it.secret))
                client.peer = Peer(here, client, name="server")
                group.start_soon(client.peer.run)
                await client.peer.send(ClientHello(protocol=PROTOCOL, client="t", boot_id="b"))
                client.ends.attach(client.peer)
                while len(got) < until:
                    await anyio.sleep(0.001)
                await client.peer.close()
                group.cancel_scope.cancel()
            client.ends.detach()

        async def use() -> None:
            stream = await client.ends.open(box, "exec", {})
            async with anyio.create_task_group() as group:
                group.start_soon(stream.send, content)
                while len(got) < len(content):
                    data = await stream.receive()
                    assert data is not None
                    got.extend(data)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(use)
                for until in (10_000, 200_000, 300_000, len(content)):
                    await linked(until)
        assert bytes(got) == content


async def test_a_lost_node_link_resumes_too(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        async with it.link() as client:
            with anyio.fail_after(60):
                stream = await client.ends.open(box, "exec", {})
                await stream.send(b"before ")
                assert await stream.receive() == b"before "
                assert node.peer is not None
                await node.peer.close()
                await eventually_async(lambda: not it.app.core.registry.connected(), "the node is gone")
                await stream.send(b"after")
                async with node.link(it.app.core):
                    assert await stream.receive() == b"after"


async def test_limits_of_a_link(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"link_calls": 2, "link_streams": 2, "links": 2}) as it:
        node = await it.node()
        box = await it.workspace()
        async with it.link() as client, it.link():
            with pytest.raises(SteadError) as caught:
                it.app.links.check_room(await it.known(it.secret))
            assert caught.value.code == "too_many"
            streams = [await client.ends.open(box, "exec", {}) for _ in range(2)]
            assert await code_of(client.ends.open(box, "exec", {})) == "too_many"
            await streams[0].end()
            assert await streams[0].receive() is None
            await client.ends.open(box, "exec", {})
            node.hold = anyio.Event()
            codes: list[str] = []

            async def call() -> None:
                try:
                    await client.call(box)
                    codes.append("ok")
                except SteadError as error:
                    codes.append(error.code)

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call)
                await eventually_async(lambda: codes, "one call too many is refused")
                node.hold.set()
            assert sorted(codes) == ["ok", "ok", "too_many"]


async def test_too_many_messages_a_second(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"link_messages_per_second": 5}) as it:
        await it.node()
        box = await it.workspace()
        codes: set[str] = set()
        async with it.link() as client, anyio.create_task_group() as group:

            async def call() -> None:
                try:
                    await client.call(box)
                except SteadError as error:
                    codes.add(error.code)

            for _ in range(60):
                group.start_soon(call)
        assert codes == {"rate_limited"}


async def cut_within_a_second(it: Face, secret: str, cut: object) -> None:
    async with it.link(secret) as client:
        await eventually_async(lambda: client.heard, "a welcome")
        start = anyio.current_time()
        await cut  # type: ignore[misc]
        with anyio.fail_after(30):
            await client.peer.closed.wait()
        assert anyio.current_time() - start < 5


async def test_links_end_with_their_right(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        token = await it.token("*")
        revoked = (await it.caller(token)).credential_id
        await cut_within_a_second(it, token, it.app.people.tokens.revoke(admin, revoked))
        mia = await it.member()
        change = it.app.people.users.patch(admin, "mia", UserPatch(disabled=True), None)
        await cut_within_a_second(it, mia, change)
        tom = await it.member("tom")
        await cut_within_a_second(it, tom, it.app.people.users.remove(admin, "tom"))


async def test_a_link_that_opens_while_its_token_is_revoked(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        known = await it.known(await it.token("*"))
        await it.app.people.tokens.revoke(known.caller, known.caller.credential_id)
        here, there = memory.pair()
        with anyio.fail_after(30):
            await it.app.links.serve(there, known)
        assert await here.receive() is None


async def test_a_link_ends_when_its_token_expires(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        known = await it.known(await it.token("*", lifetime=0.3))
        here, there = memory.pair()
        with anyio.fail_after(30):
            await it.app.links.serve(there, Known(known.caller, known.expires))
        assert len(it.app.links) == 1
        assert await here.receive() is None


async def test_events_come_as_they_happen_and_only_ones_own(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        secret = await it.member()
        async with it.link() as admin, it.link(secret) as member:
            for client in (admin, member):
                await client.peer.request(Watch(request_id=""))
            assert await code_of(admin.peer.request(Watch(request_id=""))) == "conflict"
            mine = await it.workspace("mine")
            theirs = await it.workspace("theirs", secret)

            def seen(client: Client) -> set[str]:
                return {note.subject for note in client.heard if isinstance(note, EventNotice)}

            await eventually_async(lambda: {mine, theirs} <= seen(admin), "the admin sees both")
            await eventually_async(lambda: theirs in seen(member), "the member sees their own")
            assert mine not in seen(member)


async def test_events_go_on_after_a_cursor(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        events = (await it.admin.get("/events?limit=500")).json()["items"]
        async with it.link() as client:
            await client.peer.request(Watch(request_id="", after=events[0]["cursor"]))

            def cursors() -> list[str]:
                return [note.cursor for note in client.heard if isinstance(note, EventNotice)]

            await eventually_async(lambda: len(cursors()) >= len(events) - 1, "what was missed")
            assert cursors()[: len(events) - 1] == [event["cursor"] for event in events[1:]]
            assert await code_of(client.peer.request(Call(request_id="", workspace_id=box, method="x"))) != ""
        async with it.link() as client:
            assert await code_of(client.peer.request(Watch(request_id="", after="nonsense"))) == "invalid"


async def test_what_changes_is_in_the_audit_log_and_what_reads_is_not(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        async with it.link() as client:
            for method in ("files.read", "files.write", "exec.run"):
                await client.call(box, method)
            await client.ends.open(box, "exec", {})
            await code_of(client.call("nobody", "files.write"))

        async def actions() -> dict[str, str]:
            page = await it.app.people.audit.page(await it.caller(it.secret), "", "", "", "", 500)
            return {f"{each.action} {each.subject}": each.outcome for each in page.items}

        expected = {
            f"files.write {box}": "ok",
            f"exec.run {box}": "ok",
            f"stream exec {box}": "ok",
            "files.write nobody": "not_found",
        }

        async def written() -> bool:
            return await actions() == expected

        await eventually_async(written, "the entries are written")


async def test_a_server_that_stops_says_goodbye(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.link() as client:
        await eventually_async(lambda: client.heard, "a welcome")
        await it.app.goaway("the server stops", 1.0)
        await eventually_async(lambda: any(isinstance(note, GoAway) for note in client.heard), "a goodbye")


async def test_a_client_that_does_not_read_costs_little_and_delays_nobody(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        here, there = memory.pair()
        async with anyio.create_task_group() as group:
            group.start_soon(it.app.links.serve, there, await it.known(it.secret))
            deaf = Client()
            deaf.peer = Peer(_Deaf(here), deaf, name="server")
            group.start_soon(deaf.peer.run)
            await deaf.peer.send(ClientHello(protocol=PROTOCOL, client="deaf", boot_id="b"))
            for number in range(20):
                stream_id = f"st_{number:026d}"
                deaf.peer.tell(StreamOpen(request_id=str(number), stream_id=stream_id, workspace_id=box, kind="exec"))
            await eventually_async(lambda: len(node.ends) == 20, "the streams are open")
            for stream in list(node.ends._streams.values()):
                group.start_soon(_flood, stream)
            async with it.link() as client:
                with anyio.fail_after(30):
                    for _ in range(50):
                        await client.call(box)
            server = [peer for peer in it.app.links._peers if peer.name == "client admin"]
            assert max(peer.waiting for peer in server) <= 1 << 20
            group.cancel_scope.cancel()


async def _flood(stream: object) -> None:
    try:
        while True:
            await stream.send(b"x" * 65_536)  # type: ignore[attr-defined]
    except SteadError:
        return


class _Deaf:
    """A connection that sends and never reads."""

    def __init__(self, inner: memory.MemoryEnd) -> None:
        self._inner = inner

    async def receive(self) -> str | bytes | None:
        await anyio.sleep_forever()
        return None

    async def send(self, message: str | bytes) -> None:
        await self._inner.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)
