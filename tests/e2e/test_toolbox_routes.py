"""The toolbox by plain HTTP: a real server, node and guest, and a client that knows nothing but the description of the API."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from stead.testing.cluster import Cluster
from support.git_http import GitServer, bare

PATIENCE = 60
SECRET = "lent-for-one-call-0f3c"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {cluster.token}"}
    with httpx2.Client(base_url=f"{cluster.url}/api/v1", headers=headers, timeout=PATIENCE, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def box(api: httpx2.Client, cluster: Cluster) -> Iterator[str]:
    made = api.post("/workspaces", json={"name": "by-http"}).json()
    path = f"/workspaces/{made['id']}"
    cluster.until(lambda: api.get(path).json()["state"] == "running", "the workspace runs")
    yield path
    api.delete(path)


class Described:
    """Asks operations, and holds what comes back against the description."""

    def __init__(self, api: httpx2.Client, box: str) -> None:
        self.api = api
        self.box = box
        self.document = api.get("/openapi.json").json()

    def __call__(self, name: str, /, **params: Any) -> Any:
        answer = self.api.post(f"{self.box}/toolbox/{name}", json=params)
        assert answer.status_code == 200, answer.text
        operation = self.document["paths"][f"/api/v1/workspaces/{{workspace}}/toolbox/{name}"]["post"]
        self.check(operation["requestBody"], params)
        self.check(operation["responses"]["200"], answer.json())
        return answer.json()

    def check(self, place: dict[str, Any], value: Any) -> None:
        schema = place["content"]["application/json"]["schema"]
        jsonschema.validate(value, {**schema, "components": self.document["components"]})


@pytest.fixture(scope="module")
def ask(api: httpx2.Client, box: str) -> Described:
    return Described(api, box)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_text_trees_and_search(ask: Described) -> None:
    ask("text.write", path="shop/price.py", content="def price():\n    return 1\n", parents=True)
    changed = ask("text.edit", path="shop/price.py", edits=[{"old": "return 1", "new": "return 2"}])
    assert (changed["lines_added"], changed["lines_removed"]) == (1, 1)
    assert ask("text.read", path="shop/price.py")["content"].endswith("return 2\n")
    assert [entry["path"] for entry in ask("trees.list", path="shop")["entries"]] == ["shop/price.py"]
    assert ask("search.names", query="prc")["files"][0]["path"] == "shop/price.py"


def test_git(ask: Described) -> None:
    done = ask.api.post(f"{ask.box}/exec", json={"argv": ["git", "init", "-q", "-b", "main", "repository"]}).json()
    assert done["exit_code"] == 0
    ask("text.write", path="repository/a", content="x\n")
    assert [each["path"] for each in ask("git.status", directory="repository")["entries"]] == ["a"]
    person = {"name": "Ann", "email": "ann@example.org"}
    ask("git.commit", directory="repository", message="one", author=person, all=True)
    assert [each["message"] for each in ask("git.log", directory="repository")["commits"]] == ["one"]


def test_a_credential_is_nowhere_afterwards(ask: Described, cluster: Cluster, tmp_path: Path) -> None:
    """Through the control plane, its store of answers, its audit, the node and the guest: of a success and of a failure."""
    (tmp_path / "served").mkdir()
    bare(tmp_path / "served" / "a.git")
    with GitServer(tmp_path / "served", "somebody", SECRET) as server:
        for word, status in ((SECRET, 200), (f"{SECRET}-wrong", 424)):
            params = {
                "url": server.url("a.git"),
                "directory": f"lent-{status}",
                "credential": {"username": "somebody", "password": word},
            }
            key = {"Idempotency-Key": f"clone-{status}"}
            answer = ask.api.post(f"{ask.box}/toolbox/git.clone", json=params, headers=key)
            assert (answer.status_code, SECRET in answer.text) == (status, False), answer.text
        assert any(server.seen)
    assert ask("git.head", directory="lent-200")["branch"] == "main"
    places = [str(cluster.data), str(cluster.server.log)]
    found = subprocess.run(["grep", "-rlaFD", "skip", SECRET, *places], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_a_shell_session(ask: Described) -> None:
    ask("sessions.open", name="mine", environment={"COLOUR": "blue"})
    for line, expected in (("mkdir -p made && cd made", ""), ('echo "$COLOUR ${PWD##*/}"', "blue made\n")):
        prepared = ask("sessions.prepare", name="mine", line=line)
        assert ask.api.post(f"{ask.box}/exec", json=prepared).json()["stdout"] == expected
    assert ask("sessions.show", name="mine")["cwd"] == "made"
    assert ask("sessions.close", name="mine")["existed"] is True


def test_the_system_and_a_file_in_chunks(ask: Described) -> None:
    kernel = ask.api.post(f"{ask.box}/exec", json={"argv": ["uname", "-r"]}).json()["stdout"].strip()
    assert ask("system.info")["kernel"] == kernel
    assert ask("system.processes", limit=1)["total"] >= 1
    ask("transfer.begin", transfer_id="mine", path="in-chunks", size=3)
    ask("transfer.chunk", transfer_id="mine", seq=0, data=base64.b64encode(b"abc").decode())
    ask("transfer.end", transfer_id="mine")
    assert ask.api.get(f"{ask.box}/files?path=in-chunks").content == b"abc"


@pytest.mark.parametrize(
    "name, params, expected",
    [
        ("text.edit", {"path": "shop/price.py", "edits": [{"old": "nothing", "new": "x"}]}, (409, "text_not_found")),
        ("text.read", {"path": "../../etc/passwd"}, (403, "path_outside")),
        ("text.read", {}, (400, "invalid")),
        ("text.read", {"path": 5}, (400, "invalid")),
        ("text.read", {"path": "a", "unknown": 1}, (400, "invalid")),
        ("text.read", {"path": "a\0"}, (400, "path_invalid")),
        ("git.status", {"directory": "shop"}, (409, "no_repository")),
        ("no.such", {}, (404, "not_found")),
    ],
)
def test_refusals_are_those_of_the_table(ask: Described, name: str, params: Any, expected: tuple[int, str]) -> None:
    ask("text.write", path="shop/price.py", content="text\n", parents=True)
    assert refusal(ask.api.post(f"{ask.box}/toolbox/{name}", json=params)) == expected


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in lines:
        field, _, value = line.partition(": ")
        kind = value if field == "event" else kind
        if field == "data":
            yield kind, json.loads(value)


def test_changes_and_a_log_come_as_events(ask: Described) -> None:
    ask("text.write", path="seen/there", content="1\n", parents=True)
    with ask.api.stream("GET", f"{ask.box}/watch", params={"path": "seen", "include": ["*.txt"]}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        ask("text.write", path="seen/no", content="1\n")
        ask("text.write", path="seen/a.txt", content="1\n")
        kind, changes = next(events(answer.iter_lines()))
        assert (kind, [(each["kind"], each["path"]) for each in changes]) == ("changes", [("created", "seen/a.txt")])
    with ask.api.stream("GET", f"{ask.box}/log", params={"path": "seen/a.txt", "lines": 1}) as answer:
        told = events(answer.iter_lines())
        assert next(told) == ("log", {"data": base64.b64encode(b"1\n").decode()})
        ask("text.insert", path="seen/a.txt", line=2, content="2\n")
    assert refusal(ask.api.get(f"{ask.box}/log", params={"path": "nothing"})) == (404, "not_found")
    assert refusal(ask.api.get(f"{ask.box}/watch", params={"path": ".."})) == (403, "path_outside")


def test_a_workspace_that_is_stopped_or_gone(api: httpx2.Client, cluster: Cluster) -> None:
    path = f"/workspaces/{api.post('/workspaces', json={'name': 'short'}).json()['id']}"
    cluster.until(lambda: api.get(path).json()["state"] == "running", "the workspace runs")
    assert api.post(f"{path}/toolbox/system.info").status_code == 200
    api.post(f"{path}/stop")
    cluster.until(lambda: api.get(path).json()["state"] == "stopped", "the workspace is stopped")
    assert refusal(api.post(f"{path}/toolbox/system.info")) == (409, "workspace_not_running")
    assert refusal(api.get(f"{path}/watch")) == (409, "workspace_not_running")
    api.delete(path)
    assert refusal(api.post("/workspaces/nobody/toolbox/system.info")) == (404, "not_found")
