"""The process driver with real processes, with and without bubblewrap, crashed at every step."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from stead.drivers.contract import Sight
from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from stead.drivers.process.leftovers import leftovers
from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceSpec
from support.deadline import eventually
from unit.drivers.holder import HOLDER

pytestmark = pytest.mark.anyio

KINDS = [
    pytest.param("none", id="plain"),
    pytest.param("namespaces", id="bwrap", marks=pytest.mark.needs_engine("bwrap")),
]


class CrashError(Exception):
    """Stands for the node's end at a step."""


class CrashAt:
    def __init__(self, point: str) -> None:
        self.point = point

    async def at(self, point: str, subject: str) -> None:
        if point == self.point:
            raise CrashError(point)


async def quiet(step: str, detail: str) -> None:
    return


def spec(generation: int = 1, **more: Any) -> WorkspaceSpec:
    workspace_id = more.pop("workspace_id", None) or ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10))
    return WorkspaceSpec(workspace_id=workspace_id, name="box", generation=generation, driver="process", **more)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ProcessDriver]:
    driver = ProcessDriver(ProcessSettings(state=tmp_path, hidden=(tmp_path,), holder=HOLDER))
    yield driver
    for found in await driver.find():
        await driver.delete(found.handle)
    await driver.close()


async def hear(driver: ProcessDriver, handle: Any) -> dict[str, Any]:
    channel = await driver.channel(handle)
    text = b""
    while piece := await channel.read(65536):
        text += piece
    await channel.close()
    return dict(json.loads(text))


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_workspace_lives_stops_starts_and_goes(driver: ProcessDriver, isolation: str) -> None:
    steps: list[str] = []

    async def note(step: str, detail: str) -> None:
        steps.append(step)

    wanted = spec(isolation=isolation)
    handle = await driver.start(wanted, "cm_1", note)
    assert steps == ["prepare", "launch", "guest"]
    status = await driver.status(handle)
    assert (status.sight, status.isolation, status.generation, status.command_id, status.guest_restarts) == (
        Sight.RUNNING,
        isolation,
        1,
        "cm_1",
        2,
    )
    assert await driver.start(wanted, "cm_1", quiet) == handle
    place = driver._layout.place(wanted.workspace_id)
    (place.home / "kept").write_text("yes")
    await driver.stop(handle, 10)
    await driver.stop(handle, 10)
    assert (await driver.status(handle)).sight is Sight.STOPPED
    with pytest.raises(SteadError) as caught:
        await driver.channel(handle)
    assert caught.value.code == "workspace_unreachable"
    again = await driver.start(spec(2, workspace_id=wanted.workspace_id, isolation=isolation), "cm_2", quiet)
    assert (place.home / "kept").read_text() == "yes"
    assert (await driver.status(again)).generation == 2
    await driver.delete(again)
    await driver.delete(again)
    assert (await driver.status(again)).sight is Sight.ABSENT
    assert await driver.find() == []
    assert leftovers(wanted.workspace_id, place.config) == []


@pytest.mark.needs_engine("bwrap")
async def test_a_sandbox_shows_its_own_host_processes_and_directories_only(
    driver: ProcessDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_NODE", "x")
    other = await driver.start(spec(isolation="namespaces"), "cm_0", quiet)
    wanted = spec(isolation="namespaces")
    handle = await driver.start(wanted, "cm_1", quiet)
    seen = await hear(driver, handle)
    assert seen["pid"] == 1
    assert seen["host"] == "box"
    assert seen["seen"] == [wanted.workspace_id]
    assert other.workspace_id not in seen["seen"]
    assert "SECRET_OF_THE_NODE" not in seen["environ"]
    assert seen["environ"]["STEAD_WORKSPACE_ID"] == wanted.workspace_id
    assert set(seen["tried"].values()) == {"refused"}, seen["tried"]
    assert seen["capabilities"] == 0
    assert seen["shadow"] == ""
    assert seen["kernel"] == []
    assert set(seen["run"]) <= {"systemd", "resolvconf", "NetworkManager"}


@pytest.mark.parametrize("isolation", ["container", "vm", "nonsense"])
async def test_isolation_that_cannot_be_given_is_refused_before_anything_is_made(
    driver: ProcessDriver, isolation: str
) -> None:
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(isolation=isolation), "cm_1", quiet)
    assert caught.value.code == "isolation_unavailable"
    assert await driver.find() == []


async def test_without_bubblewrap_the_answer_is_plain_or_a_refusal(tmp_path: Path) -> None:
    driver = ProcessDriver(ProcessSettings(state=tmp_path, holder=HOLDER, sandboxed=False))
    assert driver.facts().isolation == ["none"]
    handle = await driver.start(spec(), "cm_1", quiet)
    assert (await driver.status(handle)).isolation == "none"
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(isolation="namespaces"), "cm_1", quiet)
    assert caught.value.code == "isolation_unavailable"
    await driver.delete(handle)
    await driver.close()


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_new_node_finds_what_the_old_one_left(driver: ProcessDriver, tmp_path: Path, isolation: str) -> None:
    handle = await driver.start(spec(isolation=isolation), "cm_1", quiet)
    other = ProcessDriver(ProcessSettings(state=tmp_path, hidden=(tmp_path,), holder=HOLDER))
    found = await other.find()
    assert [(f.workspace_id, f.generation, f.handle) for f in found] == [(handle.workspace_id, 1, handle)]
    assert (await other.status(handle)).sight is Sight.RUNNING
    await other.stop(handle, 10)
    assert (await other.status(handle)).sight is Sight.STOPPED
    await other.close()


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_dead_holder_is_seen_and_repaired(driver: ProcessDriver, isolation: str) -> None:
    wanted = spec(isolation=isolation, environment={"CHILD": "1"})
    handle = await driver.start(wanted, "cm_1", quiet)
    config = driver._layout.place(wanted.workspace_id).config
    before = {identity.pid for identity in leftovers(wanted.workspace_id, config)}
    assert len(before) >= 2
    os.kill(int(handle.data["pid"]), signal.SIGKILL)
    with anyio.fail_after(30):
        while (await driver.status(handle)).sight is not Sight.BROKEN:
            await anyio.sleep(0.01)
    again = await driver.start(wanted, "cm_1", quiet)
    assert again != handle
    assert (await driver.status(again)).sight is Sight.RUNNING
    assert before.isdisjoint(identity.pid for identity in leftovers(wanted.workspace_id, config))


async def test_a_reused_pid_is_not_taken_for_the_holder(driver: ProcessDriver) -> None:
    handle = await driver.start(spec(isolation="none"), "cm_1", quiet)
    await driver.stop(handle, 10)
    place = driver._layout.place(handle.workspace_id)
    meta = place.load()
    assert meta is not None
    impostor = {"pid": os.getpid(), "started": "1", "boot": handle.data["boot"]}
    raw = json.loads((place.directory / "meta.json").read_bytes()) | {"phase": "up", "holder": impostor}
    (place.directory / "meta.json").write_text(json.dumps(raw))
    assert (await driver.status(handle)).sight is Sight.BROKEN
    await driver.stop(handle, 1)
    assert (await driver.status(handle)).sight is Sight.STOPPED


async def test_a_holder_that_dies_at_once_is_an_error_with_its_last_words(driver: ProcessDriver) -> None:
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(environment={"DIE": "1"}), "cm_1", quiet)
    assert caught.value.code == "driver_failed"
    assert "told to die" in caught.value.message
    assert caught.value.retry


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_stubborn_holder_is_killed_after_its_grace(driver: ProcessDriver, isolation: str) -> None:
    handle = await driver.start(spec(isolation=isolation, environment={"STUBBORN": "1", "CHILD": "1"}), "cm_1", quiet)
    await driver.stop(handle, 0.2)
    assert (await driver.status(handle)).sight is Sight.STOPPED
    assert leftovers(handle.workspace_id, driver._layout.place(handle.workspace_id).config) == []


START = ["cleared", "prepared", "launched", "recorded"]


@pytest.mark.parametrize("isolation", KINDS)
@pytest.mark.parametrize("point", START)
@pytest.mark.parametrize("then", ["start", "delete"])
async def test_a_crash_in_start_is_finished_by_the_next_verb(
    tmp_path: Path, isolation: str, point: str, then: str
) -> None:
    settings = ProcessSettings(state=tmp_path, hidden=(tmp_path,), holder=HOLDER)
    wanted = spec(isolation=isolation)
    crashed = ProcessDriver(settings, CrashAt(f"driver.start.{point}"))
    with pytest.raises(CrashError):
        await crashed.start(wanted, "cm_1", quiet)
    await crashed.close()
    driver = ProcessDriver(settings)
    if then == "start":
        handle = await driver.start(wanted, "cm_1", quiet)
        assert (await driver.status(handle)).sight is Sight.RUNNING
        assert await _holders(wanted.workspace_id, driver) == 1
    for found in await driver.find():
        await driver.delete(found.handle)
    assert await driver.find() == []
    assert await _holders(wanted.workspace_id, driver) == 0
    await driver.close()


@pytest.mark.parametrize(
    "verb, point",
    [
        ("stop", "driver.end.signalled"),
        ("stop", "driver.stop.recorded"),
        ("delete", "driver.delete.marked"),
        ("delete", "driver.end.signalled"),
        ("delete", "driver.delete.ended"),
        ("delete", "driver.delete.removed"),
    ],
)
async def test_a_crash_in_stop_and_delete_is_finished_by_repeating(tmp_path: Path, verb: str, point: str) -> None:
    settings = ProcessSettings(state=tmp_path, hidden=(tmp_path,), holder=HOLDER)
    first = ProcessDriver(settings)
    handle = await first.start(spec(), "cm_1", quiet)
    crashed = ProcessDriver(settings, CrashAt(point))
    with pytest.raises(CrashError):
        await (crashed.stop(handle, 5) if verb == "stop" else crashed.delete(handle))
    driver = ProcessDriver(settings)
    await (driver.stop(handle, 5) if verb == "stop" else driver.delete(handle))
    assert (await driver.status(handle)).sight is (Sight.STOPPED if verb == "stop" else Sight.ABSENT)
    await driver.delete(handle)
    assert await driver.find() == []
    assert await _holders(handle.workspace_id, driver) == 0
    for used in (first, crashed, driver):
        await used.close()


async def test_hostile_files_and_links_do_not_stop_a_delete(driver: ProcessDriver, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    handle = await driver.start(spec(isolation="none"), "cm_1", quiet)
    home = driver._layout.place(handle.workspace_id).home
    (home / "link").symlink_to(outside)
    locked = home / "locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0)
    descriptor = os.open(home, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=descriptor)
        below = os.open("deep", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    await driver.delete(handle)
    assert (outside / "precious").exists()
    assert await driver.find() == []


async def test_a_hostile_run_directory_harms_nobody_but_its_workspace(driver: ProcessDriver, tmp_path: Path) -> None:
    wanted = spec(isolation="none")
    other = await driver.start(spec(isolation="none"), "cm_0", quiet)
    handle = await driver.start(wanted, "cm_1", quiet)
    run, foreign = (driver._layout.place(name).run for name in (wanted.workspace_id, other.workspace_id))
    (run / "guest.sock").unlink()
    (run / "guest.sock").symlink_to(foreign / "guest.sock")
    with pytest.raises(SteadError) as caught:
        await driver.channel(handle)
    assert caught.value.code == "workspace_unreachable"
    (run / "holder.json").unlink()
    os.mkfifo(run / "holder.json")
    with anyio.fail_after(30):
        assert (await driver.status(handle)).guest_restarts == 0
    await driver.stop(handle, 5)
    (run / "config.json").unlink()
    (run / "config.json").mkdir()
    os.mkfifo(run / "config.json.new")
    with anyio.fail_after(30):
        again = await driver.start(wanted, "cm_2", quiet)
    assert (await driver.status(again)).guest_restarts == 2


async def test_the_channel_works_where_a_socket_path_would_be_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    driver = ProcessDriver(ProcessSettings(state=deep, holder=HOLDER))
    handle = await driver.start(spec(), "cm_1", quiet)
    assert (await hear(driver, handle))["pid"]
    await driver.delete(handle)
    await driver.close()


async def test_what_the_system_refuses_is_an_error_of_the_table(driver: ProcessDriver, tmp_path: Path) -> None:
    wanted = spec()
    (tmp_path / "workspaces" / wanted.workspace_id).write_text("in the way")
    with pytest.raises(SteadError) as caught:
        await driver.start(wanted, "cm_1", quiet)
    assert caught.value.code == "driver_failed"
    assert await driver.find() == []


async def test_paths_that_are_not_ids_are_refused(driver: ProcessDriver) -> None:
    with pytest.raises(SteadError) as caught:
        await driver.start(spec(workspace_id="ws_../../etc"), "cm_1", quiet)
    assert caught.value.code == "invalid"


async def _holders(workspace_id: str, driver: ProcessDriver) -> int:
    """Pythons that run as holders of this workspace."""
    config = driver._layout.place(workspace_id).config

    def living() -> list[str]:
        names = []
        for identity in leftovers(workspace_id, config):
            try:
                names.append(psutil.Process(identity.pid).name())
            except psutil.Error:
                continue
        return [name for name in names if name.startswith("python")]

    eventually(lambda: len(living()) <= 1, "at most one holder")
    return len(living())
