"""Each limit that is said to be applied bites, on this machine's real control groups; version 2 by a made-up tree too."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stead.drivers.process import cgroups
from stead.drivers.process.cgroups import Controllers, Group, Wanted
from stead.model.workspaces import Limit

pytestmark = pytest.mark.anyio


@pytest.fixture
def controllers() -> Controllers:
    return cgroups.probe()


@pytest.fixture
async def groups() -> AsyncIterator[list[Group]]:
    made: list[Group] = []
    yield made
    for group in made:
        await group.end(10)
        assert await group.remove(10)


def make(controllers: Controllers, groups: list[Group], limit: Limit, wanted: Wanted) -> Group:
    if limit not in controllers.limits:
        pytest.skip(f"no {limit} limit here: {controllers.reason or 'not permitted'}")
    group = controllers.make(f"stead-test-{os.getpid()}-{limit}", wanted)
    groups.append(group)
    assert limit in group.limits
    return group


def run(group: Group, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        group.join([sys.executable, "-S", "-E", "-c", code]), capture_output=True, text=True, timeout=60, check=False
    )


async def test_memory_bites(controllers: Controllers, groups: list[Group]) -> None:
    group = make(controllers, groups, Limit.MEMORY, Wanted(memory_bytes=64 << 20))
    assert run(group, "b = bytearray(8 << 20); print(len(b))").stdout == f"{8 << 20}\n"
    assert run(group, "b = bytearray(256 << 20); b[::4096] = b'x' * (len(b) // 4096)").returncode == -9


async def test_processes_bite(controllers: Controllers, groups: list[Group]) -> None:
    group = make(controllers, groups, Limit.PROCESSES, Wanted(processes=8))
    code = """
import os, time
made = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except BlockingIOError:
    print(made, flush=True)
os._exit(0)
"""
    done = run_detached(group, code)
    assert 8 <= int(done) < 8 + cgroups.OWN_PROCESSES


def run_detached(group: Group, code: str) -> str:
    """Reads one line and does not wait for what was forked."""
    with subprocess.Popen(
        group.join([sys.executable, "-S", "-E", "-c", code]), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.wait(30)
        return line


async def test_cpu_bites(controllers: Controllers, groups: list[Group]) -> None:
    group = make(controllers, groups, Limit.CPU, Wanted(cpus=0.2))
    started = time.monotonic()
    done = run(group, "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time())")
    assert float(done.stdout) >= 0.3
    assert time.monotonic() - started > 1.0


async def test_end_kills_every_member_and_remove_takes_the_group_away(
    controllers: Controllers, groups: list[Group]
) -> None:
    if Limit.PROCESSES not in controllers.limits:
        pytest.skip("no process groups here")
    group = controllers.make(f"stead-test-{os.getpid()}-end", Wanted())
    groups.append(group)
    assert group.limits == ()
    process = subprocess.Popen(group.join(["sleep", "600"]))
    while process.pid not in group.members():
        time.sleep(0.01)
    await group.end(10)
    assert process.wait(10) == -9
    assert await group.remove(10)
    assert not any(path.exists() for path in group.paths)
    assert await group.remove(10)


async def test_nothing_permitted_is_stated_and_nothing_is_wrapped(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("30 1 0:1 / / rw - ext4 /dev/x rw\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    controllers = cgroups.probe(tmp_path)
    assert controllers.limits == ()
    assert controllers.reason
    group = controllers.make("x", Wanted(1, 1, 1))
    assert group.limits == ()
    assert group.join(["true"]) == ["true"]


async def test_version_2_uses_one_directory_and_states_what_was_enabled(tmp_path: Path) -> None:
    root = tmp_path / "cgroup2"
    own = root / "user" / "mine"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.procs").write_text("")
    (tmp_path / "mountinfo").write_text(f"30 1 0:1 / {root} rw,nosuid - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup").write_text("0::/user/mine\n")
    controllers = cgroups.probe(tmp_path)
    assert (controllers.version, set(controllers.limits)) == (2, set(Limit))
    group = controllers.make("stead-x", Wanted(1.5, 1 << 30, 100))
    assert group.paths == [own / "stead-x"]
    assert (own / "stead-x" / "cpu.max").read_text() == "150000 100000"
    assert (own / "stead-x" / "memory.max").read_text() == str(1 << 30)
    assert (own / "stead-x" / "pids.max").read_text() == str(100 + cgroups.OWN_PROCESSES)
    assert set(group.limits) == set(Limit)
