"""The sidecar over real HTTP: every route, its errors, its event streams, and clients that behave badly."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx2
import pytest

from stead.guest.serving import WRONG
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import connect
from stead.sdk.guest.link import GuestLink
from stead.sdk.guest.way import Way
from stead.testing.server import free_port
from stead.toolbox.contract import Exec
from support.deadline import PATIENCE, eventually
from support.disk import small_disk

TOKEN = "the-token-of-these-tests"
SERVE = (sys.executable, "-P", "-m", "stead.guest", "serve")


class Served(NamedTuple):
    """A guest that serves HTTP, and a client that has its token."""

    url: str
    root: Path
    client: httpx2.Client
    guest_pid: int

    def post(self, path: str, /, **body: Any) -> dict[str, Any]:
        """What is answered; it must be 200."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, method: str, path: str, /, **body: Any) -> tuple[int, str]:
        """The status and the word of the error."""
        answer = self.client.request(method, path, json=body)
        found = answer.json()
        assert found["success"] is False
        assert found["message"]
        return answer.status_code, found["error"]


@contextmanager
def _serving(place: Path, **fields: Any) -> Iterator[Served]:
    root = place / "root"
    root.mkdir()
    (place / "token").write_text(TOKEN)
    (place / "c.json").write_text(json.dumps({"root": str(root), "run": str(place / "run"), "security": None} | fields))
    port = free_port()
    argv = [*SERVE, "--config", str(place / "c.json"), "--token-file", str(place / "token")]
    process = subprocess.Popen([*argv, "--http", f"127.0.0.1:{port}"])
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), "the sidecar answers")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE * 2, trust_env=False) as client:
            pid = json.loads((place / "run" / "holder.json").read_text())["guest_pid"]
            yield Served(url, root, client, pid)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with _serving(tmp_path_factory.mktemp("sidecar")) as found:
        yield found


def test_every_route_but_health_needs_the_token(served: Served) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        with httpx2.Client(base_url=served.url, headers=headers, trust_env=False) as stranger:
            assert stranger.get("/health").json()["status"] == "healthy"
            for method, path in (
                ("GET", "/status"),
                ("POST", "/api/execute/command"),
                ("GET", "/files/x"),
                ("GET", "/no"),
            ):
                assert stranger.request(method, path).status_code == 401
    assert served.get("/status")["workspace"] == str(served.root)


def test_files(served: Served) -> None:
    assert served.post("/api/files/write", path="a/f", content="one\ntwo\n") == {
        "success": True,
        "isNewFile": True,
        "linesAdded": 2,
        "linesRemoved": 0,
    }
    again = served.post("/api/files/write", path="a/f", content="one\n2\n3\n", instructions="for people")
    assert (again["isNewFile"], again["linesAdded"], again["linesRemoved"]) == (False, 2, 1)
    read = served.post("/api/files/read", path="a/f")
    assert (read["content"], read["totalLines"], read["startLine"], read["endLine"]) == ("one\n2\n3\n", 3, 1, 3)
    part = {"shouldReadEntireFile": False, "startLineOneIndexed": 2, "endLineOneIndexedInclusive": 2}
    assert served.post("/api/files/read", path="a/f", **part)["content"] == "2\n"
    stats = served.post("/api/files/stats", path="a/f")["stats"]
    assert (stats["size"], stats["isFile"], stats["isDirectory"]) == (8, True, False)
    done = served.post("/api/files/search-replace", path="a/f", oldString="2", newString="two")
    assert (done["occurrences"], done["oldLength"], done["newLength"]) == (1, 8, 10)
    assert served.post("/api/files/list", path="a")["contents"] == [{"name": "f", "type": "file", "isDirectory": False}]
    assert served.get("/directory/a")["contents"][0]["name"] == "f"
    tree = served.post("/api/files/list-recursive", path="a")
    assert (tree["totalCount"], tree["entries"][0]["relativePath"]) == (1, "f")
    assert served.post("/api/files/delete", path="a/f")["wasAlreadyDeleted"] is False
    assert served.post("/api/files/delete", path="a/f")["wasAlreadyDeleted"] is True


def test_errors_have_this_face_s_words(served: Served) -> None:
    served.post("/api/files/write", path="e", content="x x")
    replace = "/api/files/search-replace"
    assert served.refused("POST", "/api/files/read", path="nothing") == (404, "FILE_NOT_FOUND")
    assert served.refused("POST", "/api/files/list", path="nothing") == (404, "DIRECTORY_NOT_FOUND")
    assert served.refused("GET", "/directory/files") == (404, "DIRECTORY_NOT_FOUND")
    assert served.refused("GET", "/files/lists/list") == (404, "FILE_NOT_FOUND")
    assert served.refused("POST", "/api/files/read", path="../x") == (403, "SECURITY_ERROR")
    assert served.refused("GET", "/files//etc/passwd") == (403, "SECURITY_ERROR")
    assert served.refused("GET", "/files/%2e%2e/%2e%2e/etc/passwd") == (403, "SECURITY_ERROR")
    assert served.refused("POST", replace, path="e", oldString="y", newString="z")[1] == "TEXT_NOT_FOUND"
    assert served.refused("POST", replace, path="e", oldString="x", newString="z")[1] == "TEXT_NOT_UNIQUE"
    assert served.refused("POST", replace, path="e", oldString="", newString="z")[1] == "EMPTY_OLD_STRING"
    assert served.refused("POST", replace, path="e", oldString="x", newString="x")[1] == "IDENTICAL_STRINGS"
    assert served.refused("POST", "/api/files/read", path=7) == (400, "VALIDATION_ERROR")
    assert served.refused("POST", "/api/files/read") == (400, "VALIDATION_ERROR")
    assert served.refused("GET", "/api/git/status")[1] == "NO_REPOSITORY"
    assert served.refused("GET", "/no/such/route")[0] == 404
    assert served.refused("GET", "/api/files/read")[0] == 405
    assert served.client.post("/api/files/read", content=b"{nonsense").json()["error"] == "INVALID_REQUEST"


def test_whole_files_of_any_size(served: Served) -> None:
    content = os.urandom(20 << 20)
    digest = hashlib.sha256(content).hexdigest()
    done = served.client.put("/files/deep/er/large", content=content, headers={"X-Content-SHA256": digest}).json()
    assert (done["size"], done["isNewFile"]) == (len(content), True)
    assert served.client.get("/files/deep/er/large").content == content
    assert served.client.get("/files/deep/er/large?offset=20971000").content == content[20971000:]
    wrong = served.client.put("/files/deep/er/large", content=b"x", headers={"X-Content-SHA256": digest})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "VALIDATION_ERROR")
    assert served.client.get("/files/deep/er/large").content == content
    for plain, word in (("", "NOT_EMPTY"), ("?recursive=false", "NOT_EMPTY"), ("?recursive=no", "VALIDATION_ERROR")):
        assert served.refused("DELETE", f"/files/deep{plain}")[1] == word
    assert served.client.delete("/files/deep?recursive").json()["wasAlreadyDeleted"] is False
    served.post("/api/files/write", path="deep/er/f", content="x")
    assert served.client.delete("/files/deep?recursive=true").json()["wasAlreadyDeleted"] is False
    assert served.client.get("/files/deep/er/large").status_code == 404


def test_a_full_disk(served: Served) -> None:
    content = os.urandom(3 << 20)
    with small_disk(served.root / "disk") as disk:
        (disk.path / "old").write_bytes(b"old")
        for fill in (disk.fill, disk.fill_names):
            fill()
            used = disk.used()
            for path, body in (("old", content), ("new", content), ("small", b"x")):
                refused = served.client.put(f"/files/disk/{path}", content=body)
                assert (refused.status_code, refused.json()["error"]) == (507, "DISK_FULL")
            assert served.refused("POST", "/api/files/write", path="disk/old", content="new") == (507, "DISK_FULL")
            assert ((disk.path / "old").read_bytes(), disk.used()) == (b"old", used)
            disk.free()
        assert served.client.put("/files/disk/old", content=content).json()["size"] == len(content)
        assert (disk.path / "old").read_bytes() == content


def test_a_file_that_grows_and_shrinks_is_cut_not_mixed_up(served: Served) -> None:
    (served.root / "log").write_bytes(b"x" * (8 << 20))
    with served.client.stream("GET", "/files/log") as answer:
        assert int(answer.headers["content-length"]) == 8 << 20
        os.truncate(served.root / "log", 10)
        with pytest.raises(httpx2.RemoteProtocolError):
            for _ in answer.iter_raw():
                pass
    assert served.get("/health")["status"] == "healthy"


def test_search(served: Served) -> None:
    served.post("/api/files/write", path="s/one.py", content="needle = 1\nNEEDLE = 2\n")
    served.post("/api/files/write", path="s/two.txt", content="a needle\n")
    found = served.post("/api/search/grep", query="needle", includePattern="*.py")
    assert found["matches"] == ["s/one.py:1:needle = 1", "s/one.py:2:NEEDLE = 2"]
    assert found["matchCount"] == 2
    strict = served.post("/search/grep", query="needle", excludePattern="*.txt", caseSensitive=True)
    assert [each["lineNumber"] for each in strict["detailedMatches"]] == [1]
    assert "s/two.txt" in served.post("/api/search/files", query="two")["files"]
    assert served.post("/search/grep", query="$(touch /tmp/never); `x` needle")["matchCount"] == 0


def test_commands(served: Served) -> None:
    done = served.post("/api/execute/command", command="echo out; echo err >&2; exit 3")
    assert (done["success"], done["exitCode"], done["stdout"], done["stderr"]) == (False, 3, "out\n", "err\n")
    assert served.post("/execute/command", argv=["echo", "a b", "$HOME"])["stdout"] == "a b $HOME\n"
    killed = served.post("/execute/command", command="kill -9 $$")
    assert (killed["exitCode"], killed["signal"]) == (None, 9)
    late = served.post("/execute/command", command="sleep 600", timeout=200)
    assert (late["timedOut"], late["success"]) == (True, False)
    missing = served.post("/execute/command", argv=["no-such-program"])
    assert (missing["success"], missing["state"]) == (False, "failed")
    assert served.post("/execute/command", argv=["printf", r"cut \342\202"])["stdout"] == "cut \ufffd"
    many = served.post("/execute/command", command="yes | head -c 5000000")
    assert (len(many["stdout"]), many["truncated"], many["exitCode"]) == (1 << 20, True, 0)
    assert served.refused("POST", "/execute/command", command="x", argv=["y"])[1] == "VALIDATION_ERROR"
    assert served.refused("POST", "/execute/command", command="x", unknown=1)[1] == "VALIDATION_ERROR"


def test_a_command_in_the_background_and_the_history(served: Served) -> None:
    served.post("/api/terminal/clear")
    started = served.post("/api/execute/command", command="echo first; echo second >&2", isBackground=True)
    path = f"/api/commands/{started['commandId']}"
    eventually(lambda: not served.get(path)["running"], "it has ended")
    assert served.get(path)["exitCode"] == 0
    entries = _entries(served, 3)
    assert {(each["type"], each["data"]) for each in entries[1:]} == {("stdout", "first\n"), ("stderr", "second\n")}
    assert entries[0]["type"] == "command"
    assert {each["processId"] for each in entries} == {started["commandId"]}
    later = served.get(f"/api/terminal/history?sinceId={entries[0]['id']}")["entries"]
    assert later == entries[1:]
    assert served.get("/api/terminal/stats")["stats"]["totalEntries"] == 3
    other = served.post("/api/commands/background", command="sleep 600")["commandId"]
    assert served.client.delete(f"/api/commands/{other}").status_code == 200
    eventually(lambda: not served.get(f"/api/commands/{other}")["running"], "it was killed")


def _entries(served: Served, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = served.get("/api/terminal/history")["entries"]
        return entries if len(entries) == count else []

    return eventually(found, f"there are {count} entries")


def _events(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_a_command_as_events(served: Served) -> None:
    with served.client.stream(
        "POST", "/api/execute/command/stream", json={"command": "echo one; echo two >&2; exit 4"}
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        found = list(_events(answer))
    assert sorted(found[:2]) == [("stderr", {"content": "two\n"}), ("stdout", {"content": "one\n"})]
    assert (found[2][0], found[2][1]["exitCode"]) == ("exit", 4)


def test_who_stops_listening_ends_the_command(served: Served) -> None:
    body = {"command": "echo $$; exec sleep 600"}
    with served.client.stream("POST", "/api/execute/command/stream", json=body) as answer:
        pid = int(next(_events(answer))[1]["content"])
        os.kill(pid, 0)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the command was ended")


def test_the_terminal_as_events(served: Served) -> None:
    served.post("/api/terminal/clear")
    served.post("/execute/command", command="echo before")
    with served.client.stream("GET", "/api/terminal/stream?history=true") as answer:
        events = _events(answer)
        name, replayed = next(events)
        assert (name, [each["data"] for each in replayed]) == ("history", ["echo before", "before\n"])
        httpx2.post(
            f"{served.url}/execute/command",
            json={"command": "echo after"},
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )
        assert [next(events)[1]["data"] for _ in range(2)] == ["echo after", "after\n"]


def test_changes_of_files_as_events(served: Served) -> None:
    with served.client.stream("GET", "/api/watcher/stream") as answer:
        events = _events(answer)
        assert next(events)[0] == "ready"
        (served.root / "watched").mkdir()
        found = next(events)[1]
        assert (found["type"], found["path"]) == ("directory-created", "watched")
        with httpx2.Client(base_url=served.url, headers=dict(served.client.headers), trust_env=False) as other:
            assert other.post("/api/watcher/pause").json()["paused"] is True
            (served.root / "watched" / "unseen").write_text("x")
            assert other.get("/api/watcher/status").json()["watchers"] == 1
            assert other.post("/api/watcher/resume").json()["paused"] is False
        (served.root / "watched" / "seen").write_text("x")
        told: list[dict[str, Any]] = []
        while not told or told[-1]["path"] != "watched/seen":
            told.append(next(events)[1])
        assert told[0]["type"] == "overflow" or told[0]["path"] == "watched/unseen"


@pytest.mark.needs_engine("git")
def test_a_repository(served: Served, tmp_path: Path) -> None:
    for line in ("git init -q -b main .", "git config user.email a@example.org", "git config user.name A"):
        assert served.post("/execute/command", command=line)["success"]
    subprocess.run(["git", "init", "-q", "--bare", str(served.root / "far.git")], check=True)
    served.post("/api/files/write", path=".gitignore", content="/far.git\n/s\n/log\n/e\n/watched\n")
    served.post("/api/git/config", name="Some Body", email="body@example.org")
    user = {"name": "Some Body", "email": "body@example.org"}
    friend = {"name": "A Friend", "email": "friend@example.org"}
    first = served.post("/api/git/commit", user=user, coAuthor=friend, message='First; `$(x)` & "quoted"')
    assert first["committed"] is True
    assert served.post("/api/git/commit", user=user, message="Again")["committed"] is False
    made = served.post("/api/git/branch", baseBranch="main", shadowBranch="work")
    assert (made["branch"], made["baseCommitSha"]) == ("work", first["commitSha"])
    served.post("/api/files/write", path="new", content="1\n2\n")
    assert served.get("/api/git/status")["hasChanges"] is True
    changes = served.post("/api/git/file-changes", baseBranch="main")
    assert changes["diffStats"] == {"additions": 2, "deletions": 0, "totalFiles": 1}
    second = served.post("/api/git/commit", user=user, message="Second")
    assert "+1" in served.post("/api/git/diff-against-base", baseBranch="main")["diff"]
    assert served.get("/api/git/diff")["diff"] == ""
    assert served.get("/api/git/current-branch")["branch"] == "work"
    assert served.get("/api/git/current-commit")["commitSha"] == second["commitSha"]
    messages = served.post("/api/git/commit-messages", baseBranch="main", limit=5)["commitMessages"]
    assert [each.strip() for each in messages] == ["Second"]
    served.post("/execute/command", argv=["git", "remote", "add", "origin", f"{served.root}/far.git"])
    assert served.post("/api/git/push", branchName="work")["changed"] is True
    assert served.post("/api/git/checkout", commitSha=first["commitSha"])["commitSha"] == first["commitSha"]
    assert served.refused("POST", "/api/git/checkout", commitSha="0" * 40)[1] == "COMMIT_NOT_FOUND"
    cloned = served.post("/api/git/clone", repoUrl=f"{served.root}/far.git", branch="work", path="copy")
    assert cloned["commitSha"] == second["commitSha"]


def _raw(served: Served, sent: bytes) -> bytes:
    """Bytes to the server, and all it says before it hangs up."""
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while piece := connection.recv(1 << 16):
            said += piece
    return said


AUTHORISED = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"431"),
        (b"POST /api/files/read HTTP/1.1\r\n" + AUTHORISED + b"Content-Length: nine\r\n\r\n", b"400"),
        (b"POST /api/files/read HTTP/1.1\r\n" + AUTHORISED + b"Content-Length: 9\r\n\r\nshort", b"400"),
        (
            b"POST /api/files/read HTTP/1.1\r\n" + AUTHORISED + b"Content-Length: 20000000\r\n\r\n" + b" " * 11_000_000,
            b"413",
        ),
        (b"GET /files/a%00b HTTP/1.1\r\n" + AUTHORISED + b"\r\n", b"400"),
        (b"GET /files/%ff%fe HTTP/1.1\r\n" + AUTHORISED + b"\r\n", b"400"),
        (b"PUT /files/%ff HTTP/1.1\r\n" + AUTHORISED + b"Content-Length: 1\r\n\r\nx", b"400"),
        (b"GET /api/watcher/stream?path=%ff HTTP/1.1\r\n" + AUTHORISED + b"\r\n", b"400"),
        (b"GET http://[x/health HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET //x/health HTTP/1.1\r\nHost: x\r\n\r\n", b"401"),
        (
            b"POST /api/files/list HTTP/1.1\r\n"
            + AUTHORISED
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
    ],
)
def test_bad_requests_are_answered(served: Served, sent: bytes, status: bytes) -> None:
    said = _raw(served, sent)
    assert said.startswith(b"HTTP/1.1 " + status), said[:200]
    assert served.get("/health")["status"] == "healthy"


def test_one_connection_serves_many_requests(served: Served) -> None:
    (served.root / "many").write_text("x")
    each = b"GET /files/many HTTP/1.1\r\n" + AUTHORISED + b"\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    said = _raw(served, each * 3)
    assert said.count(b"HTTP/1.1 200") == 6
    assert b"connection: close" not in said.lower()


def test_clients_that_do_nothing_hold_nobody_up(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    idle = []
    try:
        for _ in range(200):
            idle.append(socket.create_connection(("127.0.0.1", port)))
            idle[-1].sendall(b"GET /health HTT")
        said = _raw(served, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200"), said[:200]
    finally:
        for connection in idle:
            connection.close()


def test_a_client_that_is_there_at_the_end_is_no_mistake(tmp_path: Path) -> None:
    with _serving(tmp_path, log_file=str(tmp_path / "log")) as served:
        client = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=PATIENCE)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    with client:
        while client.recv(1 << 16):
            pass
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_it_comes_back_with_its_guest(tmp_path: Path) -> None:
    with _serving(tmp_path) as served:
        os.kill(served.guest_pid, signal.SIGKILL)
        eventually(lambda: _answers(served.url), "the sidecar answers again")
        assert served.post("/execute/command", command="echo again")["stdout"] == "again\n"


def test_a_policy_holds_here_too(tmp_path: Path) -> None:
    security = {"allowed_read_paths": None, "allowed_write_paths": None, "command_whitelist": ["echo"]}
    with _serving(tmp_path, security=security) as served:
        assert served.post("/execute/command", argv=["echo", "x"])["stdout"] == "x\n"
        assert served.refused("POST", "/execute/command", argv=["cat"]) == (403, "SECURITY_ERROR")
        assert served.refused("POST", "/execute/command", command="echo x") == (403, "SECURITY_ERROR")
        assert served.refused("GET", "/api/git/status") == (403, "SECURITY_ERROR")
        assert served.refused("POST", "/api/search/grep", query="x") == (403, "SECURITY_ERROR")


@pytest.mark.parametrize("arguments", [["--http", "nonsense"], ["--http", "127.0.0.1:99999"], ["--http", ":80"]])
def test_a_wrong_address_stops_the_start(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"run": str(tmp_path / "run")}))
    argv = [*SERVE, "--config", str(tmp_path / "c.json"), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, "HOST:PORT" in done.stderr) == (WRONG, True)


@pytest.mark.parametrize("named", [True, False])
def test_the_token_is_that_of_the_file_wherever_the_guest_was_started(tmp_path: Path, named: bool) -> None:
    """Named as it is called there, or made where there is none that is whole."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "http.token").touch()
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "c.json").write_text(json.dumps({"run": str(tmp_path / "run"), "security": None}))
    url = f"http://127.0.0.1:{free_port()}"
    argv = [*SERVE, "--config", "c.json", "--http", url.removeprefix("http://")]
    process = subprocess.Popen([*argv, *(["--token-file", "token"] if named else [])], cwd=tmp_path)
    try:
        eventually(lambda: _answers(url), "the sidecar answers")
        token = TOKEN if named else (tmp_path / "run" / "http.token").read_text()
        assert len(token) > 20
        head = {"Authorization": f"Bearer {token}"}
        assert httpx2.get(f"{url}/status", headers=head, trust_env=False).status_code == 200
    finally:
        process.terminate()
        process.wait(PATIENCE)


# --- the channel ---------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_client_and_the_framed_link_over_http(served: Served) -> None:
    way = Way.http(served.url.removeprefix("http://"), TOKEN)
    with anyio.fail_after(PATIENCE):
        async with connect(way) as client:
            assert client.speaks == "stead"
            await client.ping()
            assert (await client.exec("sh", ["-c", "echo over http; exit 3"])).exit_code == 3
            large = os.urandom(1_500_000)
            await client.write("large", large)
            assert (served.root / "large").read_bytes() == large
            assert await client.read("large") == large
        async with GuestLink(way) as link:
            running = await link.toolbox.start(Exec(argv=["cat"], stdin=True))
            await running.write(b"through a pipe")
            await running.close_stdin()
            assert b"".join([piece.data async for piece in running.output()]) == b"through a pipe"
            assert (await running.wait()).exit_code == 0


@pytest.mark.anyio
async def test_a_server_that_accepts_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(PATIENCE):
        way = Way.http(f"127.0.0.1:{silent.getsockname()[1]}", TOKEN)._replace(seconds=0.05)
        with pytest.raises(SteadError, match=r"no channel within 0\.05 s") as caught:
            await way.channel()
        assert caught.value.code == "unavailable"


@pytest.mark.anyio
async def test_a_channel_over_http_is_for_who_has_the_token_and_asks_for_it(served: Served) -> None:
    address = served.url.removeprefix("http://")
    for way, code in (
        (Way.http(address, "another token"), "unauthenticated"),
        (Way.http("127.0.0.1:1", TOKEN), "unavailable"),
        (Way.http("127.0.0.1", TOKEN), "invalid"),
    ):
        with pytest.raises(SteadError) as caught:
            await way.channel()
        assert caught.value.code == code
        if code != "unavailable":
            with anyio.fail_after(PATIENCE / 2), pytest.raises(SteadError) as caught:
                async with GuestLink(way):
                    pass
            assert caught.value.code == code, "nobody waits for what will not be"
    assert served.refused("GET", "/link")[0] == 426
    another = b"GET /link HTTP/1.1\r\n" + AUTHORISED + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert _raw(served, another).startswith(b"HTTP/1.1 426")
    with_body = (
        b"GET /link HTTP/1.1\r\n" + AUTHORISED + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n"
    )
    assert _raw(served, with_body).startswith(b"HTTP/1.1 426")
    assert served.get("/health")["status"] == "healthy"
