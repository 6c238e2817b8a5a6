"""Holders from the nursery: the same as those that are started, closed to their workspace, and never depended on."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil
import pytest

from stead.drivers.contract import Handle, Sight
from stead.drivers.process import sandbox
from stead.drivers.process.driver import HOLDER, ProcessDriver, ProcessSettings
from stead.drivers.process.leftovers import leftovers
from stead.model import ids
from stead.protocol.messages import WorkspaceSpec
from support.deadline import PATIENCE, eventually, eventually_async

pytestmark = pytest.mark.anyio

BWRAP = pytest.mark.needs_engine("bwrap")
KINDS = [
    pytest.param("none", id="plain"),
    pytest.param("namespaces", id="bwrap", marks=BWRAP),
    pytest.param("users", id="bwrap-users", marks=BWRAP),
]
STARTED = (*HOLDER[:2], "-s", *HOLDER[2:])
"""The same program; a holder that the settings name is never forked."""
Make = Callable[..., ProcessDriver]


async def quiet(step: str, detail: str) -> None:
    return


def spec(isolation: str, **more: Any) -> WorkspaceSpec:
    workspace_id = more.pop("workspace_id", None) or ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10))
    given = "none" if isolation == "none" else "namespaces"
    return WorkspaceSpec(workspace_id=workspace_id, name="box", generation=1, driver="process", isolation=given, **more)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Drivers on one state; with "users" the sandbox has user namespaces, also where root needs none."""
    made: list[ProcessDriver] = []

    def make(isolation: str = "none", **settings: Any) -> ProcessDriver:
        driver = ProcessDriver(ProcessSettings(state=tmp_path, hidden=(tmp_path,), **settings))
        if isolation == "users":
            assert isinstance(driver._sandbox, sandbox.Sandbox)
            driver._sandbox = sandbox.Sandbox(driver._sandbox.program, ("--unshare-user",))
            if reason := sandbox._try(driver._sandbox):
                pytest.skip(f"no user namespaces here: {reason}")
        made.append(driver)
        return driver

    yield make
    for driver in made:
        for found in await driver.find():
            await driver.delete(found.handle)
        await driver.close()


async def run(driver: ProcessDriver, handle: Handle, *argv: str) -> str:
    """What a program in the workspace prints."""
    channel = await driver.channel(handle)
    asked = {"command": argv[0], "args": list(argv[1:])}
    try:
        with anyio.fail_after(PATIENCE):
            line = {"jsonrpc": "2.0", "id": 1, "method": "exec_command", "params": asked}
            await channel.write(json.dumps(line).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                piece = await channel.read(65536)
                assert piece, answer
                answer += piece
    finally:
        await channel.close()
    result = json.loads(answer)["result"]
    assert result["exit_code"] == 0, result
    return str(result["stdout"])


def members(driver: ProcessDriver, handle: Handle) -> dict[str, psutil.Process]:
    """The processes of ours in a workspace by their short names."""
    found = leftovers(handle.workspace_id, driver._layout.place(handle.workspace_id).config)
    return {process.name(): process for process in (psutil.Process(identity.pid) for identity in found)}


def nursery_of(driver: ProcessDriver) -> psutil.Process:
    """The nursery that was asked last."""
    for nursery in driver._nurseries.values():
        nursery._listen()
        if nursery._process is not None:
            return psutil.Process(nursery._process.pid)
    raise AssertionError("no nursery runs")


LOOK = """
import json, os, resource, signal
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
kept = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapAmb",
    "NoNewPrivs", "Seccomp")
names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
points = {line.split()[4] for line in open("/proc/self/mountinfo").read().splitlines()}
environment = {name: value for name, value in os.environ.items() if name != "STEAD_EXEC_ID"}
print(json.dumps({
    "status": {name: status[name] for name in kept},
    "descriptors": sorted(os.listdir("/proc/self/fd"))[:-1],
    "links": [os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in range(3)],
    "environment": environment, "cwd": os.getcwd(), "host": os.uname().nodename,
    "limits": open("/proc/self/limits").read(), "score": open("/proc/self/oom_score_adj").read(),
    "mounts": {point: os.statvfs(point).f_flag for point in sorted(points) if os.path.exists(point)},
    "own": [name for name in names if os.readlink(f"/proc/self/ns/{name}") != OUTSIDE[name]],
    "parent": os.getppid() == 1,
}))
"""


async def look(driver: ProcessDriver, handle: Handle) -> dict[str, Any]:
    outside = {entry.name: str(entry.readlink()) for entry in Path("/proc/self/ns").iterdir()}
    text = await run(driver, handle, sys.executable, "-c", f"OUTSIDE = {outside!r}\n{LOOK}")
    return dict(json.loads(text.replace(handle.workspace_id, "WORKSPACE")))


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_workspace_is_the_same_forked_or_started(make: Make, isolation: str) -> None:
    seen = []
    for holder in (HOLDER, STARTED):
        driver = make(isolation, holder=holder)
        handle = await driver.start(spec(isolation, environment={"GIVEN": "1"}), "cm_1", quiet)
        assert driver.facts().note == make(isolation, holder=STARTED).facts().note
        seen.append(await look(driver, handle))
        seen[-1]["mounts"].pop(str(driver._layout.workspaces), None)
        assert ("bwrap" in members(driver, handle)) == (holder is STARTED and isolation != "none")
    for name in seen[0]:
        assert seen[0][name] == seen[1][name], name
    assert seen[0]["descriptors"] == ["0", "1", "2"]


@pytest.mark.parametrize("isolation", KINDS)
async def test_holder_and_guest_say_what_they_are_and_have_nothing_of_the_machine(make: Make, isolation: str) -> None:
    driver = make(isolation)
    handle = await driver.start(spec(isolation), "cm_1", quiet)
    place = driver._layout.place(handle.workspace_id)
    found = members(driver, handle)
    assert set(found) == {"stead-holder", "stead-guest"}
    assert found["stead-holder"].pid == int(handle.data["pid"])
    assert found["stead-holder"].cmdline() == [*HOLDER, "--config", str(place.config)]
    assert found["stead-guest"].cmdline()[2:5] == ["-m", "stead.guest", "serve"]
    for process in found.values():
        assert os.getsid(process.pid) == process.pid
        if os.geteuid() == 0 or isolation == "none":
            kinds = {str(entry.readlink()).split(":")[0] for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
            assert kinds <= {"/dev/null", str(place.log), "socket", "pipe", "anon_inode", *own(place.directory)}, kinds
    first, second = [await boot(driver, handle), await boot(driver, await driver.start(spec(isolation), "cm_2", quiet))]
    assert first != second


def own(directory: Path) -> set[str]:
    """What a holder and a guest have open of their workspace."""
    return {str(directory / "home"), str(directory / "run"), str(directory / "run" / "execs" / "journal")}


async def boot(driver: ProcessDriver, handle: Handle) -> str:
    channel = await driver.channel(handle)
    with anyio.fail_after(PATIENCE):
        await channel.write(b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n')
        answer = b""
        while b"\n" not in answer:
            answer += await channel.read(65536)
    await channel.close()
    return str(json.loads(answer.partition(b"\n")[0])["result"]["boot_id"])


ATTACK = """
import ctypes, glob, json, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
won = []
def attempt(name, work):
    try:
        got = work()
    except OSError as error:
        return
    if got is not False:
        won.append(f"{name}: {got!r}")
me = os.getpid()
others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != me]
ours = [pid for pid in others if open(f"/proc/{pid}/comm").read().startswith("stead-")]
for pid in ours:
    for name in ("exe", "root", "cwd"):
        attempt(f"{pid} readlink {name}", lambda: os.readlink(f"/proc/{pid}/{name}"))
        attempt(f"{pid} write {name}", lambda: os.open(f"/proc/{pid}/{name}", os.O_WRONLY))
    for number in range(16):
        attempt(f"{pid} readlink fd", lambda: os.readlink(f"/proc/{pid}/fd/{number}"))
        attempt(f"{pid} open fd", lambda: os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY))
    attempt(f"{pid} map_files", lambda: os.listdir(f"/proc/{pid}/map_files"))
    attempt(f"{pid} mem", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
    attempt(f"{pid} environ", lambda: open(f"/proc/{pid}/environ").read())
    attempt(f"{pid} ptrace", lambda: libc.ptrace(16, pid, 0, 0) == 0)
    attempt(f"{pid} ns", lambda: os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY))
print(json.dumps({"ours": sorted(ours), "won": won}))
"""


@BWRAP
@pytest.mark.parametrize("isolation", ["namespaces", "users"])
async def test_programs_of_a_workspace_cannot_look_into_its_holder_and_guest(make: Make, isolation: str) -> None:
    driver = make(isolation)
    handle = await driver.start(spec(isolation), "cm_1", quiet)
    told = json.loads(await run(driver, handle, sys.executable, "-c", ATTACK))
    assert told["ours"][0] == 1
    assert len(told["ours"]) == 2
    assert told["won"] == []


TOUCH = """
import errno, os
found = os.stat("/proc/self/exe")
try:
    os.utime("/proc/self/exe", ns=(found.st_atime_ns, found.st_mtime_ns))
    print("changed", os.readlink("/proc/self/exe"))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@BWRAP
@pytest.mark.parametrize("isolation", ["namespaces", "users"])
async def test_the_holders_program_cannot_be_changed_by_way_of_its_own_name(make: Make, isolation: str) -> None:
    """/proc/self/exe, run by the holder, is the holder's program by the mount of the nursery. (A program that is not hidden and
    not running could be written to this way, by its owner, where that mount is not read-only.)"""
    driver = make(isolation)
    handle = await driver.start(spec(isolation), "cm_1", quiet)
    assert (await run(driver, handle, "/proc/self/exe", "-c", TOUCH)) == "EROFS\n"


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_nursery_that_is_killed_is_replaced_and_its_workspaces_live(make: Make, isolation: str) -> None:
    driver = make(isolation)
    first = await driver.start(spec(isolation), "cm_1", quiet)
    killed = nursery_of(driver)
    killed.kill()
    eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE, "the nursery is gone")
    second = await driver.start(spec(isolation), "cm_2", quiet)
    assert nursery_of(driver).pid != killed.pid
    for handle in (first, second):
        assert set(members(driver, handle)) == {"stead-holder", "stead-guest"}
        assert (await run(driver, handle, "/bin/echo", "here")) == "here\n"


@pytest.mark.parametrize("isolation", KINDS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_nursery_that_dies_or_is_deaf_while_it_is_asked_costs_time_only(
    make: Make, isolation: str, number: signal.Signals
) -> None:
    driver = make(isolation)
    usual = driver._settings
    await driver.start(spec(isolation), "cm_1", quiet)
    if number == signal.SIGSTOP:
        driver._settings = msgspec.structs.replace(usual, fork_seconds=0.5)
    nursery = nursery_of(driver)
    nursery.suspend()
    handles: list[Handle] = []

    async def start() -> None:
        handles.append(await driver.start(spec(isolation), "cm_2", quiet))

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        group.start_soon(start)
        await eventually_async(lambda: waiting(driver) == 2, "both have asked")
        if number == signal.SIGKILL:
            nursery.kill()
    assert [(await driver.status(handle)).sight for handle in handles] == [Sight.RUNNING] * 2
    assert not nursery.is_running() or nursery.status() == psutil.STATUS_ZOMBIE
    driver._settings = usual
    again = await driver.start(spec(isolation), "cm_3", quiet)
    assert set(members(driver, again)) == {"stead-holder", "stead-guest"}
    assert "slowly" not in driver.facts().note


def waiting(driver: ProcessDriver) -> int:
    """Workspaces that are about to be asked for, or have been."""
    places = driver._layout.places()
    return sum(1 for place in places if place.log.exists() and (meta := place.load()) and meta.phase == "launching")


@pytest.mark.parametrize("isolation", KINDS)
async def test_where_no_nursery_starts_holders_do_and_a_person_is_told(make: Make, isolation: str) -> None:
    driver = make(isolation, nursery=("/bin/sh", "-c", "echo broken for a test >&2; exit 3"))
    for _ in range(3):
        handle = await driver.start(spec(isolation), "cm_1", quiet)
        assert (await driver.status(handle)).sight is Sight.RUNNING
        assert (await run(driver, handle, "/bin/echo", "here")) == "here\n"
    assert "broken for a test" in driver.facts().note
    assert "slowly" in driver.facts().note


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_nursery_ends_with_its_node_and_its_workspaces_do_not(make: Make, isolation: str) -> None:
    driver = make(isolation)
    handle = await driver.start(spec(isolation), "cm_1", quiet)
    nursery = nursery_of(driver)
    for each in driver._nurseries.values():
        if each._socket is not None:
            each._socket.close()
            each._socket = None
    eventually(lambda: not nursery.is_running() or nursery.status() == psutil.STATUS_ZOMBIE, "the nursery is gone")
    await driver.close()
    other = make(isolation)
    assert (await other.status(handle)).sight is Sight.RUNNING
    assert await other.start(spec(isolation, workspace_id=handle.workspace_id), "cm_1", quiet) == handle
    assert (await run(other, handle, "/bin/echo", "here")) == "here\n"
    await other.stop(handle, 5)
    assert members(other, handle) == {}


@pytest.mark.parametrize("isolation", KINDS)
async def test_all_of_a_workspace_ends_with_its_holder(make: Make, isolation: str) -> None:
    driver = make(isolation)
    handle = await driver.start(spec(isolation), "cm_1", quiet)
    seconds = f"600.{int.from_bytes(os.urandom(4), 'big')}"
    script = f"setsid sleep {seconds} > /dev/null 2>&1 & env -i setsid sleep {seconds} > /dev/null 2>&1 &"
    await run(driver, handle, "/bin/sh", "-c", script)
    left = eventually(lambda: sleeping(seconds) if len(sleeping(seconds)) == 2 else [], "both sleep")
    os.kill(int(handle.data["pid"]), signal.SIGKILL)
    await eventually_async(lambda: seen_broken(driver, handle), "the holder is gone")
    if isolation != "none":
        eventually(lambda: not sleeping(seconds), "nothing of the sandbox lives")
    await driver.delete(handle)
    assert members(driver, handle) == {}
    for process in left:
        if process.is_running():
            process.kill()


def sleeping(seconds: str) -> list[psutil.Process]:
    """The sleepers of one test."""
    found = psutil.process_iter(["name", "cmdline"])
    return [each for each in found if each.info["name"] == "sleep" and seconds in (each.info["cmdline"] or [])]


async def seen_broken(driver: ProcessDriver, handle: Handle) -> bool:
    return (await driver.status(handle)).sight is Sight.BROKEN


class CrashError(Exception):
    """Stands for the node's end at a step."""


class CrashAt:
    def __init__(self, point: str) -> None:
        self.point = point

    async def at(self, point: str, subject: str) -> None:
        if point == self.point:
            raise CrashError(point)


@pytest.mark.parametrize("isolation", KINDS)
@pytest.mark.parametrize("point", ["prepared", "launched", "recorded"])
async def test_a_crash_of_the_node_around_a_fork_is_finished_by_the_next_verb(
    make: Make, tmp_path: Path, isolation: str, point: str
) -> None:
    crashed = make(isolation)
    crashed._observer = CrashAt(f"driver.start.{point}")
    wanted = spec(isolation)
    with pytest.raises(CrashError):
        await crashed.start(wanted, "cm_1", quiet)
    await crashed.close()
    driver = make(isolation)
    handle = await driver.start(wanted, "cm_1", quiet)
    assert (await driver.status(handle)).sight is Sight.RUNNING
    assert set(members(driver, handle)) == {"stead-holder", "stead-guest"}
    await driver.delete(handle)
    assert leftovers(wanted.workspace_id, driver._layout.place(wanted.workspace_id).config) == []


@pytest.mark.parametrize("isolation", KINDS)
async def test_a_start_that_is_given_up_leaves_nothing_that_delete_does_not_end(make: Make, isolation: str) -> None:
    driver = make(isolation)
    wanted = spec(isolation)
    await driver.start(spec(isolation), "cm_1", quiet)
    nursery = nursery_of(driver)
    nursery.suspend()
    async with anyio.create_task_group() as group:
        group.start_soon(driver.start, wanted, "cm_1", quiet)
        await eventually_async(lambda: waiting(driver) == 1, "it is asked")
        group.cancel_scope.cancel()
    nursery.resume()
    for found in await driver.find():
        await driver.delete(found.handle)
    assert leftovers(wanted.workspace_id, driver._layout.place(wanted.workspace_id).config) == []
    assert await driver.find() == []
