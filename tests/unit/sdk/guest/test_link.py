"""The framed link to a real guest that is silent, lost and comes back: what is asked again, what stays unknown, its circuit."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.link import GuestLink
from stead.testing.proxy import FaultProxy
from stead.toolbox.contract import Exec
from stead.transport.breaker import FAILURES, Breaker
from support.deadline import PATIENCE, eventually_async
from support.guests import GuestProcess

pytestmark = pytest.mark.anyio

NEVER = 1000.0
"""The rest of a circuit that stays open until a test says otherwise."""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    with GuestProcess(tmp_path_factory.mktemp("guest")) as found:
        yield found


class Silence:
    """A guest that does nothing for a while; what is sent to it waits for it."""

    def __init__(self, guest: GuestProcess) -> None:
        self._pid = guest.state()["guest_pid"]

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *raised: object) -> None:
        os.kill(self._pid, signal.SIGCONT)


@asynccontextmanager
async def _linked(guest: GuestProcess, place: Path) -> AsyncIterator[tuple[GuestLink, FaultProxy]]:
    path = place / "cut.sock"
    with anyio.fail_after(PATIENCE * 2):
        async with (
            FaultProxy(guest.run / "guest.sock", path=path) as proxy,
            GuestLink(path, breaker=Breaker(rest=NEVER)) as link,
        ):
            await link.toolbox.stat(".")
            yield link, proxy


async def _lose(link: GuestLink, proxy: FaultProxy) -> None:
    """The link is cut, and both sides know."""
    peer = await link.connected()
    proxy.cut()
    await peer.closed.wait()


async def test_what_changes_something_and_was_not_answered_is_unknown(guest: GuestProcess, tmp_path: Path) -> None:
    (guest.root / "once").write_text("")
    async with _linked(guest, tmp_path) as (link, proxy):
        told: list[str] = []

        async def append() -> None:
            with pytest.raises(SteadError) as caught:
                await link.toolbox.append("once", b"x")
            told.append(f"{caught.value.code}: {caught.value.message}")

        with Silence(guest):
            async with anyio.create_task_group() as group:
                group.start_soon(append)
                await anyio.wait_all_tasks_blocked()
                proxy.cut()
        assert told
        assert told[0].startswith("outcome_unknown")
        assert "files.append" in told[0]
        await link.toolbox.stat("once")
        assert (guest.root / "once").read_text() in {"", "x"}, "it was not asked for twice"


async def test_what_only_reads_is_asked_again(guest: GuestProcess, tmp_path: Path) -> None:
    (guest.root / "read").write_text("content")
    async with _linked(guest, tmp_path) as (link, proxy):
        found: list[bytes] = []

        async def read() -> None:
            found.append((await link.toolbox.read("read")).content)

        async with anyio.create_task_group() as group:
            with Silence(guest):
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                proxy.cut()
                await eventually_async(lambda: proxy.accepted > 1, "it comes again")
        assert found == [b"content"]


async def test_an_exec_under_an_id_is_one_exec_however_often_the_link_is_lost(
    guest: GuestProcess, tmp_path: Path
) -> None:
    async with _linked(guest, tmp_path) as (link, proxy):
        line = "echo began >>began; until test -e go; do sleep 0.02; done; echo done"
        running = await link.toolbox.start(Exec(argv=[line], shell=True))
        for _ in range(2):
            await _lose(link, proxy)
            await link.toolbox.stat(".")
        (guest.root / "go").write_text("")
        assert b"".join([piece.data async for piece in running.output()]) == b"done\n"
        assert (guest.root / "began").read_text() == "began\n"


async def test_five_losses_open_the_circuit_and_calls_fail_at_once(guest: GuestProcess, tmp_path: Path) -> None:
    async with _linked(guest, tmp_path) as (link, proxy):
        for _ in range(FAILURES - 1):
            await _lose(link, proxy)
            await link.toolbox.stat(".")
        assert link.breaker.state == "closed"
        await _lose(link, proxy)
        await eventually_async(lambda: link.breaker.state == "open", "the last one is counted")
        asked = proxy.accepted
        for _ in range(3):
            with pytest.raises(SteadError) as caught:
                await link.toolbox.stat(".")
            assert caught.value.code == "workspace_unreachable"
            assert caught.value.details["retry_after"] > NEVER / 2
            assert "5 times" in caught.value.message
        with pytest.raises(SteadError, match="left alone"):
            await link.toolbox.start(Exec(argv=["true"]))
        assert proxy.accepted == asked, "the guest is left alone"


async def test_an_absence_opens_it_and_one_probe_decides(guest: GuestProcess, tmp_path: Path) -> None:
    path = tmp_path / "cut.sock"
    with anyio.fail_after(PATIENCE * 3):
        async with (
            FaultProxy(guest.run / "guest.sock", path=path) as proxy,
            GuestLink(path, breaker=Breaker(rest=0.2), absence=0.001) as link,
        ):
            proxy.refusing = True
            await _lose(link, proxy)
            await eventually_async(lambda: link.breaker.state == "open", "each try in vain was counted")
            tried = proxy.accepted
            await eventually_async(lambda: proxy.accepted > tried + 1, "probes are refused, and more come")
            proxy.stall()
            proxy.refusing = False
            await eventually_async(
                lambda: proxy.connections == 1 and link.breaker.state == "half-open", "a probe is under way"
            )
            tried = proxy.accepted
            found: list[str] = []

            async def call() -> None:
                found.append((await link.toolbox.stat(".")).kind)

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                assert (found, link.breaker.state, proxy.accepted) == ([], "half-open", tried), "one probe at a time"
                proxy.go_on()
            assert (found, link.breaker.state) == (["directory"], "closed")


async def test_a_guest_that_was_never_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SteadError, match="left alone") as caught, anyio.fail_after(PATIENCE * 2):
        async with GuestLink(tmp_path / "nothing.sock", breaker=Breaker(rest=NEVER), absence=0.001):
            raise AssertionError("nobody is there")
    assert caught.value.code == "workspace_unreachable"
