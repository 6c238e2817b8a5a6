"""cloud-init: what is refused without it, what its status and its log say, and the leash that its runs are on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.place import Place
from stead.toolbox.programs import Programs, python
from stead.toolbox.system.cloud import CloudInit, complaints, leashed
from stead.toolbox.system.contract import CLOUD_SECONDS, USER_DATA_BYTES, AskCloudInit, CloudInitStatus, RunCloudInit
from support.deadline import PATIENCE, eventually
from support.fakes import Fakes

pytestmark = pytest.mark.anyio

HEAD = "#cloud-config\n"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs cloud-init")


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path / "bin")


@pytest.fixture
async def cloud(tmp_path: Path, fakes: Fakes) -> AsyncIterator[CloudInit]:
    """Of a machine that has the fakes, and nothing else."""
    for name in ("sh", "sleep"):
        (fakes.folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    place = Place(Root(tmp_path), {"PATH": str(fakes.folder)}, machine=True)
    yield CloudInit(place, str(tmp_path / "state"), str(tmp_path / "boot"))
    place.close()


async def refused(code: str, work: Any) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await work
    assert caught.value.code == code, caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (RunCloudInit(user_data="#!/bin/sh\n"), "invalid", "run it with exec"),
        (RunCloudInit(user_data="a: b\n"), "invalid", "#cloud-config"),
        (RunCloudInit(user_data="#cloud-config-archive\n"), "invalid", "#cloud-config"),
        (RunCloudInit(user_data="## template: jinja\n#cloud-config\n"), "invalid", "#cloud-config"),
        (RunCloudInit(user_data=f"{HEAD}a: \0"), "invalid", "no text"),
        (RunCloudInit(user_data=f"{HEAD}a: \ud800"), "invalid", "no text"),
        (RunCloudInit(user_data=HEAD, timeout=0.0), "invalid", "timeout"),
        (RunCloudInit(user_data=HEAD, timeout=CLOUD_SECONDS + 1), "invalid", "timeout"),
        (RunCloudInit(user_data=HEAD, timeout=float("nan")), "invalid", "timeout"),
        (RunCloudInit(user_data=HEAD + "x" * USER_DATA_BYTES), "too_large", "user_data"),
        (RunCloudInit(user_data=HEAD), "program_missing", "cloud-init"),
    ],
)
async def test_what_is_refused_without_cloud_init(cloud: CloudInit, asked: RunCloudInit, code: str, words: str) -> None:
    assert words in (await refused(code, cloud.run(asked))).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
async def test_only_root_runs_directives(cloud: CloudInit, fakes: Fakes) -> None:
    fakes.add("cloud-init")
    await refused("permission_denied", cloud.run(RunCloudInit(user_data=HEAD)))
    assert fakes.told == []


@root_only
async def test_what_is_no_cloud_init_is_not_run(cloud: CloudInit, fakes: Fakes) -> None:
    fakes.add("cloud-init", json.dumps({"status": "done"}))
    await refused("unsupported", cloud.run(RunCloudInit(user_data=HEAD)))
    assert [argv[1] for argv in fakes.told] == ["status"]


@root_only
async def test_a_boot_that_had_an_error_and_still_runs(cloud: CloudInit, fakes: Fakes, tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "status.json").touch()
    for status in ("running", "error"):
        fakes.add("cloud-init", json.dumps({"status": status}))
        await refused("conflict", cloud.run(RunCloudInit(user_data=HEAD)))
    (tmp_path / "boot" / "result.json").touch()
    await refused("unsupported", cloud.run(RunCloudInit(user_data=HEAD)))


@root_only
async def test_what_cannot_be_imported_is_told(cloud: CloudInit, fakes: Fakes) -> None:
    """A Python without cloud-init behind the program's name."""
    fakes.add("cloud-init", json.dumps({"status": "done"}))
    program = fakes.folder / "cloud-init"
    program.write_text(f"#!{sys.executable}\nimport json\nprint(json.dumps({{'status': 'done'}}))\n")
    error = await refused("unsupported", cloud.run(RunCloudInit(user_data=HEAD)))
    assert "22.2 or later" in error.message


# --- status --------------------------------------------------------------------------------------------------------------

OLD = {
    "boot_status_code": "enabled-by-generator",
    "datasource": "nocloud",
    "detail": "DataSourceNoCloud [seed=/dev/sr0]",
    "errors": [],
    "last_update": "Thu, 01 Jan 2026 00:00:10 +0000",
    "status": "done",
}
NEW: dict[str, Any] = OLD | {
    "extended_status": "degraded done",
    "recoverable_errors": {"WARNING": ["no such group"], "DEPRECATED": ["old word"]},
    "init": {"errors": []},
    "stage": None,
}


async def test_the_status_without_cloud_init(cloud: CloudInit) -> None:
    assert await cloud.status(AskCloudInit(wait=1.0)) == CloudInitStatus(installed=False)
    await refused("invalid", cloud.status(AskCloudInit(wait=-1.0)))
    await refused("invalid", cloud.status(AskCloudInit(wait=CLOUD_SECONDS + 1)))


async def test_the_status_of_old_and_new_versions(cloud: CloudInit, fakes: Fakes) -> None:
    fakes.add("cloud-init", json.dumps(OLD))
    old = await cloud.status(AskCloudInit())
    assert (old.installed, old.status, old.extended, old.source) == (True, "done", "", "nocloud")
    assert (old.detail, old.updated) == (OLD["detail"], OLD["last_update"])
    assert fakes.told == [["cloud-init", "status", "--format", "json"]]
    fakes.add("cloud-init", json.dumps(NEW), code=2)
    new = await cloud.status(AskCloudInit())
    assert (new.status, new.extended, new.errors) == ("done", "degraded done", [])
    assert new.warnings == ["no such group", "old word"]
    fakes.add("cloud-init", json.dumps(OLD | {"status": "error", "errors": ["a", "b"]}), code=1)
    assert (await cloud.status(AskCloudInit())).errors == ["a", "b"]


async def test_the_status_of_a_version_that_has_only_text(cloud: CloudInit, fakes: Fakes) -> None:
    fakes.add(
        "cloud-init",
        does='case "$*" in *--format*) echo "cloud-init: error: unrecognized arguments: --format json" >&2; exit 2;; esac',
        says="status: error\ntime: Thu, 01 Jan 2026\ndetail:\n('users', KeyError())\nmore\n",
        code=1,
    )
    told = await cloud.status(AskCloudInit())
    assert (told.status, told.updated, told.detail) == ("error", "Thu, 01 Jan 2026", "('users', KeyError())\nmore")
    assert told.errors == [told.detail]


async def test_a_status_that_is_no_status(cloud: CloudInit, fakes: Fakes) -> None:
    for says in ("", "[]", "{}", "no"):
        fakes.add("cloud-init", says, complains="Traceback: broken", code=1)
        assert "broken" in (await refused("program_failed", cloud.status(AskCloudInit()))).message


async def test_the_boot_is_waited_for_so_long(cloud: CloudInit, fakes: Fakes) -> None:
    """What is then is told, be it done or not."""
    fakes.add("cloud-init", json.dumps(OLD | {"status": "running"}), does='case "$*" in *--wait*) sleep 1000;; esac')
    assert (await cloud.status(AskCloudInit(wait=0.2))).status == "running"
    fakes.add("cloud-init", json.dumps(OLD))
    assert (await cloud.status(AskCloudInit(wait=PATIENCE))).status == "done"
    assert fakes.told[-1] == ["cloud-init", "status", "--wait", "--format", "json"]


# --- the log -------------------------------------------------------------------------------------------------------------

AT = "2026-01-01 00:00:00,000 - "
NOISE = f"{AT}util.py[DEBUG]: Reading from /proc/uptime (quiet=False)\n"
WARNED = f"{AT}__init__.py[WARNING]: Skipping creation of existing group 'a'\n"
BROKEN = "Running module timezone (<module 'cloudinit.config.cc_timezone' from '/x.py'>) failed"
FAILED = f"""{AT}util.py[WARNING]: {BROKEN}
{AT}util.py[DEBUG]: {BROKEN}
Traceback (most recent call last):
  File "/x.py", line 1, in handle
OSError: Invalid timezone
{AT}main.py[WARNING]: Ran timezone but it failed!
"""
ENDED = f"""{AT}subp.py[DEBUG]: Unexpected error while running command.
Command: ['/x/scripts/runcmd']
Exit code: 3
Reason: -
"""


def test_complaints_are_told_with_their_reasons() -> None:
    assert complaints("", "runcmd") == ([], False)
    assert complaints(NOISE, "runcmd") == ([], False)
    assert complaints(NOISE + WARNED + NOISE, "users_groups") == (["Skipping creation of existing group 'a'"], False)
    assert complaints(f"half a line\n{NOISE}{FAILED}{NOISE}", "timezone") == (
        ["Running module timezone failed: OSError: Invalid timezone"],
        True,
    )
    assert complaints(f"{AT}x.py[ERROR]: no\n", "x") == (["no"], True)
    assert complaints(ENDED, "scripts_user") == (["runcmd: exit code 3"], False)
    assert complaints(ENDED, "snap") == ([], False)


# --- the leash -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def leash(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    argv = python("-I", "-m", "stead.toolbox.system.leash", str(tmp_path / "state"))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def _ask(process: "subprocess.Popen[str]", *argv: str, **environment: str) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"argv": argv, "environment": environment}) + "\n")
    process.stdin.flush()


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def test_programs_run_in_turn(leash: "subprocess.Popen[str]") -> None:
    folder = Path(_answer(leash)["folder"])
    assert folder.stat().st_mode & 0o777 == 0o700
    _ask(leash, "sh", "-c", "echo out; echo $WORD >&2; exit 3", WORD="err")
    answer = _answer(leash)
    assert (answer["code"], answer["output"]) == (3, "out\nerr\n")
    _ask(leash, "sh", "-c", "kill -9 $$")
    assert _answer(leash)["code"] == -signal.SIGKILL
    _ask(leash, "no-such-program")
    assert _answer(leash)["code"] == 127
    _ask(leash, "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo end")
    output = _answer(leash)["output"]
    assert len(output) == 1 << 16
    assert output.endswith("xend\n")
    assert leash.stdin is not None
    leash.stdin.close()
    assert leash.wait(PATIENCE) == 0
    assert not folder.exists()


def test_what_is_left_in_the_background_is_not_waited_for_and_stays(leash: "subprocess.Popen[str]") -> None:
    _answer(leash)
    _ask(leash, "sh", "-c", "sleep 1000 & echo $!")
    left = int(_answer(leash)["output"])
    assert leash.stdin is not None
    leash.stdin.close()
    assert leash.wait(PATIENCE) == 0
    os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("ends", ["input", "signal"])
def test_what_runs_is_ended_with_all_that_was_started(
    leash: "subprocess.Popen[str]", tmp_path: Path, ends: str
) -> None:
    folder = Path(_answer(leash)["folder"])
    line = "setsid sleep 1000 & echo $! > {0}/left; (setsid sleep 1000 & echo $! > {0}/orphan); sleep 1000"
    _ask(leash, "sh", "-c", line.format(tmp_path) + f"; touch {folder}/late")
    pids = [eventually(partial(_number, tmp_path / name), name) for name in ("left", "orphan")]
    assert leash.stdin is not None
    if ends == "input":
        leash.stdin.close()
    else:
        leash.terminate()
    assert leash.wait(PATIENCE) == 0
    for pid in pids:
        assert not _lives(pid)
    assert not folder.exists()


def _number(file: Path) -> int:
    text = file.read_text() if file.exists() else ""
    return int(text) if text.endswith("\n") else 0


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_one_leash_at_a_time_and_the_next_tidies_up(leash: "subprocess.Popen[str]", tmp_path: Path) -> None:
    folder = Path(_answer(leash)["folder"])
    (folder / "secret").touch()
    programs, state = Programs(os.environ), str(tmp_path / "state")
    with pytest.raises(SteadError, match="another guest"):
        async with leashed(programs, state):
            raise AssertionError("two at once")
    leash.kill()
    leash.wait(PATIENCE)
    assert folder.exists()
    async with leashed(programs, state) as other:
        assert not folder.exists()
        assert (await other.run(["sh", "-c", "echo hi"])).output == "hi\n"
    assert not other.folder.exists()


async def test_a_leash_without_room_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SteadError) as caught:
        async with leashed(Programs(os.environ), str(tmp_path / "file" / "state")):
            raise AssertionError("in no folder")
    assert caught.value.code == "not_directory"


async def test_a_leash_that_is_killed_is_told(tmp_path: Path) -> None:
    with pytest.raises(SteadError) as caught:
        async with leashed(Programs(os.environ), str(tmp_path / "state")) as leash:
            await leash.run(["sh", "-c", "kill -9 $PPID"])
    assert caught.value.code == "unavailable"
