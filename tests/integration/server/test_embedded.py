"""The embedded node: its own process, found again, started again, ended with the server; workspaces outlive both."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import psutil

from integration.server.program import Program
from support.deadline import eventually


def node_pid(program: Program) -> int:
    return int(json.loads((program.data / "node" / "embedded.json").read_text())["pid"])


def online(client: httpx2.Client) -> bool:
    return [node["status"] for node in client.get("/nodes").json()["items"]] == ["online"]


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def workspace(client: httpx2.Client, name: str = "box") -> dict[str, Any]:
    """One that runs."""
    made = client.post("/workspaces", json={"name": name, "driver": "scripted"})
    assert made.status_code == 201, made.text
    eventually(lambda: state(client, name) == "running", "the workspace runs", within=90)
    found: dict[str, Any] = client.get(f"/workspaces/{name}").json()
    return found


def state(client: httpx2.Client, name: str = "box") -> str:
    return str(client.get(f"/workspaces/{name}").json()["state"])


def test_a_node_that_dies_is_started_again(tmp_path: Path) -> None:
    with Program(tmp_path, mode="scripted") as program, program.client() as client:
        eventually(lambda: online(client), "the node is online", within=90)
        first = node_pid(program)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: node_pid(program) != first and online(client), "another node is online", within=90)
        assert len(client.get("/nodes").json()["items"]) == 1


def test_a_killed_server_finds_its_node_again(tmp_path: Path) -> None:
    program = Program(tmp_path, mode="scripted").start()
    try:
        with program.client() as client:
            before = workspace(client)
        pid = node_pid(program)
        program.kill()
        assert alive(pid)
        program.start()
        with program.client() as client:
            eventually(lambda: online(client), "the node is back", within=90)
            assert node_pid(program) == pid
            assert client.get("/workspaces/box").json()["id"] == before["id"]
            assert state(client) == "running"
            assert client.delete("/workspaces/box").status_code == 202
            eventually(lambda: client.get("/workspaces/box").status_code == 404, "the workspace is gone", within=90)
    finally:
        program.signal(signal.SIGTERM)
        program.wait()
    eventually(lambda: not alive(pid), "the node ended with its server")


def test_another_port_replaces_the_node(tmp_path: Path) -> None:
    program = Program(tmp_path, mode="scripted").start()
    pid = node_pid(program)
    program.kill()
    program.flags["port"] = 0
    with program, program.client() as client:
        eventually(lambda: online(client), "a node is online", within=90)
        assert node_pid(program) != pid
        assert not alive(pid)


def test_stopping_can_stop_the_workspaces_too(tmp_path: Path) -> None:
    program = Program(tmp_path, mode="scripted").start(stop_workspaces=True)
    with program.client() as client:
        workspace(client)
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    with program, program.client() as client:
        assert state(client) == "stopped"
        client.delete("/workspaces/box")
        eventually(lambda: client.get("/workspaces/box").status_code == 404, "the workspace is gone", within=90)


def test_the_settings_reach_the_node(tmp_path: Path) -> None:
    """Also what the fake is to do: its first two starts fail, and are tried again."""
    script = {"fail_first": 2, "start_seconds": 0.01, "isolation": "none"}
    table = {"name": "here", "labels": {"zone": "a"}, "max_workspaces": 1, "options": {"scripted": script}}
    with Program(tmp_path, mode="scripted", node=table) as program, program.client() as client:
        eventually(lambda: online(client), "the node is online", within=90)
        [node] = client.get("/nodes").json()["items"]
        assert (node["name"], node["labels"], node["max_workspaces"]) == ("here", {"zone": "a"}, 1)
        made = workspace(client)
        ends = [command["state"] for command in commands(client)]
        assert ends.count("failed") == 2, ends
        assert ends.count("completed") == 1, ends
        second = client.post("/workspaces", json={"name": "second", "driver": "scripted"})
        assert second.json()["error"]["code"] == "no_node", second.text
        client.delete(f"/workspaces/{made['id']}")
        eventually(lambda: client.get("/workspaces/box").status_code == 404, "the workspace is gone", within=90)


def commands(client: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/commands").json()["items"]
    return found
