"""`stead up`, `status`, `backup`, `restore`, and what a person sees when the control plane is killed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.testing.cluster import Cluster
from stead.testing.server import Server
from support.cli import PROGRAM, Cli, ended, in_process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A Stead that the test may break."""
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_a_streaming_exec_goes_on_over_a_killed_control_plane_node_and_guest(own: Cluster) -> None:
    cli = Cli(own.environment)
    workspace = cli.json("ws", "create", "survivor")["id"]
    line = "for n in $(seq 1 400); do echo step $n; [ -e fast ] || sleep 0.02; done; exit 9"
    with ended(in_process(cli).start("exec", "survivor", "--shell", "--", line, stderr=None)) as running:
        assert running.stdout is not None
        seen = [running.stdout.readline() for _ in range(10)]
        own.kill("control")
        own.start_control()
        seen += [running.stdout.readline() for _ in range(10)]
        own.kill("node")
        seen += [running.stdout.readline() for _ in range(10)]
        own.kill("guest", workspace)
        seen += [running.stdout.readline() for _ in range(10)]
        own.until(lambda: cli("exec", "survivor", "--", "touch", "fast").returncode == 0, "the workspace answers again")
        seen += running.stdout.readlines()
        assert running.wait(60) == 9
    assert seen == [f"step {n}\n".encode() for n in range(1, 401)]


def test_a_guest_is_found_by_what_its_holder_tells(cluster: Cluster, cli: Cli) -> None:
    workspace = cli.json("ws", "create", "plain", "--isolation", "none")["id"]
    assert cluster.process("guest", workspace) == cluster.told_guest(workspace) is not None
    cli.ok("ws", "rm", workspace)
    assert cluster.told_guest(workspace) is None


def test_a_second_server_on_the_same_data_is_refused(cluster: Cluster) -> None:
    done = subprocess.run(
        [PROGRAM, "up", "--port", "0", "--data", str(cluster.data)],
        env=cluster.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"already runs" in done.stdout
    assert (cluster.data / "keeper.sock").exists() == (sys.platform == "linux")


def test_up_tells_programs_where_it_serves_and_how_to_log_in(cli: Cli, tmp_path: Path) -> None:
    words = ("up", "--mode", "remote", "--port", "0", "--data", str(tmp_path), "--json")
    with ended(cli.start(*words, stderr=subprocess.DEVNULL)) as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        assert json.loads(server.stdout.readline())["login"].startswith(f"{url}/login#")
        server.terminate()
        assert server.wait(60) == 0


def test_wrong_settings_are_told_all_at_once(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "stead.toml"
    file.write_text('port = "x"\nnonsense = 1\n')
    done = cli("up", "--config", str(file), "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert b"port" in done.stderr
    assert b"nonsense" in done.stderr


def test_status_tells_and_fails_when_nothing_answers(cli: Cli, cluster: Cluster) -> None:
    known = cli.json("status")
    assert (known["url"], known["pid"], known["database"]) == (cluster.url, cluster.server.pid, "ok")
    done = cli.at(STEAD_URL="http://127.0.0.1:9")("status", "--wait", "0")
    assert done.returncode == 1
    assert b"127.0.0.1:9" in done.stderr


def test_a_backup_is_restored(tmp_path: Path) -> None:
    server = Server(tmp_path, mode="remote")
    cli = Cli(server.environment)
    server.start()
    try:
        _back_up_and_restore(server, cli, tmp_path)
    finally:
        server.stop()


def _back_up_and_restore(server: Server, cli: Cli, tmp_path: Path) -> None:
    cli.ok("user", "add", "before")
    cli.ok("backup", str(tmp_path / "copy"))
    assert cli("backup", str(tmp_path / "copy")).returncode == 1
    cli.ok("user", "add", "after")
    assert b"stop it first" in cli("restore", str(tmp_path / "copy")).stderr
    server.stop()
    cli.ok("restore", str(tmp_path / "copy"))
    server.start()
    names = {user["name"] for user in cli.json("user", "ls")["items"]}
    assert "before" in names
    assert "after" not in names


def test_doctor_tells_what_this_machine_can_give(cli: Cli) -> None:
    found = {item["what"]: item for item in json.loads(cli.ok("doctor", "--json"))["items"]}
    assert {"stead", "python", "isolation", "limits", "starts", "data"} <= set(found)
    assert all(item["remedy"] for item in found.values() if item["state"] == "missing")
    assert found["starts"]["state"] == ("ok" if sys.platform == "linux" else "missing")
    assert "isolation" in cli.ok("doctor")


@pytest.mark.needs_engine("bwrap")
def test_doctor_tells_why_workspaces_would_start_slowly(cli: Cli, tmp_path: Path) -> None:
    """As with a bubblewrap before 0.5."""
    program = tmp_path / "bwrap"
    refuse = 'case "$*" in *--pidns*) echo "bwrap: Unknown option --pidns" >&2; exit 1;; esac'
    program.write_text(f'#!/bin/sh\n{refuse}\nexec {shutil.which("bwrap")} "$@"\n')
    program.chmod(0o755)
    old = cli.at(PATH=f"{tmp_path}:{os.environ['PATH']}")
    found = {item["what"]: item for item in json.loads(old.ok("doctor", "--json"))["items"]}
    assert found["isolation"]["state"] == "ok"
    assert found["starts"]["state"] == "missing"
    assert "slow" in found["starts"]["detail"]
    assert "Unknown option --pidns" in found["starts"]["detail"]
    assert "bubblewrap 0.5" in found["starts"]["remedy"]
    nothing = cli.at(PATH=str(tmp_path / "nothing"))
    found = {item["what"]: item for item in json.loads(nothing.ok("doctor", "--json"))["items"]}
    assert (found["isolation"]["state"], found["starts"]["state"]) == ("missing", "ok")


def test_a_mock_control_plane_to_type_into(cli: Cli) -> None:
    done = cli("mock-control", "--port", "0", input=b"nodes\nquit\n")
    assert done.returncode == 0
    assert b"127.0.0.1" in done.stdout


def test_the_mock_control_plane_speaks_json_too(cli: Cli) -> None:
    done = cli("mock-control", "--port", "0", "--json", input=b"nonsense\nquit\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["mark"] for line in lines] == ["*", "!"]
    assert "127.0.0.1" in lines[0]["text"]
