"""Every driver through the one conformance suite."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from stead.drivers.conformance import CHECKS, Subject, quiet, run_check
from stead.drivers.contract import Driver, Handle
from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from stead.drivers.scripted.driver import ScriptedDriver
from stead.drivers.scripted.script import Script
from stead.model import ids
from stead.protocol.messages import WorkspaceSpec
from support.deadline import PATIENCE
from unit.drivers.holder import HOLDER

pytestmark = pytest.mark.anyio


def specs(driver: str, isolation: str = "") -> Callable[[int], WorkspaceSpec]:
    def new(generation: int) -> WorkspaceSpec:
        workspace_id = ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10))
        return WorkspaceSpec(
            workspace_id=workspace_id, name="box", generation=generation, driver=driver, isolation=isolation
        )

    return new


async def kill_holder(handle: Handle) -> None:
    os.kill(int(handle.data["pid"]), signal.SIGKILL)


def process(state: Path, isolation: str) -> Subject:
    settings = ProcessSettings(state=state, hidden=(state,), holder=HOLDER)
    return Subject(lambda: ProcessDriver(settings), specs("process", isolation), kill=kill_holder)


async def hello(driver: Driver, handle: Handle) -> bytes:
    """What a guest answers to a first JSON-RPC line."""
    channel = await driver.channel(handle)
    try:
        with anyio.fail_after(PATIENCE):
            await channel.write(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}\n')
            answer = b""
            while not answer.endswith(b"\n"):
                piece = await channel.read(65536)
                assert piece, "the channel was closed"
                answer += piece
            return answer
    finally:
        await channel.close()


def scripted(state: Path, script: Script) -> Subject:
    def reopen() -> Driver:
        return ScriptedDriver(state, script)

    return Subject(reopen, specs("scripted"))


@pytest.mark.parametrize("name", CHECKS)
async def test_process_plain(name: str, tmp_path: Path) -> None:
    await run_check(name, process(tmp_path, "none"))


@pytest.mark.needs_engine("bwrap")
@pytest.mark.parametrize("name", CHECKS)
async def test_process_bwrap(name: str, tmp_path: Path) -> None:
    await run_check(name, process(tmp_path, "namespaces"))


@pytest.mark.parametrize("name", CHECKS)
async def test_scripted(name: str, tmp_path: Path) -> None:
    await run_check(name, scripted(tmp_path, Script(start_seconds=0.01, stop_seconds=0.01, jitter=1.0)))


REAL = ["start_makes_a_running_workspace_with_our_label", "what_died_is_broken_and_start_repairs_it"]


@pytest.mark.parametrize("name", REAL)
async def test_process_with_the_real_holder(name: str, tmp_path: Path) -> None:
    settings = ProcessSettings(state=tmp_path, hidden=(tmp_path,))
    await run_check(name, Subject(lambda: ProcessDriver(settings), specs("process"), kill=kill_holder))


async def test_the_guests_of_both_drivers_answer(tmp_path: Path) -> None:
    drivers: list[Driver] = [
        ProcessDriver(ProcessSettings(state=tmp_path, hidden=(tmp_path,))),
        ScriptedDriver(tmp_path),
    ]
    for driver in drivers:
        handle = await driver.start(specs(driver.name)(1), "cm_a", quiet)
        assert b'"result"' in await hello(driver, handle)
        await driver.delete(handle)
        await driver.close()


async def test_a_scripted_channel_is_lost_when_the_script_says_so(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path, Script(lose_channel_after_bytes=5))
    handle = await driver.start(specs("scripted")(1), "cm_a", quiet)
    with pytest.raises(AssertionError, match="the channel was closed"):
        await hello(driver, handle)
    await driver.close()


async def test_a_known_failure_is_named_and_one_that_passes_is_told(tmp_path: Path) -> None:
    subject = scripted(tmp_path, Script(fail_after=1))
    subject.known_failures["stop_twice_is_stopped_and_start_brings_it_back"] = "the script refuses a second start"
    await run_check("stop_twice_is_stopped_and_start_brings_it_back", subject)
    subject.known_failures["delete_twice_leaves_nothing"] = "not really"
    with pytest.raises(AssertionError, match="passes now"):
        await run_check("delete_twice_leaves_nothing", subject)
