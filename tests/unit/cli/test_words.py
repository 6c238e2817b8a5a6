"""Values of the command line, and how words are found and read."""

import argparse
import json
import subprocess
import sys

import pytest

from stead.cli import entry, words
from stead.cli.entry import WORDS, find_word, load, main, parse
from stead.protocol.errors import SteadError


@pytest.mark.parametrize(
    "text, expected", [("30", 30.0), ("1.5", 1.5), ("500ms", 0.5), ("5m", 300.0), ("2h", 7200.0), ("7d", 604_800.0)]
)
def test_times(text: str, expected: float) -> None:
    assert words.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "5 m", "1w", "nan"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        words.seconds(text)


@pytest.mark.parametrize(
    "text, expected", [("512", 512), ("64K", 65_536), ("512M", 512 << 20), ("2GiB", 2 << 30), ("1.5k", 1536)]
)
def test_sizes(text: str, expected: int) -> None:
    assert words.size(text) == expected


@pytest.mark.parametrize("text, expected", [("755", 0o755), ("0", 0), ("4755", 0o4755)])
def test_modes(text: str, expected: int) -> None:
    assert words.mode(text) == expected


@pytest.mark.parametrize("text", ["", "8", "rwx", "-1", "0o755", "77777"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        words.mode(text)


@pytest.mark.parametrize("text", ["", "K", "12X", "-1M"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        words.size(text)


def test_pairs_and_labels() -> None:
    assert words.pair("a=b=c") == ("a", "b=c")
    assert words.label("a-") == ("a", None)
    assert words.relabelled({"a": "1", "b": "2"}, [("a", None), ("c", "3")]) == {"b": "2", "c": "3"}
    for wrong in ("a", "=b"):
        with pytest.raises(argparse.ArgumentTypeError):
            words.pair(wrong)


def test_what_follows_the_dashes_belongs_to_the_command() -> None:
    verb = load(_word("exec"))["exec"]
    read = parse("exec", verb, ["work", "--timeout", "5m", "--", "ls", "--json", "--", "-x"])
    assert (read.workspace, read.timeout, read.command, read.rest) == ("work", 300.0, [], ["ls", "--json", "--", "-x"])
    assert not read.json
    assert parse("exec", verb, ["work", "ls", "--json"]).command == ["ls"]


@pytest.mark.parametrize("name", [name for group in WORDS.values() for name in group])
def test_every_word_has_its_module_and_every_verb_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    word = _word(name)
    verbs = {word.verb: load(word)[word.verb]} if word.verb else load(word)
    for key, verb in verbs.items():
        if verb.raw:
            continue
        with pytest.raises(SystemExit) as ended:
            parse(f"{name} {key}", verb, ["--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert verb.help[1:] in " ".join(shown.split())
        assert "--json" in shown
        assert ("--url" in shown) is not verb.alone


def test_the_first_page_lists_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for group in WORDS.values() for name in group)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "given, told",
    [
        (["wss"], "did you mean 'ws'"),
        (["ws", "creat"], "did you mean 'create'? (`stead ws --help`"),
        (["ws", "show"], "required: WS"),
    ],
)
def test_a_slip_is_answered_with_the_word_that_was_meant(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert told in capsys.readouterr().err


def test_an_error_is_told_with_its_hint_and_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    from stead.cli.context import Context

    error = SteadError("not_found", "no such workspace", request_id="rq_1")
    entry.report(Context(), error)
    assert capsys.readouterr().err.splitlines() == [
        "stead: no such workspace",
        f"  {error.row.hint}",
        "  request rq_1",
    ]
    entry.report(Context(json=True), error)
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "not_found"


def test_help_loads_next_to_nothing() -> None:
    code = "import sys; from stead.cli.entry import main; main(['--help']); print(len(sys.modules), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stdout.splitlines()[-1].split())
    assert not modules & {"anyio", "asyncio", "msgspec", "rich", "httpx2", "websockets", "argparse", "typing"}


def _word(name: str) -> entry.Word:
    word = find_word(name)
    assert word is not None
    return word
