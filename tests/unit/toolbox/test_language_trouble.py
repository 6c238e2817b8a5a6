"""Language servers that misbehave, played by a program; what they do costs nobody else anything."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import psutil
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.language.contract import FILE_BYTES
from stead.toolbox.language.documents import Documents
from stead.toolbox.language.pool import pool
from stead.toolbox.watch.hub import hub
from support.areas import Here
from support.deadline import PATIENCE, eventually_async

pytestmark = pytest.mark.anyio

SERVER = """#!PYTHON
import json, os, subprocess, sys, time
mode = open(sys.argv[0] + ".mode").read()
out = sys.stdout.buffer

def send(**message):
    raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

def raw(body):
    out.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
    out.flush()

def receive():
    size = 0
    while line := sys.stdin.buffer.readline().strip():
        size = int(line.split(b":")[1])
    if not size:
        sys.exit(0)
    return json.loads(sys.stdin.buffer.read(size))

def ask(method, params):
    send(id="q", method=method, params=params)
    return receive()

def end(): sys.stderr.write("oh no\\n"); sys.stderr.flush(); os._exit(3)
def flood():
    while True: send(method="window/logMessage", params={"message": "x" * 1000})
def garbage(): out.write(b"Welcome to this server!\\n"); out.flush(); time.sleep(600)
def silence(): time.sleep(600)
def line(): out.write(b"x" * (3 << 20)); out.flush(); time.sleep(600)
def huge(): out.write(b"Content-Length: 99999999999\\r\\n\\r\\n"); out.flush(); time.sleep(600)
def batch(): raw(b"[" * 5000); time.sleep(600)
def child(): subprocess.Popen(["sleep", "600"])

ranges = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
when, _, what = mode.partition(":")
if when == "start":
    globals()[what]()
asked = []
while True:
    message = receive()
    method, number = message.get("method", ""), message.get("id")
    if method == "initialize":
        send(id=number, result={"capabilities": {}})
    elif method in ("textDocument/didOpen", "textDocument/didChange") and when == "publish":
        document = message["params"]["textDocument"]
        def publish(version, text):
            found = [{"range": ranges, "message": text}]
            params = {"uri": document["uri"], "version": version, "diagnostics": found}
            send(method="textDocument/publishDiagnostics", params=params)
        publish(document["version"] - 1, "of an older text")
        publish(document["version"], "first")
        publish(document["version"], "last")
    elif method == "textDocument/hover":
        if when == "hover":
            globals()[what]()
        if when == "ask":
            asked.append(ask("workspace/configuration", {"items": [{}, {}]})["result"])
            asked.append(ask("client/registerCapability", {"registrations": []})["result"])
            asked.append(ask("window/workDoneProgress/create", {"token": 1})["result"])
            asked.append(ask("window/showMessageRequest", {"message": "?"})["result"])
            asked.append(len(ask("workspace/workspaceFolders", None)["result"]))
            asked.append(ask("workspace/applyEdit", {})["result"]["applied"])
            asked.append(ask("what/ever", {})["error"]["code"])
        send(id=number, result=json.loads(what) if when == "hovered" else {"contents": json.dumps(asked)})
    elif method in ("textDocument/definition", "textDocument/references") and when == "place":
        send(id=number, result=json.loads(what))
    elif number is not None:
        send(id=number, error={"code": -32601, "message": "no"})
"""


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Callable[..., Here]]:
    """A workspace with a server that behaves so."""
    made: list[Here] = []

    def make(mode: str, **limits: float) -> Here:
        programs = tmp_path / "programs"
        programs.mkdir(exist_ok=True)
        server = programs / "basedpyright-langserver"
        if not server.exists():
            server.write_text(SERVER.replace("PYTHON", sys.executable))
            server.chmod(0o755)
        (programs / "basedpyright-langserver.mode").write_text(mode)
        root = tmp_path / "w"
        root.mkdir()
        (root / "a.py").write_text("é = 1\n")
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        here = Here(root, PATH=path, STEAD_LANGUAGE=json.dumps({"start_seconds": PATIENCE, **limits}))
        made.append(here)
        return here

    yield make
    for here in made:
        await here.language.stop()
        here.place.close()


def become(here: Here, mode: str) -> None:
    """The next server that starts behaves so."""
    programs = here.place.programs.environment["PATH"].split(os.pathsep)[0]
    (Path(programs) / "basedpyright-langserver.mode").write_text(mode)


async def failing(here: Here, code: str) -> SteadError:
    with pytest.raises(SteadError) as caught, anyio.fail_after(2 * PATIENCE):
        await here.language.hover("a.py", 1, 1)
    assert caught.value.code == code, caught.value.message
    return caught.value


async def test_what_a_server_asks_is_answered(scripted: Callable[..., Here]) -> None:
    hover = await scripted("ask:").language.hover("a.py", 1, 1)
    assert json.loads(hover.text) == [[None, None], None, None, None, 1, False, -32601]


@pytest.mark.parametrize("what", ["end", "garbage", "line", "huge", "batch", "flood"])
@pytest.mark.parametrize("when", ["start", "hover"])
async def test_one_that_misbehaves_is_ended_and_started_anew(
    scripted: Callable[..., Here], when: str, what: str
) -> None:
    here = scripted(f"{when}:{what}")
    error = await failing(here, "lsp_failed")
    assert what != "end" or "oh no" in error.message
    become(here, "well")
    assert (await here.language.hover("a.py", 1, 1)).text == "[]"
    [server] = (await here.language.status()).servers
    assert server.restarts == 1


async def test_one_that_crashes_again_and_again_is_left_alone(scripted: Callable[..., Here]) -> None:
    here = scripted("start:end", crashes=2, crash_seconds=600.0)
    for _ in range(2):
        await failing(here, "lsp_failed")
    become(here, "well")
    assert "left alone" in (await failing(here, "lsp_failed")).message


async def test_one_that_is_never_ready_is_ended(scripted: Callable[..., Here]) -> None:
    here = scripted("start:silence", start_seconds=0.5)
    assert "not ready" in (await failing(here, "lsp_failed")).message
    await eventually_async(lambda: _none_runs(here), "it is gone")


async def test_one_that_never_answers_is_ended_when_it_did_so_twice(scripted: Callable[..., Here]) -> None:
    here = scripted("hover:silence", answer_seconds=0.3)
    await failing(here, "timeout")
    await failing(here, "timeout")
    become(here, "well")
    await eventually_async(lambda: _answers(here), "another one answers")


async def _answers(here: Here) -> bool:
    """Within the short time of the test, which a busy machine may need more than once."""
    try:
        return (await here.language.hover("a.py", 1, 1)).text == "[]"
    except SteadError:
        return False


def _none_runs(here: Here) -> bool:
    return not pool(here.place)._running


async def test_diagnostics_are_those_of_the_present_text(scripted: Callable[..., Here]) -> None:
    here = scripted("publish:")
    for text in (None, "x", "x"):
        found = await here.language.diagnostics("a.py", text)
        assert [each.message for each in found.diagnostics] == ["last"]


@pytest.mark.parametrize(
    ("said", "text", "markdown"),
    [
        (None, "", False),
        ({"contents": {"kind": "plaintext", "value": "p"}}, "p", False),
        ({"contents": {"kind": "markdown", "value": "*m*"}}, "*m*", True),
        ({"contents": ["a", {"language": "python", "value": "b"}]}, "a\n\n```python\nb\n```", True),
    ],
)
async def test_every_form_of_hover(scripted: Callable[..., Here], said: Any, text: str, markdown: bool) -> None:
    hover = await scripted(f"hovered:{json.dumps(said)}").language.hover("a.py", 1, 1)
    assert (hover.text, hover.markdown, hover.server) == (text, markdown, "basedpyright-langserver")


@pytest.mark.parametrize("said", [5, {"contents": 5}, [[]], {"contents": {"value": None}}])
async def test_nonsense_is_told_as_a_failure_of_the_server(scripted: Callable[..., Here], said: Any) -> None:
    await failing(scripted(f"hovered:{json.dumps(said)}"), "lsp_failed")


def _at(line: int, start: int, end: int) -> dict[str, Any]:
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


async def test_places_inside_outside_and_too_many(scripted: Callable[..., Here]) -> None:
    root = "__ROOT__"
    places = [
        {"targetUri": f"file://{root}/a.py", "targetSelectionRange": _at(0, 0, 1), "targetRange": _at(0, 0, 5)},
        {"uri": "file:///etc/passwd", "range": _at(0, 0, 4)},
        {"uri": f"file://{root}/../secret", "range": _at(0, 0, 4)},
        {"uri": f"file://{root}/gone.py", "range": _at(7, 2, 4)},
        {"uri": "bundled:///lib.d.ts", "range": _at(0, 0, 4)},
    ] + [{"uri": f"file://{root}/a.py", "range": _at(0, 4, 5)}] * 1000
    here = scripted("place:")
    (here.root.parent / "secret").write_text("secret\n")
    become(here, "place:" + json.dumps(places).replace(root, str(here.root)))
    found = await here.language.definition("a.py", 1, 1)
    shown = [(each.path, each.line, each.column, each.text, each.outside) for each in found.places[:5]]
    assert shown == [
        ("a.py", 1, 1, "é = 1", False),
        ("/etc/passwd", 1, 1, "", True),
        (shown[2][0], 1, 1, "", True),
        ("gone.py", 8, 3, "", False),
        ("bundled:///lib.d.ts", 1, 1, "", True),
    ]
    assert (len(found.places), found.truncated) == (1000, True)


async def test_what_a_server_cannot_is_told(scripted: Callable[..., Here]) -> None:
    here = scripted("well")
    with pytest.raises(SteadError, match="does not know") as caught:
        await here.language.definition("a.py", 1, 1)
    assert caught.value.code == "lsp_not_found"


async def test_idle_servers_end_and_the_one_not_used_for_longest_makes_room(scripted: Callable[..., Here]) -> None:
    here = scripted("well", servers=2)
    for name in ("one", "two", "three"):
        (here.root / name).mkdir()
        (here.root / name / "pyproject.toml").write_text("")
        (here.root / name / "a.py").write_text("x = 1\n")
        await here.language.hover(f"{name}/a.py", 1, 1)
    servers = (await here.language.status()).servers
    assert [(each.root, each.documents) for each in servers] == [("three", 1), ("two", 1)]


async def test_one_that_is_ended_before_it_began_keeps_nobody_waiting(scripted: Callable[..., Here]) -> None:
    here = scripted("well", start_seconds=10 * PATIENCE)
    codes: list[str] = []

    async def ask() -> None:
        try:
            await here.language.hover("a.py", 1, 1)
        except SteadError as error:
            codes.append(error.code)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while not any(server._task for server in pool(here.place)._running.values()):
                await anyio.lowlevel.checkpoint()
            await here.language.stop()
    assert codes == ["lsp_failed"]
    assert hub(here.place).status() == []


async def test_servers_at_work_make_no_room(scripted: Callable[..., Here]) -> None:
    here = scripted("hover:silence", servers=1)
    (here.root / "two").mkdir()
    (here.root / "two" / "pyproject.toml").write_text("")
    (here.root / "two" / "a.py").write_text("x = 1\n")

    async def runs() -> bool:
        return bool((await here.language.status()).servers)

    async with anyio.create_task_group() as group:
        group.start_soon(here.language.hover, "a.py", 1, 1)
        await eventually_async(runs, "the first one is asked")
        with pytest.raises(SteadError) as caught:
            await here.language.hover("two/a.py", 1, 1)
        group.cancel_scope.cancel()
    assert caught.value.code == "too_many"


async def test_what_is_too_large_for_a_server_is_not_shown(scripted: Callable[..., Here]) -> None:
    here = scripted("well")
    (here.root / "a.py").write_text("#" * (FILE_BYTES + 1))
    for text in (None, "\u00e9" * (FILE_BYTES // 2 + 1)):
        with pytest.raises(SteadError) as caught:
            await here.language.diagnostics("a.py", text)
        assert caught.value.code == "too_large"
    assert _none_runs(here)


@pytest.mark.parametrize("limits", ['{"servers": 0}', '{"crashes": -1}', '{"idle_seconds": 0}', '{"other": 1}', "x"])
async def test_limits_that_are_none_are_told(tmp_path: Path, limits: str) -> None:
    with pytest.raises(SteadError, match="STEAD_LANGUAGE") as caught:
        await Here(tmp_path, STEAD_LANGUAGE=limits).language.status()
    assert caught.value.code == "invalid"


async def test_idle_servers_end(scripted: Callable[..., Here]) -> None:
    here = scripted("well", idle_seconds=0.2)
    await here.language.hover("a.py", 1, 1)
    await eventually_async(lambda: _none_runs(here), "it is ended")
    assert (await here.language.hover("a.py", 1, 1)).text == "[]"
    await eventually_async(lambda: _none_runs(here), "it is ended again")


async def test_nothing_is_left_when_the_place_closes(scripted: Callable[..., Here]) -> None:
    here = scripted("hover:child")
    await here.language.hover("a.py", 1, 1)
    [server] = (await here.language.status()).servers
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) == 2
    here.place.close()
    await eventually_async(lambda: not any(_lives(each) for each in family), "all of them are gone")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def test_questions_at_once_are_answered_one_after_the_other(scripted: Callable[..., Here]) -> None:
    here = scripted("well")
    answers: list[str] = []

    async def ask() -> None:
        answers.append((await here.language.hover("a.py", 1, 1)).text)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert answers == ["[]"] * 20
    assert len((await here.language.status()).servers) == 1


async def test_who_stops_waiting_harms_nobody(scripted: Callable[..., Here]) -> None:
    here = scripted("hover:silence")
    with anyio.move_on_after(0.5):
        await here.language.hover("a.py", 1, 1)
    await here.language.stop()
    become(here, "well")
    assert (await here.language.hover("a.py", 1, 1)).text == "[]"


async def test_the_word_that_a_file_was_closed_is_not_taken_for_its_next_opening() -> None:
    documents = Documents(lambda method, params: None)

    def published(uri: str, *messages: str, version: int | None = None) -> None:
        zero = {"line": 0, "character": 0}
        found = [{"range": {"start": zero, "end": zero}, "message": message} for message in messages]
        said = {"uri": uri, "diagnostics": found} | ({} if version is None else {"version": version})
        documents.published(msgspec.Raw(msgspec.json.encode(said)))

    first = documents.show("/w/a.py", "python", "1 +")
    published(first.uri, "wrong", version=first.version)
    assert [each.message for each in first.problems] == ["wrong"]
    documents.forget("/w/a.py")
    second = documents.show("/w/a.py", "python", "2 +")
    published(second.uri)
    published(second.uri, "of the first", version=first.version)
    assert not second.heard.is_set()
    published(second.uri, "of the second", version=second.version)
    assert second.heard.is_set()
    assert [each.message for each in second.problems] == ["of the second"]


async def test_a_server_that_tells_no_versions_is_heard() -> None:
    documents = Documents(lambda method, params: None)
    shown = documents.show("/w/a.py", "python", "1 +")
    documents.published(msgspec.Raw(msgspec.json.encode({"uri": shown.uri, "diagnostics": []})))
    assert shown.heard.is_set()
