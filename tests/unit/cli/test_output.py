"""Tables, facts and figures as they are printed."""

import json
import sys

import pytest

from stead.api.types import VersionAnswer
from stead.cli import output
from stead.cli.output import Output

COLUMNS = ("name", "id")
ROWS = [("short", "ws_00000000000000000000000001"), ("a-longer-name", "ws_00000000000000000000000002")]


def test_a_pipe_gets_plain_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Output().items([], COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "NAME           ID",
        "short          ws_00000000000000000000000001",
        "a-longer-name  ws_00000000000000000000000002",
    ]


def test_an_empty_list_still_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    Output().items([], COLUMNS, [])
    assert capsys.readouterr().out == "NAME  ID\n"


def test_narrow_terminals_get_blocks_in_which_nothing_is_cut_off() -> None:
    shown = output.blocks(COLUMNS, ROWS)
    assert shown == (
        "name  short\nid    ws_00000000000000000000000001\n\nname  a-longer-name\nid    ws_00000000000000000000000002\n"
    )


def test_the_last_column_is_cut_to_what_a_terminal_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("1", "x" * 200), ("2", "short")]
    assert Output().fitted(("pid", "command"), rows) == rows
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    fitted = Output().fitted(("pid", "command"), rows)
    assert fitted == [("1", "x" * 50 + "..."), ("2", "short")]
    assert output.natural_width(("pid", "command"), fitted) == 60
    monkeypatch.setenv("COLUMNS", "20")
    assert Output().fitted(("pid", "command"), rows) == rows


def test_json_is_the_answer_itself(capsys: pytest.CaptureFixture[str]) -> None:
    answer = VersionAnswer(version="1", protocol="1.0", api="v1")
    Output(json=True).items([answer], COLUMNS, [])
    assert json.loads(capsys.readouterr().out) == {"items": [{"version": "1", "protocol": "1.0", "api": "v1"}]}
    Output(json=True).facts(answer, {})
    assert json.loads(capsys.readouterr().out)["api"] == "v1"


def test_what_is_gone_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=False).gone("ws_1", "box")
    Output(json=True).gone("ws_1", "box")
    assert capsys.readouterr().out == 'box\n{"id":"ws_1","name":"box"}\n'


def test_facts_leave_out_what_is_empty_and_indent_what_is_long(capsys: pytest.CaptureFixture[str]) -> None:
    Output().facts(None, {"name": "x", "nothing": "", "steps": "one\ntwo"})
    assert capsys.readouterr().out == "name     x\nsteps    one\n         two\n"


def test_what_came_from_elsewhere_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    Output().items([], COLUMNS, [("\x1b[2Jevil\x07", "x\r")])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2Jevil\\x07" in shown
    Output().line("\x9b31m")
    assert capsys.readouterr().out == "\\x9b31m\n"


@pytest.mark.parametrize("at, shown", [(100.0, "0s"), (41.0, "59s"), (-500.0, "10m"), (-90_000.0, "1d"), (None, "-")])
def test_ages(at: float | None, shown: str) -> None:
    assert output.age(at, now=100.0) == shown


@pytest.mark.parametrize("size, shown", [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (512 << 20, "512 MiB")])
def test_amounts(size: int, shown: str) -> None:
    assert output.amount(size) == shown


def test_moments_have_their_zone() -> None:
    assert output.moment(0.0) == ""
    assert output.moment(1_700_000_000.0).startswith("2023-11-14")
