"""The bridge to a real qemu-ga that is silent, lost and comes back: what is asked again, what stays unknown, and its circuit.

Between them is what QEMU puts there, so that the agent goes on whatever becomes of a client.
"""

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.qemu import QemuGuest, Session
from stead.transport.breaker import FAILURES, Breaker
from support.agents import Agent, Port
from support.deadline import PATIENCE, eventually_async

pytestmark = [pytest.mark.anyio, pytest.mark.needs_engine("qemu-ga")]

NEVER = 1000.0
"""The rest of a circuit that stays open until a test says otherwise."""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """One for each test: it ends by itself when it answers somebody who is gone."""
    with Agent(tmp_path) as found:
        yield found


@asynccontextmanager
async def _session(agent: Agent, place: Path) -> AsyncIterator[tuple[Session, Port]]:
    path = place / "port.sock"
    try:
        with anyio.fail_after(PATIENCE * 2):
            async with Port(agent, path) as port, Session(path, breaker=Breaker(rest=NEVER)) as session:
                await session.ask("guest-ping")
                yield session, port
    finally:
        agent.go_on()


class Asked:
    """One request under way, and what became of it."""

    def __init__(self, session: Session, command: str, arguments: dict[str, Any] | None = None) -> None:
        self._given = session, command, arguments
        self.answer: Any = None
        self.error: SteadError | None = None

    async def run(self) -> None:
        session, command, arguments = self._given
        try:
            self.answer = await session.ask(command, arguments)
        except SteadError as error:
            self.error = error


async def _cut_while(agent: Agent, port: Port, asked: Asked) -> None:
    """The request has left when the client's connection is cut, and qemu-ga does it when it goes on."""
    agent.stop()
    before = port.given
    async with anyio.create_task_group() as group:
        group.start_soon(asked.run)
        await eventually_async(lambda: port.given > before, "the request has left")
        left = port.left
        port.cut()
        await eventually_async(lambda: port.left > left, "the port is free")
        agent.go_on()


async def test_a_question_is_asked_again_when_the_channel_was_cut(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, port):
        asked = Asked(session, "guest-get-host-name")
        await _cut_while(agent, port, asked)
        assert asked.error is None, asked.error
        assert asked.answer["host-name"]
        assert (port.accepted, session.breaker.state) == (2, "closed")


async def test_an_order_is_given_once_and_its_outcome_is_unknown(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, port):
        done = tmp_path / "done"
        asked = Asked(session, "guest-exec", {"path": "/bin/sh", "arg": ["-c", f"echo done >>{done}"]})
        await _cut_while(agent, port, asked)
        assert asked.error is not None
        assert asked.error.code == "outcome_unknown"
        assert "guest-exec" in asked.error.message
        await session.ask("guest-ping")
        assert port.accepted == 2
        await eventually_async(lambda: done.exists() and done.read_text(), "it was done all the same")
        assert done.read_text() == "done\n"


async def test_nobody_there_is_no_unknown_outcome(tmp_path: Path) -> None:
    async with Session(tmp_path / "nothing.sock") as session:
        with pytest.raises(SteadError) as caught:
            await session.ask("guest-exec", {"path": "/bin/true"})
        assert caught.value.code == "workspace_unreachable"


async def test_an_order_that_was_not_sent_yet_is_tried_again(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, port):
        port.refusing = True
        port.cut()
        with pytest.raises(SteadError) as caught:
            await session.ask("guest-exec", {"path": "/bin/true"})
        assert caught.value.code == "outcome_unknown", "it went into a channel that looked whole"
        before = port.accepted
        order = {"path": "/bin/sh", "arg": ["-c", f"echo done >>{tmp_path}/done"]}
        asked = Asked(session, "guest-exec", order)
        async with anyio.create_task_group() as group:
            group.start_soon(asked.run)
            await eventually_async(lambda: port.accepted >= before + 2, "it was tried twice", every=0.001)
            port.refusing = False
        assert asked.error is None, asked.error
        await eventually_async((tmp_path / "done").exists, "it was done")


@pytest.mark.parametrize(("command", "code"), [("guest-info", "timeout"), ("guest-exec", "outcome_unknown")])
async def test_silence(agent: Agent, tmp_path: Path, command: str, code: str) -> None:
    async with _session(agent, tmp_path) as (session, _):
        agent.stop()
        with pytest.raises(SteadError) as caught:
            await session.ask(command, {"path": "/bin/true"} if command == "guest-exec" else None, seconds=0.2)
        assert caught.value.code == code
        with pytest.raises(SteadError) as caught:
            await session.ask("guest-exec", {"path": "/bin/true"}, seconds=0.2)
        assert caught.value.code == "timeout", "the two were not in step again: no order was given"
        agent.go_on()
        assert await session.ask("guest-ping") == {}, "no late answer is taken for this one"


async def test_a_file_is_read_again_from_its_beginning(agent: Agent, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "large").write_bytes(content)
    async with _session(agent, tmp_path) as (session, port):
        found: list[bytes] = []

        async def read() -> None:
            found.append(await QemuGuest(session).read(str(tmp_path / "large")))

        before = port.passed
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await eventually_async(lambda: port.passed > before + 1_000_000, "an answer is on its way", every=0.0)
            port.cut()
        assert found == [content]
        assert port.accepted == 2


async def test_an_answer_with_an_error_is_no_failure(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        for _ in range(FAILURES * 2):
            with pytest.raises(SteadError) as caught:
                await session.ask("guest-no-such-thing")
            assert caught.value.code == "method_not_found"
        assert session.breaker.state == "closed"


async def _fails(session: Session, words: str, seconds: float = PATIENCE) -> None:
    with pytest.raises(SteadError, match=words):
        await session.ask("guest-ping", seconds=seconds)


async def test_five_failures_open_the_circuit_and_a_probe_closes_it(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, port):
        port.refusing = True
        port.cut()
        with anyio.fail_after(PATIENCE):
            while session.breaker.state == "closed":
                await _fails(session, "gone|connect|closed")
        asked = port.accepted
        await _fails(session, "is left alone")
        assert port.accepted == asked, "it is left alone indeed"
        session.breaker._rest = 0.0
        await _fails(session, "gone|connect|closed")
        assert session.breaker.state == "open", "a probe that failed opens it again"
        port.refusing = False
        assert await session.ask("guest-ping") == {}
        assert session.breaker.state == "closed"


async def test_silence_opens_it_too(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        agent.stop()
        for _ in range(FAILURES):
            await _fails(session, "in time", seconds=0.05)
        await _fails(session, "is left alone")


async def test_one_probe_at_a_time(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        agent.stop()
        for _ in range(FAILURES):
            await _fails(session, "in time", seconds=0.05)
        session.breaker._rest = 0.0
        probe = Asked(session, "guest-ping")
        async with anyio.create_task_group() as group:
            group.start_soon(probe.run)
            await eventually_async(lambda: session.breaker.state == "half-open", "the probe is under way")
            await _fails(session, "being tried now")
            agent.go_on()
        assert (probe.answer, session.breaker.state) == ({}, "closed")


async def test_a_caller_that_goes_away_leaves_a_channel_in_step(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        agent.stop()
        with anyio.move_on_after(0.2):
            await session.ask("guest-info")
        agent.go_on()
        order = {"path": "/bin/echo", "arg": ["here"], "capture-output": True}
        pid = (await session.ask("guest-exec", order))["pid"]
        while not (status := await session.ask("guest-exec-status", {"pid": pid}))["exited"]:
            await anyio.sleep(0.01)
        assert base64.b64decode(status["out-data"]) == b"here\n"
        assert session.breaker.state == "closed"


async def test_what_a_command_prints_comes_however_long_the_line(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, port):
        done = await QemuGuest(session).exec("/bin/sh", ["-c", "head -c 8000000 /dev/zero | tr '\\0' x; echo end >&2"])
        assert (len(done.stdout), done.stderr, done.truncated) == (8_000_000, "end\n", False)
        assert port.accepted == 1


async def test_a_write_that_only_closing_could_tell_of_is_not_taken_for_done(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        with pytest.raises(SteadError) as caught:
            await QemuGuest(session).write("/dev/full", b"little")
        assert caught.value.code == "disk_full"


async def test_the_wait_for_others_is_nothing_that_is_held_against_it(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        agent.stop()
        first = Asked(session, "guest-get-host-name")
        async with anyio.create_task_group() as group:
            group.start_soon(first.run)
            await anyio.wait_all_tasks_blocked()
            for _ in range(FAILURES * 2):
                await _fails(session, "it was not asked", seconds=0.01)
            agent.go_on()
        assert first.error is None, first.error
        assert session.breaker.state == "closed"


async def test_a_command_that_nobody_waits_for_any_more_is_ended(agent: Agent, tmp_path: Path) -> None:
    async with _session(agent, tmp_path) as (session, _):
        async with anyio.create_task_group() as group:
            group.start_soon(QemuGuest(session).exec, "/bin/sh", ["-c", "echo $$ >pid; exec sleep 600"])
            await eventually_async(lambda: _pid(tmp_path) > 0, "it runs")
            group.cancel_scope.cancel()
        await eventually_async(lambda: not Path(f"/proc/{_pid(tmp_path)}").exists(), "it is gone")


def _pid(place: Path) -> int:
    file = place / "pid"
    return int(file.read_text() or 0) if file.exists() else 0
