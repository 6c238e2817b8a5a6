"""One suite every driver must pass. A test runs `run_check(name, subject)` for every name in `CHECKS`.

Contract: a `Subject` gives a fresh driver over one state directory each time it is asked, as a restarted node would. What a
driver cannot do yet is in `known_failures` by the name of the check, with the reason; a known failure that passes fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from stead.drivers.contract import Driver, Handle, Sight, Status
from stead.model.workspaces import Isolation
from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceSpec

PATIENCE = 60.0


@dataclass
class Subject:
    """What is tested: `reopen` answers a new driver on the same state; `specs` makes specs of new workspaces."""

    reopen: Callable[[], Driver]
    new_spec: Callable[[int], WorkspaceSpec]
    known_failures: dict[str, str] = field(default_factory=dict)
    kill: Callable[[Handle], Awaitable[None]] | None = None
    """Kills what runs of a workspace from outside, where the driver's workspaces can die."""


Check = Callable[[Subject, Driver], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Adds to the suite."""
    CHECKS[function.__name__] = function
    return function


async def run_check(name: str, subject: Subject) -> None:
    """Runs one check; everything it made is deleted afterwards."""
    driver = subject.reopen()
    try:
        with anyio.fail_after(PATIENCE):
            await _judge(name, subject, driver)
    finally:
        with anyio.CancelScope(shield=True):
            for found in await driver.find():
                await driver.delete(found.handle)
            await driver.close()


async def _judge(name: str, subject: Subject, driver: Driver) -> None:
    reason = subject.known_failures.get(name)
    try:
        await CHECKS[name](subject, driver)
    except (AssertionError, SteadError):
        if reason is None:
            raise
        return
    assert reason is None, f"{name} passes now; take it out of the known failures ({reason})"


async def quiet(step: str, detail: str) -> None:
    """A listener to progress that does not care."""
    return


@check
async def facts_are_honest_words(subject: Subject, driver: Driver) -> None:
    facts = driver.facts()
    assert facts.name == driver.name
    assert facts.isolation
    assert {Isolation(word) for word in facts.isolation}


@check
async def start_makes_a_running_workspace_with_our_label(subject: Subject, driver: Driver) -> None:
    spec = subject.new_spec(3)
    steps: list[str] = []

    async def note(step: str, detail: str) -> None:
        steps.append(step)

    handle = await driver.start(spec, "cm_a", note)
    status = await driver.status(handle)
    assert (handle.driver, handle.workspace_id) == (driver.name, spec.workspace_id)
    assert (status.sight, status.generation, status.command_id) == (Sight.RUNNING, 3, "cm_a")
    assert status.isolation in driver.facts().isolation
    assert steps


@check
async def start_again_is_the_same_workspace(subject: Subject, driver: Driver) -> None:
    spec = subject.new_spec(1)
    first = await driver.start(spec, "cm_a", quiet)
    assert await driver.start(spec, "cm_a", quiet) == first
    assert len(await driver.find()) == 1


@check
async def stop_twice_is_stopped_and_start_brings_it_back(subject: Subject, driver: Driver) -> None:
    spec = subject.new_spec(1)
    handle = await driver.start(spec, "cm_a", quiet)
    await driver.stop(handle, 5.0)
    await driver.stop(handle, 5.0)
    assert (await driver.status(handle)).sight is Sight.STOPPED
    assert len(await driver.find()) == 1
    handle = await driver.start(spec, "cm_b", quiet)
    assert (await driver.status(handle)).sight is Sight.RUNNING


@check
async def a_stopped_workspace_has_no_channel(subject: Subject, driver: Driver) -> None:
    handle = await driver.start(subject.new_spec(1), "cm_a", quiet)
    await driver.stop(handle, 5.0)
    await _raises("workspace_unreachable", driver.channel(handle))


@check
async def delete_twice_leaves_nothing(subject: Subject, driver: Driver) -> None:
    handle = await driver.start(subject.new_spec(1), "cm_a", quiet)
    await driver.delete(handle)
    await driver.delete(handle)
    await driver.stop(handle, 1.0)
    assert (await driver.status(handle)).sight is Sight.ABSENT
    assert await driver.find() == []


@check
async def an_unknown_workspace_is_absent(subject: Subject, driver: Driver) -> None:
    handle = Handle(1, driver.name, subject.new_spec(1).workspace_id, {})
    assert (await driver.status(handle)).sight is Sight.ABSENT
    await driver.stop(handle, 1.0)
    await driver.delete(handle)
    await _raises("workspace_unreachable", driver.channel(handle))


@check
async def isolation_that_cannot_be_given_is_refused_before_anything_is_made(subject: Subject, driver: Driver) -> None:
    given = driver.facts().isolation
    missing = [level.value for level in Isolation if level.value not in given]
    spec = subject.new_spec(1)
    spec.isolation = missing[-1]
    await _raises("isolation_unavailable", driver.start(spec, "cm_a", quiet))
    assert await driver.find() == []


@check
async def a_restarted_node_finds_it_by_its_handle(subject: Subject, driver: Driver) -> None:
    handle = await driver.start(subject.new_spec(4), "cm_a", quiet)
    other = subject.reopen()
    assert (await other.status(handle)).sight is Sight.RUNNING
    assert [(f.workspace_id, f.generation, f.handle) for f in await other.find()] == [(handle.workspace_id, 4, handle)]
    await other.stop(handle, 5.0)
    assert (await other.status(handle)).sight is Sight.STOPPED
    await other.close()


@check
async def closing_a_driver_stops_nothing(subject: Subject, driver: Driver) -> None:
    other = subject.reopen()
    handle = await other.start(subject.new_spec(1), "cm_a", quiet)
    await other.close()
    assert (await driver.status(handle)).sight is Sight.RUNNING


@check
async def a_cancelled_start_is_finished_by_the_next(subject: Subject, driver: Driver) -> None:
    spec = subject.new_spec(1)

    async def give_up(step: str, detail: str) -> None:
        scope.cancel()

    with anyio.CancelScope() as scope:
        await driver.start(spec, "cm_a", give_up)
    handle = await driver.start(spec, "cm_a", quiet)
    assert (await driver.status(handle)).sight is Sight.RUNNING
    assert len(await driver.find()) == 1


@check
async def what_died_is_broken_and_start_repairs_it(subject: Subject, driver: Driver) -> None:
    if subject.kill is None:
        return
    spec = subject.new_spec(1)
    handle = await driver.start(spec, "cm_a", quiet)
    await subject.kill(handle)
    status = await _until(driver, handle, Sight.BROKEN)
    assert status.generation == 1
    repaired = await driver.start(spec, "cm_b", quiet)
    assert (await driver.status(repaired)).sight is Sight.RUNNING


@check
async def many_at_once_do_not_mix(subject: Subject, driver: Driver) -> None:
    specs = [subject.new_spec(number) for number in range(1, 6)]
    handles: dict[str, Handle] = {}

    async def one(spec: WorkspaceSpec) -> None:
        handles[spec.workspace_id] = await driver.start(spec, f"cm_{spec.generation}", quiet)

    async with anyio.create_task_group() as tasks:
        for spec in specs:
            tasks.start_soon(one, spec)
    for spec in specs:
        status = await driver.status(handles[spec.workspace_id])
        assert (status.sight, status.generation) == (Sight.RUNNING, spec.generation)
    assert {f.workspace_id for f in await driver.find()} == set(handles)


async def _until(driver: Driver, handle: Handle, sight: Sight) -> Status:
    while (status := await driver.status(handle)).sight is not sight:
        await anyio.sleep(0.02)
    return status


async def _raises(code: str, work: Awaitable[object]) -> None:
    assert await _code_of(work) == code


async def _code_of(work: Awaitable[object]) -> str | None:
    try:
        await work
    except SteadError as error:
        return error.code
    return None
