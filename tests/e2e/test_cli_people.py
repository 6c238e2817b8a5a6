"""`stead login`, `logout`, `whoami`, `user`, `token`, `session`, `audit`: credentials from the first link to the last token."""

from pathlib import Path

import pytest

from stead.testing.cluster import Cluster
from support.cli import PROGRAM, Cli
from support.terminal import Terminal


@pytest.fixture
def elsewhere(cluster: Cluster, tmp_path: Path) -> Cli:
    """A person on another machine: no data directory, no credential."""
    variables = {name: value for name, value in cluster.environment.items() if not name.startswith("STEAD_")}
    return Cli({**variables, "HOME": str(tmp_path)})


def test_somebody_new_logs_in_with_the_link_and_out_again(cli: Cli, elsewhere: Cli) -> None:
    link = cli.ok("user", "add", "ada").strip()
    assert elsewhere("whoami").returncode == 1
    elsewhere.ok("login", input=link.encode() + b"\n")
    who = elsewhere.json("whoami")
    assert (who["user"]["name"], who["user"]["role"]) == ("ada", "member")
    assert elsewhere.ok("ws", "ls") == "NAME  STATE  NODE  ISOLATION  AGE  ID\n"
    again = elsewhere("login", input=link.encode())
    assert again.returncode == 1
    forbidden = elsewhere("user", "add", "mallory")
    assert forbidden.returncode == 1
    assert b"administrator" in forbidden.stderr
    assert elsewhere.json("logout") == {"url": link.partition("/login#")[0], "revoked": True}
    assert elsewhere("whoami").returncode == 1
    assert elsewhere("logout").returncode == 1
    cli.ok("user", "rm", "ada")


def test_a_login_code_typed_at_a_terminal_is_not_shown(cli: Cli, elsewhere: Cli) -> None:
    address, _, code = cli.ok("user", "add", "bob").strip().partition("/login#")
    with Terminal([PROGRAM, "login", address], elsewhere.environment) as terminal:
        terminal.expect("login link, code or token:")
        terminal.type(code + "\n")
        terminal.expect("as bob")
        assert terminal.wait() == 0
    assert code not in terminal.text
    cli.ok("user", "rm", "bob")


def test_a_disabled_user_is_locked_out_and_let_in_again(cli: Cli, elsewhere: Cli) -> None:
    elsewhere.ok("login", input=cli.ok("user", "add", "eve").encode())
    cli.ok("user", "disable", "eve")
    assert cli.json("user", "show", "eve")["disabled"] is True
    assert elsewhere("whoami").returncode == 1
    cli.ok("user", "enable", "eve")
    elsewhere.ok("login", input=cli.ok("user", "login", "eve").encode())
    cli.ok("user", "role", "eve", "admin")
    assert "eve" in elsewhere.ok("user", "ls")
    cli.ok("user", "rm", "eve")


def test_a_token_has_its_rights_and_no_more_and_ends_when_revoked(cli: Cli, elsewhere: Cli, cluster: Cluster) -> None:
    secret = cli.ok("token", "create", "reader", "--scope", "workspace:read", "--lifetime", "1h").strip()
    reader = elsewhere.at(STEAD_URL=cluster.url, STEAD_TOKEN=secret)
    assert reader.json("whoami")["scopes"] == ["workspace:read"]
    reader.ok("ws", "ls")
    assert reader("ws", "create").returncode == 1
    assert secret not in cli.ok("token", "ls")
    token_id = next(t["id"] for t in cli.json("token", "ls")["items"] if t["name"] == "reader")
    cli.ok("token", "rm", token_id[:-2])
    assert b"stead login" in reader("whoami").stderr


def test_a_token_from_a_file(cli: Cli, elsewhere: Cli, cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(cli.ok("token", "create", "filed"))
    assert "admin" in elsewhere.ok("whoami", "--url", cluster.url, "--token-file", str(file))
    assert elsewhere("whoami", "--token-file", str(tmp_path / "none")).returncode == 1
    cli.ok("token", "rm", "filed")


def test_everything_is_in_the_audit_log(cli: Cli) -> None:
    cli.ok("token", "create", "audited")
    cli.ok("token", "rm", "audited")
    newest = cli.json("audit", "--limit", "30")["items"]
    assert {"createToken", "deleteToken"} <= {entry["action"] for entry in newest}
    assert "admin" in cli.ok("audit", "--limit", "2")
    assert cli.ok("session", "ls").startswith("USER")
