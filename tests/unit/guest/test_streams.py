"""The opening of streams at a real guest: how long it may take, and openers that give up in the middle of it."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stead.protocol.errors import SteadError
from support.deadline import PATIENCE, eventually_async
from support.guests import WORKSPACE, Client, GuestProcess

pytestmark = pytest.mark.anyio

DETACH = 0.5


@contextmanager
def _held(guest: GuestProcess) -> Iterator[None]:
    """The holder does nothing, so that no exec begins; it goes on afterwards."""
    pid = guest.state()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _running(client: Client) -> list[str]:
    return [each["exec_id"] for each in (await client.ask("exec.list"))["execs"] if each["state"] == "running"]


@pytest.mark.parametrize(("configured", "asked"), [(0.3, 60.0), (0.0, 0.3), (60.0, 0.3)])
async def test_an_opening_takes_no_longer_than_is_asked_and_configured(
    tmp_path: Path, configured: float, asked: float
) -> None:
    orders = {"together": True, "limits": {"concurrent": 1, "seconds": configured}}
    with GuestProcess(tmp_path, detach_seconds=DETACH, guest=orders) as guest, anyio.fail_after(PATIENCE):
        async with guest.linked() as client:
            with _held(guest), pytest.raises(SteadError) as caught:
                await client.ends.open(WORKSPACE, "exec", {"argv": ["sleep", "600"]}, timeout=asked)
            assert caught.value.code == "timeout"
            assert "opening exec took longer than 0.3 s" in caught.value.message or asked < 1
            assert len(client.ends) == 0
            await eventually_async(lambda: _none(client), "what was begun too late is ended")
            stream = await client.open(WORKSPACE, "exec", {"argv": ["echo", "next"]})
            assert await stream.receive(), "its place is free again"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process cannot be given limits here")
@pytest.mark.parametrize("kind", ["watch", "log.follow", "tree.read", "file.read"])
async def test_a_guest_without_room_for_one_more_open_file_says_so_and_goes_on(tmp_path: Path, kind: str) -> None:
    with GuestProcess(tmp_path) as guest, anyio.fail_after(PATIENCE):
        (guest.root / "f").write_bytes(b"there")
        params = {"watch": {}, "log.follow": {"path": "f"}, "tree.read": {"path": "."}, "file.read": {"path": "f"}}[
            kind
        ]
        async with guest.linked() as client:
            with _full_of_files(guest), pytest.raises(SteadError) as caught:
                await client.ends.open(WORKSPACE, kind, params)
            assert caught.value.code == "too_many"
            assert guest.state()["guest_restarts"] == 0
            stream = await client.open(WORKSPACE, kind, params)
            await stream.reset(SteadError("cancelled", "that was all"))


@contextmanager
def _full_of_files(guest: GuestProcess) -> Iterator[None]:
    """It can open nothing more."""
    pid = guest.state()["guest_pid"]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def _none(client: Client) -> bool:
    return not await _running(client)


async def test_who_gives_an_opening_up_at_once_leaves_nothing(tmp_path: Path) -> None:
    with GuestProcess(tmp_path, detach_seconds=DETACH) as guest, anyio.fail_after(PATIENCE):
        async with guest.linked() as client:
            for checkpoints in range(8):
                async with anyio.create_task_group() as group:
                    group.start_soon(client.open, WORKSPACE, "exec", {"argv": ["sleep", "600"]})
                    for _ in range(checkpoints):
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
            assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0
            await eventually_async(lambda: _none(client), "no exec runs on")
            assert len(client.ends) == 0
