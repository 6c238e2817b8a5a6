"""`stead ps` and `stead system`, through the whole path."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Cli, ended


@pytest.fixture(scope="module")
def workspace(cli: Cli) -> Iterator[str]:
    name = cli.ok("ws", "create").strip()
    yield name
    cli("ws", "rm", name)


def test_what_runs_is_shown_and_can_be_ended(cli: Cli, workspace: str) -> None:
    exec_id = cli.ok("exec", workspace, "--detach", "--", "sleep", "4242").strip()
    shown = cli.ok("ps", workspace)
    assert shown.splitlines()[0].split() == ["PID", "PARENT", "USER", "STATE", "CPU%", "MEMORY", "STARTED", "COMMAND"]
    assert "sleep 4242" in shown
    found = next(each for each in cli.json("ps", workspace)["items"] if each["command"] == ["sleep", "4242"])
    assert found["state"] in {"S", "R", "D"}
    told = cli.json("ps", workspace, "--kill", str(found["pid"]))
    assert (told["pid"], told["signalled"]) == (found["pid"], True)
    ended = cli.json("execs", workspace)["items"]
    assert exec_id in {each["exec_id"] for each in ended}
    done = cli("ps", workspace, "--kill", "999999999")
    assert done.returncode == 1
    assert b"no process 999999999" in done.stderr
    assert len(cli.json("ps", workspace, "--limit", "1")["items"]) == 1


def test_the_system_is_shown(cli: Cli, workspace: str) -> None:
    shown = cli.ok("system", workspace)
    kernel = cli.ok("exec", workspace, "--", "uname", "-r").strip()
    assert kernel in shown
    assert "MOUNTED ON" in shown
    told = json.loads(cli.ok("system", workspace, "--json"))
    assert told["info"]["kernel"] == kernel
    assert {"lo"} <= {interface["name"] for interface in told["interfaces"]}
    assert all(filesystem["mount_point"] for filesystem in told["filesystems"])


def test_a_log_is_shown_and_followed(cli: Cli, workspace: str) -> None:
    cli.ok("files", "put", workspace, "-", "out.txt", input=b"one\ntwo\n")
    assert cli.ok("system", workspace, "log", "out.txt", "-n", "1") == "two\n"
    assert cli.json("system", workspace, "log", "out.txt")["data"] == base64.b64encode(b"one\ntwo\n").decode()
    assert b"nothing" in cli("system", workspace, "log", "nothing").stderr
    with ended(cli.start("system", workspace, "log", "out.txt", "-f", "-n", "1")) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"two\n"
        cli.ok("files", "put", workspace, "--append", "-", "out.txt", input=b"three\n")
        assert following.stdout.readline() == b"three\n"
    assert cli.ok("files", "cat", workspace, "out.txt", "--offset", "4", "--length", "6") == "two\nth"


def test_cloud_init_is_asked(cli: Cli, workspace: str, tmp_path: Path) -> None:
    """A script is refused with the way that it goes, before anything is looked at."""
    file = tmp_path / "data"
    file.write_text("#!/bin/sh\n")
    for words, given in (([str(file)], None), (["-"], b"#!/bin/sh\n")):
        done = cli("system", workspace, "cloud-init", *words, input=given)
        assert done.returncode == 1
        assert b"run it with exec" in done.stderr
    assert isinstance(cli.json("system", workspace, "cloud-init", "--status", "--wait", "100ms")["installed"], bool)


@pytest.mark.parametrize(
    "words",
    [
        ["--status"],
        ["--follow"],
        ["log"],
        ["log", "x", "--status"],
        ["cloud-init", "-", "--unit", "x"],
        ["cloud-init"],
        ["cloud-init", "-", "--wait", "1s"],
        ["cloud-init", "-", "--status"],
        ["cloud-init", "--status", "--timeout", "1s"],
        ["cloud-init", "/no/such/file"],
        ["other"],
    ],
)
def test_what_does_not_go_together(cli: Cli, workspace: str, words: list[str]) -> None:
    done = cli("system", workspace, *words)
    assert done.returncode in {1, 2}
    assert done.stderr
