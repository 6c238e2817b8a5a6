"""`stead node`: a second machine joins, works, is drained and removed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stead.testing.cluster import Cluster
from support.cli import PROGRAM, Cli
from support.deadline import eventually


@pytest.fixture
def joined(cli: Cli, cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The id of a node of its own process and data."""
    token = tmp_path / "token"
    token.write_text(cli.ok("node", "token", "--label", "site=far"))
    data = str(tmp_path / "far")
    join = ("node", "join", cluster.url, "--token-file", str(token), "--name", "far", "--data", data)
    node_id = cli.ok(*join).strip()
    assert cli.ok(*join).strip() == node_id
    with (tmp_path / "log").open("wb") as log:
        node = subprocess.Popen([PROGRAM, "node", "run", "--data", data], env=cli.environment, stdout=log, stderr=log)
        try:
            eventually(lambda: cli.json("node", "show", "far")["status"] == "online", "the node is online")
            yield node_id
        finally:
            node.terminate()
            node.wait(60)


def test_a_node_joins_works_is_drained_and_removed(cli: Cli, joined: str) -> None:
    assert cli.json("node", "show", joined[:-2])["labels"] == {"site": "far"}
    name = cli.ok("ws", "create", "--node-label", "site=far").strip()
    assert cli.json("ws", "show", name)["node_id"] == joined
    assert cli.ok("exec", name, "--", "echo", "from afar") == "from afar\n"
    cli.ok("node", "label", "far", "kind=spare", "site-")
    assert cli.json("node", "show", "far")["labels"] == {"kind": "spare"}
    cli.ok("node", "drain", "far")
    refused = cli("ws", "create", "--node", "far")
    assert refused.returncode == 1
    assert b"drain" in refused.stderr
    cli.ok("node", "undrain", "far")
    cli.ok("node", "rename", "far", "farther")
    assert cli.json("node", "limit", "farther", "1")["max_workspaces"] == 1
    assert "1/1" in cli.ok("node", "ls")
    full = cli("ws", "create", "--node", "farther")
    assert (full.returncode, b"1 workspaces" in full.stderr) == (1, True), full.stderr
    assert b"max_workspaces" in cli("node", "limit", "farther", "-1").stderr
    assert cli.ok("node", "limit", "farther", "0").split() == ["name", "farther", "workspaces", "1"]
    cli.ok("ws", "rm", name)
    cli.ok("node", "rm", "farther")
    assert "farther" not in cli.ok("node", "ls")


def test_running_without_having_joined_says_how(cli: Cli, tmp_path: Path) -> None:
    done = cli("node", "run", "--data", str(tmp_path))
    assert done.returncode == 1
    assert b"stead node join" in done.stderr
