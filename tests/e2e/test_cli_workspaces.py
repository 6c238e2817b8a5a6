"""`stead ws`, `command`, `events`, `selfcheck`, as a person and a script use them."""

import json
import select
from collections.abc import Iterator
from itertools import count
from os.path import commonprefix

import pytest

from support.cli import PROGRAM, Cli, ended
from support.deadline import eventually
from support.terminal import Terminal


@pytest.fixture
def made(cli: Cli) -> Iterator[str]:
    """The name of a workspace that the test may change."""
    name = cli.ok("ws", "create").strip()
    yield name
    cli("ws", "rm", name)


def test_create_show_list_and_remove(both: Cli) -> None:
    name = both.ok("ws", "create", "--label", "a=b", "--env", "COLOUR=blue", "--setup", "echo ready > made").strip()
    shown = both.json("ws", "show", name)
    assert (shown["state"], shown["labels"], shown["environment_names"]) == ("running", {"a": "b"}, ["COLOUR"])
    assert shown["setup"] == ["echo ready > made"]
    assert both.ok("exec", name, "--shell", "--", "cat made; echo $COLOUR") == "ready\nblue\n"
    listed = both.json("ws", "ls", "--label", "a=b")["items"]
    assert [item["id"] for item in listed] == [shown["id"]]
    assert both.ok("ws", "rm", shown["id"][:-3]) == f"{name}\n"
    assert name not in both.ok("ws", "ls")


def test_stop_start_and_restart_keep_the_files(cli: Cli, made: str) -> None:
    cli.ok("exec", made, "--shell", "--", "echo kept > note")
    assert cli.ok("ws", "stop", made) == f"{made} stopped\n"
    done = cli("exec", made, "--", "true")
    assert done.returncode == 125
    assert b"stead ws start" in done.stderr
    assert cli.ok("ws", "start", made) == f"{made} running\n"
    assert cli.ok("ws", "restart", made) == f"{made} running\n"
    assert cli.ok("exec", made, "--", "cat", "note") == "kept\n"


def test_rename_and_labels(cli: Cli, made: str) -> None:
    cli.ok("ws", "label", made, "x=1", "y=2")
    cli.ok("ws", "label", made, "x-", "z=3")
    assert cli.json("ws", "show", made)["labels"] == {"y": "2", "z": "3"}
    cli.ok("ws", "rename", made, f"{made}-new")
    cli.ok("ws", "rename", f"{made}-new", made)


def test_what_cannot_be_given_is_refused_with_the_reason(cli: Cli) -> None:
    done = cli("ws", "create", "--isolation", "vm")
    assert done.returncode == 1
    assert b"isolation" in done.stderr
    assert b"  " in done.stderr
    as_data = cli("ws", "create", "--isolation", "vm", "--json")
    assert json.loads(as_data.stderr)["error"]["hint"]


def test_its_commands_and_events_tell_what_happened(cli: Cli, made: str) -> None:
    workspace = cli.json("ws", "show", made)["id"]
    command = cli.json("command", "ls", "--workspace", workspace)["items"][0]
    assert (command["kind"], command["state"]) == ("start", "completed")
    assert cli.json("command", "show", command["id"][:-2])["id"] == command["id"]
    kinds = [event["kind"] for event in cli.json("ws", "events", made)["items"]]
    assert kinds[0] == "workspace.created"
    assert "workspace.created" in cli.ok("events", "--subject", workspace)


def test_events_are_followed_live(cli: Cli, made: str) -> None:
    workspace = cli.json("ws", "show", made)["id"]
    with ended(cli.start("events", "--follow", "--subject", workspace, "--json")) as following:
        assert following.stdout is not None
        turns = count()

        def moved() -> bool:
            cli.ok("ws", "label", made, f"turn={next(turns)}")
            return bool(select.select([following.stdout], [], [], 0)[0])

        eventually(moved, "the live event", every=0.2)
        assert json.loads(following.stdout.readline())["subject"] == workspace


def test_a_terminal_shows_tables_that_fit_and_blocks_where_they_do_not(cli: Cli, made: str) -> None:
    workspace = cli.json("ws", "show", made)["id"]
    with Terminal([PROGRAM, "ws", "ls"], cli.environment, columns=400) as wide:
        assert wide.wait() == 0
    with Terminal([PROGRAM, "ws", "ls"], cli.environment, columns=40) as narrow:
        assert narrow.wait() == 0
    assert workspace in wide.text
    assert "NAME" in wide.text
    assert f"id         {workspace}" in narrow.text


def test_colours_only_where_they_are_wanted(cli: Cli, made: str) -> None:
    variables = {name: value for name, value in cli.environment.items() if name != "NO_COLOR"}
    with Terminal([PROGRAM, "ws", "ls"], variables, columns=400) as coloured:
        assert coloured.wait() == 0
    with Terminal([PROGRAM, "ws", "ls"], {**variables, "NO_COLOR": "1"}, columns=400) as plain:
        assert plain.wait() == 0
    assert b"\x1b[32m" in coloured.seen
    assert b"\x1b[32m" not in plain.seen
    assert "\x1b" not in cli.at(TERM="xterm").ok("ws", "ls")


def test_creating_on_a_terminal_shows_progress_apart_from_the_answer(cli: Cli) -> None:
    with Terminal([PROGRAM, "ws", "create", "on-a-terminal"], cli.environment) as terminal:
        assert terminal.wait() == 0
    assert "making on-a-terminal" in terminal.text
    cli.ok("ws", "rm", "on-a-terminal")


def test_an_ambiguous_beginning_is_told(cli: Cli, made: str) -> None:
    first, second = cli.json("ws", "show", made)["id"], cli.json("ws", "create")["id"]
    done = cli("ws", "show", commonprefix([first, second]))
    cli.ok("ws", "rm", second)
    assert done.returncode == 1
    assert b"Give more of the id" in done.stderr


def test_selfcheck_through_the_whole_path(cli: Cli, made: str) -> None:
    done = cli("selfcheck", made, "--json")
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [outcome for outcome in outcomes if not outcome["ok"]] == []
    assert (done.returncode, len(outcomes) > 30) == (0, True)
