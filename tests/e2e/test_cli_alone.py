"""`stead serve`, a control plane without a node of its own: nodes wait for approval, orders wait and can be taken back."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from stead.testing.server import Server
from support.cli import PROGRAM, Cli, ended
from support.deadline import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that was told to ask before it takes a node."""
    server = Server(tmp_path_factory.mktemp("alone"), approve_nodes="true")
    try:
        server.start((PROGRAM, "serve"))
        yield server
    finally:
        server.stop(stop_workspaces=False)


@pytest.fixture(scope="module")
def alone(server: Server) -> Cli:
    return Cli(server.environment)


def test_a_node_waits_for_approval_and_an_order_for_the_node(alone: Cli, server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(alone.ok("node", "token"))
    data = ("--data", str(tmp_path / "far"))
    alone.ok("node", "join", server.url, "--token-file", str(token), "--name", "far", *data)
    assert alone.json("node", "show", "far")["status"] == "pending"
    assert alone("ws", "create", "early", "--node", "far", "--no-wait").returncode == 1
    alone.ok("node", "approve", "far")
    before = (tmp_path / "far" / "node" / "key").read_bytes()
    alone.ok("node", "rotate-key", *data)
    assert (tmp_path / "far" / "node" / "key").read_bytes() != before
    with (tmp_path / "log").open("wb") as log, ended(alone.start("node", "run", *data, stdout=log, stderr=log)) as node:
        eventually(lambda: alone.json("node", "show", "far")["status"] == "online", "the node is online", within=90)
        node.terminate()
        node.wait(60)
    alone.ok("ws", "create", "waiting", "--node", "far", "--no-wait")
    [order] = alone.json("command", "ls")["items"]
    assert (order["kind"], order["state"]) == ("start", "queued")
    assert alone.json("command", "cancel", order["id"][:-2])["state"] == "cancelled"
    assert alone.json("command", "show", order["id"])["state"] == "cancelled"
    assert alone.json("ws", "show", "waiting")["state"] == "stopped"
    alone.ok("ws", "rm", "waiting", "--no-wait")
    refused = alone("node", "rm", "far")
    assert refused.returncode == 1
    assert b"1 workspaces" in refused.stderr
    assert alone.json("node", "rm", "far", "--force")["name"] == "far"
    assert alone.json("ws", "ls")["items"] == []
    assert alone.json("node", "ls")["items"] == []


def test_a_browser_session_is_seen_and_ended(alone: Cli, server: Server) -> None:
    code = alone.ok("user", "login", "admin").rpartition("#")[2].strip()
    with httpx2.Client(base_url=f"{server.url}/api/v1", headers={"Origin": server.url}, trust_env=False) as browser:
        assert browser.post("/login", json={"code": code}).status_code == 200
        assert browser.get("/whoami").status_code == 200
        [session] = alone.json("session", "ls")["items"]
        assert alone.json("session", "rm", session["id"])["id"] == session["id"]
        assert browser.get("/whoami").status_code == 401
    assert alone.json("session", "ls")["items"] == []


def test_what_is_removed_is_told_as_json_too(alone: Cli) -> None:
    for noun, make in (("user", ("user", "add", "mia")), ("token", ("token", "create", "ci"))):
        alone.ok(*make)
        assert alone.json(noun, "rm", make[-1])["name"] == make[-1]
