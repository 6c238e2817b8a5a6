"""Small parts: references, signals, places, login links, exit codes, completion, the kept process."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from stead.cli import completion, exec, keeper, kept  # noqa: A004
from stead.cli.context import Context
from stead.cli.copying import split_place
from stead.cli.login import split_link
from stead.cli.references import pick
from stead.cli.server import said
from stead.protocol.errors import SteadError
from stead.toolbox.contract import ExecState, ExecStatus
from support.deadline import eventually


class Thing(msgspec.Struct):
    id: str
    name: str


async def things() -> AsyncIterator[Thing]:
    for thing in (Thing("tk_aab", "one"), Thing("tk_aac", "two"), Thing("tk_b", "tk_aab2"), Thing("tk_c", "two")):
        yield thing


@pytest.mark.anyio
@pytest.mark.parametrize("reference, found", [("one", "tk_aab"), ("tk_aac", "tk_aac"), ("tk_b", "tk_b")])
async def test_things_are_found_by_name_id_and_beginning(reference: str, found: str) -> None:
    assert (await pick(things(), reference, "token")).id == found


@pytest.mark.anyio
@pytest.mark.parametrize(
    "reference, code", [("nobody", "not_found"), ("", "not_found"), ("tk_aa", "ambiguous"), ("two", "ambiguous")]
)
async def test_what_is_not_or_not_uniquely_there(reference: str, code: str) -> None:
    with pytest.raises(SteadError) as caught:
        await pick(things(), reference, "token")
    assert caught.value.code == code


@pytest.mark.parametrize("text, number", [("TERM", 15), ("sigkill", 9), ("2", 2)])
def test_signals(text: str, number: int) -> None:
    assert exec.signal_number(text) == number


@pytest.mark.parametrize("text", ["SIG_DFL", "\u00b2"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(SteadError):
        exec.signal_number(text)


@pytest.mark.parametrize("number, shown", [(9, "SIGKILL"), (35, "signal 35")])
def test_a_signal_is_shown_by_its_name_if_it_has_one(number: int, shown: str) -> None:
    assert exec._end(ExecStatus(exec_id="ex", state=ExecState.SIGNALLED, signal=number)) == shown


@pytest.mark.parametrize(
    "text, place",
    [("ws:a/b", ("ws", "a/b")), ("ws:", ("ws", ".")), ("./a:b", None), ("a", None), (":x", None), ("/a:b", None)],
)
def test_places_in_workspaces(text: str, place: tuple[str, str] | None) -> None:
    assert split_place(text) == place


def test_a_link_gives_address_and_code() -> None:
    assert split_link(" http://h:1/login#steadl_x\n") == ("http://h:1", "steadl_x")
    assert split_link("stead_x\n") == ("", "stead_x")


@pytest.mark.parametrize(
    "status, code",
    [
        (ExecStatus(exec_id="ex", state=ExecState.EXITED, exit_code=7), 7),
        (ExecStatus(exec_id="ex", state=ExecState.SIGNALLED, signal=9), 137),
        (ExecStatus(exec_id="ex", state=ExecState.TIMED_OUT, signal=9), 124),
        (ExecStatus(exec_id="ex", state=ExecState.FAILED, error="no program"), 127),
        (ExecStatus(exec_id="ex", state=ExecState.UNKNOWN), 125),
    ],
)
def test_exit_codes(status: ExecStatus, code: int) -> None:
    assert exec.exit_code(Context(), status) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_has_every_word_and_is_valid(shell: str) -> None:
    script = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}[shell]()
    assert all(name in script for name in completion.tree())
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True, timeout=30)


def test_completion_in_bash_completes() -> None:
    ask = 'COMP_WORDS=(stead ws cr); COMP_CWORD=2; _stead; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", completion.bash() + ask], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "create"


@pytest.mark.parametrize(
    "words, data",
    [
        (["ws", "ls", "--data", "/a"], "/a"),
        (["ws", "ls", "--data=/b"], "/b"),
        (["exec", "x", "--", "p", "--data", "/c"], "/env"),
    ],
)
def test_the_data_directory_is_found_without_loading_anything(
    words: list[str], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEAD_DATA", "/env")
    assert kept.data_of(words) == data


def test_a_handed_over_request_is_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "a=b\nc\udcff")
    asked = keeper.parse(kept.request(["exec", "x", "--", "", "é"])[4:])
    assert asked.words == ["exec", "x", "--", "", "é"]
    assert asked.environment == dict(os.environ)
    assert asked.directory == str(Path.cwd())


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        keeper._length((keeper.REQUEST_BYTES + 1).to_bytes(4, "big"))


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        keeper.parse(kept.request(["ws"])[4:].replace(b"/", b"|", 1))


@pytest.mark.skipif(sys.platform != "linux", reason="the kept process needs Linux")
def test_the_kept_process_forks_answers_and_ends(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "stead.cli.keeper", str(tmp_path)])
    (tmp_path / "server.json").write_text(f'{{"url": "http://127.0.0.1:9", "pid": {os.getpid()}}}')
    try:
        eventually((tmp_path / kept.SOCKET).exists, "the socket")
        done = subprocess.run(
            [sys.executable, "-m", "stead.cli.entry", "ws", "show"],
            env={**os.environ, "STEAD_DATA": str(tmp_path), kept.OFF: "1"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert b"required: WS" in done.stderr
        assert (tmp_path / kept.SOCKET).stat().st_mode & 0o777 == 0o600
    finally:
        process.terminate()
    assert process.wait(60) == 0
    assert not (tmp_path / kept.SOCKET).exists()


@pytest.mark.parametrize(
    "text, data",
    [
        ("Stead serves at http://h:1", {"url": "http://h:1"}),
        ("Log in as admin: https://h/login#steadl_x", {"login": "https://h/login#steadl_x"}),
        ("stead: cannot listen on h:1: in use", {"message": "stead: cannot listen on h:1: in use"}),
    ],
)
def test_what_the_server_says_as_data(text: str, data: dict[str, str]) -> None:
    assert said(text) == data
