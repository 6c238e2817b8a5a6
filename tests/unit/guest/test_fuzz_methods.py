"""The guest's JSON-RPC methods and its HTTP routes under every kind of wrong request: each is answered, and the guest lives.

Params and bodies are built from the fields that each method and route has: right ones, nearly right ones, rubbish; broken
lines come between them. What is sent goes to a real guest, as a workspace has it and as a machine under a policy has it.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.guest.sidecar import commands, files, repository
from stead.guest.sidecar.routes import Sidecar
from stead.protocol import guest as wire
from stead.testing.server import free_port
from support.deadline import PATIENCE, eventually
from support.guests import GuestProcess

TOKEN = "the-token-of-these-tests"
CODES = {
    *(wire.PARSE, wire.INVALID_REQUEST, wire.METHOD_NOT_FOUND, wire.INVALID_PARAMS),
    *(wire.COMMAND_FAILED, wire.PERMISSION_DENIED, wire.NOT_FOUND, wire.TIMED_OUT),
}
UNAVAILABLE = {503, 504, 507}
METHODS = [name for name in wire.METHODS if name != wire.UPGRADE]
PROGRAMS = ["true", "echo"]

MARKS = {
    '"<deep>"': "[" * 400 + "]" * 400,
    '"<deeper>"': '{"a":' * 3000 + "0" + "}" * 3000,
    '"<long number>"': "9" * 5000,
    '"<infinite>"': "1e400",
    '"<no number>"': "NaN",
    '"<surrogate>"': '"\\udc80"',
}
"""What no Python value can be, and where it stands in what is sent."""

PATHS = [
    *("a", "", ".", "..", "/", "//", "../../x", "a/../../x", "~", "$(id)", "%00", "\\", "-rf", "a\0b", "new\nline"),
    *("x" * 255, "x" * 256, "x" * 4096, "d/" * 30, "d/" * 2049, "\u202e\U0001f600", "a/b", "a/"),
    *("/proc/self/mem", "/proc/self/root/..", "/proc/self/fd/0", "/proc/self/pagemap", "/proc/1/environ"),
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/stdin", "pipe", "loop", "out"),
]
WORDS = [
    *PATHS,
    "utf8",
    "base64",
    "0644",
    "7777",
    "-1",
    "0o9",
    "\u0663",
    "aGk=",
    "main",
    "HEAD",
    "1" * 400,
    "*.py",
    "(",
    "[a",
]
TEXT = st.sampled_from(WORDS) | st.text(max_size=12)
NUMBER = st.sampled_from([0, 1, -1, 5, 0.5, 1e-9, 1e300, 1 << 31, 1 << 53, 1 << 63, 1 << 64, -(1 << 63), 1 << 90])
RUBBISH = (
    st.none()
    | st.booleans()
    | NUMBER
    | TEXT
    | st.sampled_from([mark.strip('"') for mark in MARKS])
    | st.sampled_from([[], {}, [[]], [None], {"": {}}, [1, "a"], {"a\0b": [1]}])
)
NOISE = st.sampled_from(
    [b"\xff\xfe\x80", b"{", b"\0\0\0", b"[]", b"5", b'"x', b"nonsense", b"\r", b" ", b""]
) | st.binary(max_size=20)


def _fuzzed(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


def _encoded(value: object) -> bytes:
    """As JSON, with what stands for what Python cannot say put in."""
    text = json.dumps(value)
    for mark, meant in MARKS.items():
        text = text.replace(mark, meant)
    return text.encode()


def _likely(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type takes."""
    if kind is str:
        return TEXT
    if kind is bool:
        return st.booleans()
    if kind in {int, float}:
        return NUMBER
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _object(kind)
    found = msgspec.inspect.type_info(kind)
    if isinstance(found, msgspec.inspect.LiteralType):
        return st.sampled_from(found.values)
    if isinstance(found, msgspec.inspect.ListType):
        return st.lists(TEXT, max_size=3)
    if isinstance(found, msgspec.inspect.DictType):
        return st.dictionaries(TEXT, TEXT, max_size=2)
    return st.none() | TEXT


def _object(kind: type) -> st.SearchStrategy[Any]:
    """All that is needed, well typed; then perhaps one field wrong, missing or unknown; or no object at all."""
    fields = msgspec.structs.fields(kind)
    needed = {each.encode_name: _likely(each.type) for each in fields if each.required}
    others = {each.encode_name: _likely(each.type) for each in fields if not each.required}
    right = st.fixed_dictionaries(needed, optional=others)
    names = st.sampled_from([*needed, *others, "other"])
    wrong = st.builds(lambda found, name, value: found | {name: value}, right, names, RUBBISH)
    missing = st.builds(lambda found, name: {key: found[key] for key in found if key != name}, right, names)
    return _mostly(right, wrong, missing)


def _mostly(usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual one three times in four."""
    return st.integers(0, 4 * len(others) - 1).flatmap(
        lambda drawn: usual if drawn < 3 * len(others) else others[drawn % len(others)]
    )


def _params(method: str, root: str = "") -> st.SearchStrategy[Any]:
    """Programs are only harmless ones, and what is none; half of the paths are below that root."""
    found = _object(wire.METHODS[method].params)
    if method in {"file_read", "file_write"}:
        below = found.map(lambda given: given | {"path": f"{root}/{given['path']}"} if "path" in given else given)
        found = st.one_of(found, below) if root else found
    if method == "exec_command":
        programs: st.SearchStrategy[object] = st.sampled_from(
            [*PROGRAMS, *PROGRAMS, "", "..", "no-such-program", "a\0b", "/dev/null", 5, None, []]
        )
        found = st.builds(lambda given, program: given | {"command": program}, found, programs)
    return _mostly(found, RUBBISH)


class Lines:
    """A client that counts what is answered."""

    def __init__(self, guest: GuestProcess) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(guest.run / "guest.sock"))
        self._answers = self._socket.makefile("rb")
        self._number = 0

    def send(self, data: bytes, cut: int = 0) -> None:
        """In two pieces, where it is cut."""
        for piece in (data[:cut], data[cut:]):
            self._socket.sendall(piece)

    def receive(self) -> Any:
        line = self._answers.readline()
        assert line.endswith(b"\n"), "the guest closed the channel"
        assert len(line) <= wire.LINE_BYTES
        return json.loads(line)

    def new(self) -> int:
        """The id of one more request."""
        self._number += 1
        return self._number

    def settle(self, number: int, others: int) -> dict[str, Any]:
        """The answer with this id, after so many to lines that are none; and then a ping's."""
        alive = self.new()
        self.send(_encoded(_request(alive, "ping")) + b"\n")
        found = [self.receive() for _ in range(others + 2)]
        pongs = [each for each in found if each["id"] == alive]
        mine = [each for each in found if each["id"] == number]
        assert [each["result"]["pong"] for each in pongs] == [True]
        refused = [each for each in found if each["id"] is None]
        assert {each["error"]["code"] for each in refused} <= {wire.PARSE, wire.INVALID_REQUEST}
        if not mine:
            assert len(refused) == others + 1, found
            assert wire.PARSE in {each["error"]["code"] for each in refused}
            return cast("dict[str, Any]", refused[-1])
        assert (len(mine), len(refused)) == (1, others), found
        return cast("dict[str, Any]", mine[0])

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def _request(number: object, method: object, params: object = None) -> dict[str, object]:
    base: dict[str, object] = {"jsonrpc": "2.0", "id": number, "method": method}
    return base if params is None else base | {"params": params}


def _checked(answer: dict[str, Any]) -> None:
    """A result or an error of the protocol."""
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer), answer
    if "error" in answer:
        assert answer["error"]["code"] in CODES, answer
        assert isinstance(answer["error"]["message"], str)


def _places(root: Path) -> None:
    """What a hostile path may meet below the root."""
    (root / "a").mkdir()
    (root / "a" / "b").write_text("one\ntwo\n")
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to("/etc")
    os.mkfifo(root / "pipe")


def _repository(root: Path) -> None:
    """With one commit, where there is git."""
    if git := shutil.which("git"):
        person = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        for words in (("init", "-q", "-b", "main"), ("add", "a"), (*person, "commit", "-q", "-m", "First")):
            subprocess.run([git, *words], cwd=root, check=True)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    """The guest of a workspace, which serves HTTP too."""
    place = tmp_path_factory.mktemp("workspace")
    (place / "token").write_text(TOKEN)
    door = {"kind": "http", "where": f"127.0.0.1:{free_port()}", "token_file": str(place / "token")}
    with GuestProcess(place, guest={"doors": [door]}) as guest:
        _places(guest.root)
        _repository(guest.root)
        yield guest
        assert guest.state()["guest_restarts"] == 0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    """One that sees the whole machine, and may change one directory and run two programs."""
    place = tmp_path_factory.mktemp("machine")
    policy = {"write_paths": [str(place / "home")], "programs": PROGRAMS, "max_file_bytes": 1 << 20}
    with GuestProcess(place, root="/", guest={"policy": policy}) as guest:
        _places(guest.root)
        yield guest
        assert guest.state()["guest_restarts"] == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["workspace", "machine"])
def test_every_method_answers_whatever_it_is_given(request: pytest.FixtureRequest, kind: str, method: str) -> None:
    guest: GuestProcess = request.getfixturevalue(kind)
    before = guest.state()["guest_pid"]

    with closing(Lines(guest)) as lines:

        @_fuzzed(40)
        @given(params=_params(method, str(guest.root)), noise=st.lists(NOISE, max_size=2), cut=st.integers(0, 200))
        def ask(params: object, noise: list[bytes], cut: int) -> None:
            number = lines.new()
            line = _encoded(_request(number, method, params))
            between = b"".join(each + b"\n" for each in [*noise, line[: cut % len(line)]])
            lines.send(between + line + b"\n", cut)
            answer = lines.settle(number, sum(1 for each in between.split(b"\n") if each.strip()))
            _checked(answer)
            if method in {"shutdown", "reboot"}:
                assert "error" in answer

        ask()
    assert guest.state()["guest_pid"] == before


@pytest.mark.parametrize("kind", ["workspace", "machine"])
def test_every_hostile_path_is_answered(request: pytest.FixtureRequest, kind: str) -> None:
    guest: GuestProcess = request.getfixturevalue(kind)
    with closing(Lines(guest)) as lines:
        for path in [*PATHS, *(f"{guest.root}/{each}" for each in PATHS)]:
            for method, more in (
                ("file_read", {}),
                ("file_read", {"encoding": "base64"}),
                ("file_write", {"content": "x", "permissions": "0600"}),
                ("file_write", {"content": "", "create_dirs": True}),
            ):
                number = lines.new()
                lines.send(_encoded(_request(number, method, {"path": path} | more)) + b"\n")
                answer = lines.settle(number, 0)
                _checked(answer)
                assert answer["id"] == number
    assert not (guest.root.parent / "x").exists()


@_fuzzed(60)
@given(number=RUBBISH | st.integers(), method=RUBBISH | st.sampled_from(METHODS[:3]), more=RUBBISH)
def _envelopes(lines: Lines, number: object, method: object, more: object) -> None:
    """Requests whose own members are wrong."""
    line = _encoded(_request(number, method) | {"jsonrpc": "2.0" if more else more, "more": more})
    lines.send(line + b"\n")
    answer = lines.receive()
    _checked(answer)
    assert answer["id"] == number or answer["error"]["code"] in {wire.PARSE, wire.INVALID_REQUEST}
    _checked(lines.settle(_ping(lines), 0))


def _ping(lines: Lines) -> int:
    number = lines.new()
    lines.send(_encoded(_request(number, "ping", {})) + b"\n")
    return number


def test_requests_that_are_none(workspace: GuestProcess) -> None:
    with closing(Lines(workspace)) as lines:
        _envelopes(lines)


def test_batches_are_answered_one_for_one(workspace: GuestProcess) -> None:
    cheap = [name for name in METHODS if name != "exec_command"]
    one = st.sampled_from(cheap).flatmap(lambda name: st.tuples(st.just(name), _params(name)))

    with closing(Lines(workspace)) as lines:

        @_fuzzed(30)
        @given(batch=st.lists(one, min_size=1, max_size=5))
        def ask(batch: list[tuple[str, object]]) -> None:
            requests = [_request(lines.new(), name, params) for name, params in batch]
            lines.send(_encoded(requests) + b"\n")
            answers = lines.receive()
            if isinstance(answers, dict):
                assert answers["error"]["code"] == wire.PARSE
                return
            for answer in answers:
                _checked(answer)
            assert [answer["id"] for answer in answers] == [each["id"] for each in requests]

        ask()
        assert "result" in lines.settle(_ping(lines), 0)


@pytest.mark.parametrize("most", [wire.LINE_BYTES - 1, wire.LINE_BYTES, 3 * wire.LINE_BYTES])
def test_lines_about_as_long_as_may_be(workspace: GuestProcess, most: int) -> None:
    with closing(Lines(workspace)) as lines:
        number = lines.new()
        line = _encoded(_request(number, "file_read", {"path": ""}))
        lines.send(line.replace(b'"path": "', b'"path": "' + b"x" * (most - len(line))) + b"\n", most // 2)
        answer = lines.receive()
        _checked(answer)
        assert answer["id"] == (number if most < wire.LINE_BYTES else None)
        assert "result" in lines.settle(_ping(lines), 0)


# --- HTTP ----------------------------------------------------------------------------------------------------------------


class Nothing(msgspec.Struct):
    """The body of what reads none."""


BODIES: dict[tuple[str, str], type] = {
    ("POST", "/api/files/read"): files.ReadBody,
    ("POST", "/api/files/stats"): files.OnePath,
    ("POST", "/api/files/write"): files.WriteBody,
    ("POST", "/api/files/delete"): files.OnePath,
    ("POST", "/api/files/list"): files.OnePath,
    ("POST", "/api/files/list-recursive"): files.OnePath,
    ("POST", "/api/files/search-replace"): files.ReplaceBody,
    ("POST", "/api/search/files"): files.NamesBody,
    ("POST", "/api/search/grep"): files.GrepBody,
    ("POST", "/search/files"): files.NamesBody,
    ("POST", "/search/grep"): files.GrepBody,
    ("POST", "/api/execute/command"): commands.Command,
    ("POST", "/execute/command"): commands.Command,
    ("POST", "/api/execute/command/stream"): commands.Command,
    ("POST", "/api/commands/background"): commands.Command,
    ("POST", "/api/git/clone"): repository.CloneBody,
    ("POST", "/api/git/config"): repository.Author,
    ("POST", "/api/git/branch"): repository.BranchBody,
    ("POST", "/api/git/diff-against-base"): repository.BaseBody,
    ("POST", "/api/git/checkout"): repository.CheckoutBody,
    ("POST", "/api/git/commit-messages"): repository.BaseBody,
    ("POST", "/api/git/commit"): repository.CommitBody,
    ("POST", "/api/git/push"): repository.PushBody,
    ("POST", "/api/git/file-changes"): repository.BaseBody,
}
ROUTES: list[tuple[str, str]] = list(Sidecar(cast(Any, None), cast(Any, None), cast(Any, None))._routes)
QUERIES = {
    "/files/*": ["offset", "recursive"],
    "/api/terminal/history": ["count", "sinceId"],
    "/api/terminal/stream": ["history"],
    "/api/watcher/stream": ["path"],
}
NUMERALS = [
    "",
    "0",
    "00",
    "-0",
    "+1",
    "1.0",
    "1e3",
    "1_0",
    " 1",
    "\u0663",
    "\xb2",
    *("9" * length for length in (15, 18, 5000)),
]
WITHOUT_END = {b"/api/terminal/stream": 0, b"/api/watcher/stream": 1}
"""Event streams that do not end, and how many lines of each come at once."""


class Asked(NamedTuple):
    """One request."""

    target: bytes
    body: bytes
    digest: str


def _bodies(route: tuple[str, str]) -> st.SearchStrategy[bytes]:
    kind = BODIES.get(route, Nothing)
    found = _object(kind)
    if kind is commands.Command:
        harmless = st.sampled_from(
            [{"argv": ["true"]}, {"argv": ["echo", "a\udcff"]}, {"argv": ["no-such-program"]}, {}]
        )
        found = st.builds(lambda given, program: given | {"command": "", "argv": []} | program, found, harmless)
    if kind is repository.CloneBody:
        found = st.builds(lambda given, url: given | {"repoUrl": url}, found, st.sampled_from(PATHS))
    whole = _mostly(found, RUBBISH).map(_encoded)
    return _mostly(whole, whole.map(lambda body: body[: len(body) // 2]), NOISE)


def _targets(path: str) -> st.SearchStrategy[bytes]:
    base = path.removesuffix("*").encode()
    rest = TEXT.map(lambda text: quote(text, safe="/").encode()) | st.binary(max_size=8).map(
        lambda raw: quote(raw).encode()
    )
    raw = st.sampled_from([b"a b", b"\xff", b"\x01", b"%", b"%zz", b"%2e%2e/%2e%2e/x", b"a#b", b"//x", b";"])
    paths = st.one_of(rest, rest, raw).map(lambda end: base + end) if path.endswith("*") else st.just(base)
    values = TEXT.map(quote) | st.sampled_from(NUMERALS).map(quote)
    queries = st.dictionaries(st.sampled_from([*QUERIES.get(path, []), "other"]), values, max_size=2).map(
        lambda found: "&".join(f"{name}={value}" for name, value in found.items()).encode()
    )
    return st.builds(lambda path, query: path + (b"?" + query if query else b""), paths, queries)


def _asked(route: tuple[str, str]) -> st.SearchStrategy[Asked]:
    digests = st.sampled_from(["", "", "", "0" * 64, "\xe9", "x"])
    return st.builds(Asked, _targets(route[1]), _bodies(route), digests)


class Door:
    """The address of a guest that serves HTTP."""

    def __init__(self, guest: GuestProcess) -> None:
        host, _, port = json.loads(guest.config.read_text())["guest"]["doors"][0]["where"].rpartition(":")
        self._address = (host, int(port))

    def ask(self, method: str, asked: Asked) -> int:
        """The status; what is answered is well formed."""
        with socket.create_connection(self._address, timeout=PATIENCE) as connection:
            head = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nX-Content-SHA256: {asked.digest}\r\n".encode("latin-1")
            length = f"Content-Length: {len(asked.body)}\r\n\r\n".encode()
            connection.sendall(method.encode() + b" " + asked.target + b" HTTP/1.1\r\n" + head + length + asked.body)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            lines = WITHOUT_END.get(asked.target.partition(b"?")[0])
            if lines is not None and answer.status == 200:
                for _ in range(lines):
                    assert answer.readline().endswith(b"\n"), "the stream broke"
                connection.shutdown(socket.SHUT_WR)
            told = answer.read()
            if answer.headers["content-type"] == "application/json" and method != "HEAD":
                said = json.loads(told)
                assert answer.status == 200 or (said["success"] is False and said["message"]), said
            return answer.status

    def healthy(self) -> bool:
        try:
            return self.ask("GET", Asked(b"/health", b"", "")) == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def door(workspace: GuestProcess) -> Door:
    found = Door(workspace)
    eventually(found.healthy, "the sidecar answers")
    return found


def test_every_route_has_its_body() -> None:
    assert {route for route in ROUTES if route[0] == "POST" and "*" not in route[1]} - BODIES.keys() == {
        ("POST", "/api/terminal/clear"),
        ("POST", "/api/watcher/pause"),
        ("POST", "/api/watcher/resume"),
    }
    assert set(BODIES) <= set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_route_answers_whatever_it_is_given(door: Door, workspace: GuestProcess, route: tuple[str, str]) -> None:
    before = workspace.state()["guest_pid"]

    @_fuzzed(15 if "/git/" in route[1] else 40)
    @given(asked=_asked(route))
    def ask(asked: Asked) -> None:
        status = door.ask(route[0], asked)
        assert status < 500 or status in UNAVAILABLE
        assert status == 426 or route[1] != wire.LINK_PATH or status == 400

    ask()
    assert door.healthy()
    assert workspace.state()["guest_pid"] == before


@pytest.mark.parametrize("query", ["/api/terminal/history?count", "/api/terminal/history?sinceId", "/files/a/b?offset"])
def test_numbers_in_a_query(door: Door, query: str) -> None:
    for numeral in NUMERALS:
        assert door.ask("GET", Asked(f"{query}={quote(numeral)}".encode(), b"", "")) in {200, 400, 404, 409, 416}
    assert door.healthy()


@_fuzzed(40)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "X", ""]),
    asked=st.builds(Asked, st.sampled_from(["/", "/no", "*", ""]).flatmap(_targets), NOISE, st.just("")),
)
def _elsewhere(door: Door, method: str, asked: Asked) -> None:
    assert 400 <= door.ask(method, asked) < 500


def test_what_is_no_route_is_refused(door: Door) -> None:
    _elsewhere(door)
    assert door.healthy()
