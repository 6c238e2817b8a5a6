"""Every driver through the one conformance suite."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stead.drivers.conformance import CHECKS, Subject, run_check
from stead.drivers.contract import Driver, Handle
from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from stead.drivers.scripted.driver import ScriptedDriver
from stead.drivers.scripted.script import Script
from stead.model import ids
from stead.protocol.messages import WorkspaceSpec
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


async def test_a_known_failure_is_named_and_one_that_passes_is_told(tmp_path: Path) -> None:
    subject = scripted(tmp_path, Script(fail_after=1))
    subject.known_failures["stop_twice_is_stopped_and_start_brings_it_back"] = "the script refuses a second start"
    await run_check("stop_twice_is_stopped_and_start_brings_it_back", subject)
    subject.known_failures["delete_twice_leaves_nothing"] = "not really"
    with pytest.raises(AssertionError, match="passes now"):
        await run_check("delete_twice_leaves_nothing", subject)
