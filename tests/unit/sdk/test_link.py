"""The client link and the remote toolbox, over real sockets that are cut."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.link import ClientLink
from stead.sdk.remote import RemoteToolbox, new_exec_id
from stead.toolbox.contract import Exec, ExecState
from support.deadline import eventually_async
from unit.sdk.control import Control, running

WORKSPACE = "ws_00000000000000000000000001"

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def linked(control: Control, *, patience: float = 30.0) -> AsyncIterator[ClientLink]:
    link = ClientLink(f"http://127.0.0.1:{control.port}", "stead_x", patience=patience)
    async with anyio.create_task_group() as tasks:
        link.use(tasks)
        yield link
        await link.close()
        tasks.cancel_scope.cancel()


async def test_nothing_is_connected_before_it_is_needed() -> None:
    async with running() as control, linked(control):
        await anyio.wait_all_tasks_blocked()
        assert control.peers == []


async def test_exec_is_one_call_and_the_credential_is_a_header() -> None:
    async with running() as control, linked(control) as link:
        result = await RemoteToolbox(link, WORKSPACE).exec(["true"])
        assert (result.status.state, result.stdout) == (ExecState.EXITED, b"hi\n")
        assert [call.method for call in control.calls] == ["exec.run"]
        assert control.headers["authorization"] == "Bearer stead_x"


async def test_an_exec_under_a_lost_link_is_asked_again_with_the_same_id() -> None:
    async with running() as control, linked(control) as link:
        control.cut_calls = 2
        await RemoteToolbox(link, WORKSPACE).exec(["true"])
        ids = {msgspec.json.decode(call.params)["exec_id"] for call in control.calls}
        assert (len(control.calls), len(ids)) == (3, 1)


async def test_what_might_happen_twice_is_not_repeated() -> None:
    async with running() as control, linked(control) as link:
        control.cut_calls = 1
        with pytest.raises(SteadError) as caught:
            await RemoteToolbox(link, WORKSPACE).append("log", b"x")
        assert caught.value.code == "outcome_unknown"
        assert len(control.calls) == 1


async def test_unknown_options_of_an_exec_are_refused_here() -> None:
    async with running() as control, linked(control) as link:
        with pytest.raises(SteadError) as caught:
            await RemoteToolbox(link, WORKSPACE).exec(["true"], nonsense=1)
        assert caught.value.code == "invalid"


async def test_what_is_no_unicode_is_refused_here() -> None:
    async with running() as control, linked(control) as link:
        toolbox = RemoteToolbox(link, WORKSPACE)
        for work in (toolbox.stat("\udcff"), toolbox.exec(["\ud800"]), toolbox.start(Exec(argv=["\udcff"]))):
            with pytest.raises(SteadError) as caught:
                await work
            assert caught.value.code == "invalid"
        assert (control.calls, control.opened, len(link.streams)) == ([], [], 0)


async def test_output_goes_on_over_cuts_byte_for_byte() -> None:
    pieces = [bytes([number]) * 3000 for number in range(40)]
    async with running() as control, linked(control) as link:
        control.print(pieces[0])
        running_exec = await RemoteToolbox(link, WORKSPACE).start(Exec(argv=["work"]))
        seen: list[bytes] = []
        async for piece in running_exec.output():
            seen.append(piece.data)
            if len(seen) % 10 == 5:
                await control.cut()
            if len(seen) < len(pieces):
                control.print(pieces[len(seen)], last=len(seen) == len(pieces) - 1)
        assert seen == pieces
        assert (await running_exec.wait()).exit_code == 3
        assert (len(control.opened), len(control.peers)) == (1, 5)


async def test_an_exec_whose_guest_was_replaced_is_attached_where_it_stopped() -> None:
    async with running() as control, linked(control) as link:
        control.print(b"first ")
        running_exec = await RemoteToolbox(link, WORKSPACE).start(Exec(argv=["work"], exec_id=new_exec_id()))
        output = running_exec.output()
        seen = (await anext(output)).data
        await control.forget()
        control.print(b"second", last=True)
        async for piece in output:
            seen += piece.data
        assert seen == b"first second"
        assert [opened.kind for opened in control.opened] == ["exec", "exec.attach"]
        assert (await running_exec.wait()).exit_code == 3


async def test_input_that_does_not_get_there_is_refused() -> None:
    """Of an exec that was attached, and of one whose guest was replaced."""
    async with running() as control, linked(control) as link:
        toolbox = RemoteToolbox(link, WORKSPACE)
        control.print(b"first")
        started = await toolbox.start(Exec(argv=["work"], stdin=True))
        await started.write(b"typed")
        output = started.output()
        await anext(output)
        await control.forget()
        control.print(b"second")
        assert (await anext(output)).data == b"second"
        for running_exec in (started, await toolbox.attach("ex_1")):
            for work in (running_exec.write(b"lost"), running_exec.close_stdin()):
                with pytest.raises(SteadError) as caught:
                    await work
                assert caught.value.code == "conflict"


async def test_events_are_watched_again_after_the_last_one_seen() -> None:
    async with running() as control, linked(control) as link, link.watching() as events:
        await control.event("c1", "ws_1")
        assert (await anext(events)).cursor == "c1"
        await control.cut()
        await eventually_async(lambda: control.watches == ["", "c1"], "the second watch")
        await control.event("c2", "ws_1")
        assert (await anext(events)).cursor == "c2"


async def test_a_watcher_that_has_seen_nothing_goes_on_where_it_began() -> None:
    async with running() as control, linked(control) as link, link.watching():
        await control.cut()
        await eventually_async(lambda: control.watches == ["", "c0"], "the second watch")


async def test_a_refused_caller_is_told_at_once_and_for_good() -> None:
    async with running() as control, linked(control) as link:
        control.refusal = SteadError("unauthenticated", "no such token")
        for _ in range(2):
            with pytest.raises(SteadError) as caught:
                await RemoteToolbox(link, WORKSPACE).exec(["true"])
            assert caught.value.code == "unauthenticated"


async def test_a_watcher_who_is_refused_later_hears_why() -> None:
    async with running() as control, linked(control) as link, link.watching() as events:
        control.refusal = SteadError("unauthenticated", "the token was revoked")
        await control.cut()
        with anyio.fail_after(30), pytest.raises(SteadError) as caught:
            await anext(events)
        assert caught.value.code == "unauthenticated"


async def test_a_control_plane_that_is_not_there_is_unavailable_when_patience_ends() -> None:
    async with running() as control:
        pass
    async with linked(control, patience=0.2) as link:
        with pytest.raises(SteadError) as caught:
            await RemoteToolbox(link, WORKSPACE).exec(["true"])
        assert caught.value.code == "unavailable"
