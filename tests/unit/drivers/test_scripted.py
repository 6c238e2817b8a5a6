"""The scripted driver misbehaves as it is told, and not otherwise."""

import os
from pathlib import Path

import anyio
import pytest

from stead.drivers.contract import Sight
from stead.drivers.scripted.driver import ScriptedDriver
from stead.drivers.scripted.script import VARIABLE, Script
from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceSpec

pytestmark = pytest.mark.anyio


def spec(**environment: str) -> WorkspaceSpec:
    workspace_id = ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10))
    return WorkspaceSpec(
        workspace_id=workspace_id, name="box", generation=1, driver="scripted", environment=environment
    )


async def quiet(step: str, detail: str) -> None:
    return


async def test_the_first_starts_fail_and_may_be_repeated(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path, Script(fail_first=2))
    wanted = spec()
    for _ in range(2):
        with pytest.raises(SteadError) as caught:
            await driver.start(wanted, "cm_1", quiet)
        assert (caught.value.code, caught.value.retry) == ("driver_failed", True)
    handle = await driver.start(wanted, "cm_1", quiet)
    assert (await driver.status(handle)).sight is Sight.RUNNING
    assert driver.effects["start", "cm_1"] == 1


async def test_after_n_starts_all_are_refused_for_good(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path, Script(fail_after=1))
    await driver.start(spec(), "cm_1", quiet)
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(), "cm_2", quiet)
    assert (caught.value.code, caught.value.retry) == ("refused", False)


async def test_a_workspace_dies_by_the_clock(tmp_path: Path) -> None:
    now = [100.0]
    driver = ScriptedDriver(tmp_path, Script(die_after_seconds=5), clock=lambda: now[0])
    handle = await driver.start(spec(), "cm_1", quiet)
    assert (await driver.status(handle)).sight is Sight.RUNNING
    now[0] += 6
    assert (await driver.status(handle)).sight is Sight.BROKEN
    with pytest.raises(SteadError):
        await driver.channel(handle)


async def test_never_ready_can_be_given_up(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path)
    wanted = spec(**{VARIABLE: '{"never_ready": true}'})
    with anyio.move_on_after(0.05) as scope:
        await driver.start(wanted, "cm_1", quiet)
    assert scope.cancelled_caught
    (found,) = await driver.find()
    await driver.delete(found.handle)
    assert await driver.find() == []


async def test_a_script_with_a_mistake_is_invalid(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path)
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(**{VARIABLE: '{"nonsense": 1}'}), "cm_1", quiet)
    assert caught.value.code == "invalid"


async def test_failures_at_random_have_one_effect_when_repeated(tmp_path: Path) -> None:
    driver = ScriptedDriver(tmp_path, Script(fail_rate=0.4, seed=7))
    for number in range(50):
        wanted = spec()
        codes = [await attempt(driver, wanted, f"cm_{number}")]
        while codes[-1] is not None:
            codes.append(await attempt(driver, wanted, f"cm_{number}"))
        assert set(codes) <= {None, "driver_failed"}
        assert driver.effects["start", f"cm_{number}"] == 1


async def attempt(driver: ScriptedDriver, wanted: WorkspaceSpec, command_id: str) -> str | None:
    try:
        await driver.start(wanted, command_id, quiet)
    except SteadError as error:
        return error.code
    return None
