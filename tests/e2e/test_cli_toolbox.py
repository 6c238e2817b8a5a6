"""`stead toolbox`: every operation by its name."""

import json
from collections.abc import Iterator

import pytest

from stead.api.toolbox import declared
from support.cli import Cli


@pytest.fixture(scope="module")
def workspace(cli: Cli) -> Iterator[str]:
    name = cli.ok("ws", "create").strip()
    yield name
    cli("ws", "rm", name)


def test_all_are_listed_with_their_right(cli: Cli) -> None:
    found = {each["name"]: each["right"] for each in cli.json("toolbox")["items"]}
    assert set(found) == set(declared().operations)
    assert (found["git.status"], found["git.commit"]) == ("workspace:read", "workspace:exec")
    assert "Commits, newest first." in cli.ok("toolbox")
    assert b"the workspace comes first" in cli("toolbox", "git.status").stderr


def test_a_repository_from_nothing_to_a_commit(cli: Cli, workspace: str) -> None:
    cli.ok("exec", workspace, "--", "git", "init", "-q", "-b", "main", "page")
    ask = ("toolbox", workspace)
    cli.ok(*ask, "text.write", "path=page/a", "content=x = 1\n")
    edited = cli.ok(*ask, "text.edit", "path=page/a", 'edits=[{"old": "1", "new": "2"}]')
    assert json.loads(edited)["lines_added"] == 1
    author = 'author={"name": "Ann", "email": "ann@example.org"}'
    cli.ok(*ask, "git.commit", "directory=page", "message=12", author, "all=true")
    assert json.loads(cli.ok(*ask, "git.log", "directory=page", "limit=5"))["commits"][0]["message"] == "12"
    typed = json.dumps({"path": "page/a", "first": 1}).encode()
    assert json.loads(cli.ok(*ask, "text.read", "-", input=typed))["content"] == "x = 2\n"


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["git.nothing"], 1, "no operation"),
        (["git.log", "limit=many"], 1, "limit"),
        (["git.log", "of=x"], 1, "of"),
        (["git.log", "limit"], 2, "key=value"),
        (["text.edit", "path=a", "edits=[{"], 1, "params"),
        (["text.read", "path=../x"], 1, "../x"),
        (["git.fetch", 'credential={"password": "x"}'], 1, "stdin"),
    ],
)
def test_mistakes_are_told(cli: Cli, workspace: str, words: list[str], code: int, message: str) -> None:
    done = cli("toolbox", workspace, *words)
    assert done.returncode == code
    assert message in done.stderr.decode()
