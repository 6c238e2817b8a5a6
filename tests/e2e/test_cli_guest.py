"""`stead guest`: what a person does with the guest of a machine, through nothing but its socket."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Cli
from support.deadline import eventually
from support.engines import which
from support.guests import GuestProcess


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    with GuestProcess(tmp_path_factory.mktemp("guest")) as guest:
        yield guest


@pytest.fixture(scope="module")
def stead(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Without any control plane."""
    return Cli({"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home")), "STEAD_KEEPER": "0"})


@pytest.fixture
def socket(ours: GuestProcess) -> tuple[str, str]:
    return "--socket", str(ours.run / "guest.sock")


def test_a_command_has_its_output_and_its_code(stead: Cli, socket: tuple[str, str]) -> None:
    done = stead("guest", "exec", *socket, "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"out\n", b"err\n")
    assert stead("guest", "exec", *socket, "--timeout", "500ms", "--", "sleep", "600").returncode == 124
    assert stead("guest", "exec", *socket, "--", "no-such-program").returncode == 127
    assert stead("guest", "exec", "--socket", "/nowhere.sock", "--", "true").returncode == 125


def test_all_that_a_command_prints_comes_and_one_answer_says_what_it_left_out(
    stead: Cli, socket: tuple[str, str]
) -> None:
    argv = ("--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    done = stead("guest", "exec", *socket, *argv)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 3_000_000, b"end\n")
    answer = stead("guest", "exec", *socket, "--json", *argv)
    assert json.loads(answer.stdout)["truncated"] is True
    assert b"without --json" in answer.stderr


def test_what_was_printed_until_the_time_was_over_is_shown(stead: Cli, socket: tuple[str, str]) -> None:
    argv = ("--timeout", "2s", "--", "sh", "-c", "echo begun; exec sleep 600")
    done = stead("guest", "exec", *socket, *argv)
    assert (done.returncode, done.stdout) == (124, b"begun\n")
    assert b"time" in done.stderr


def test_files_go_both_ways(stead: Cli, socket: tuple[str, str], tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "source").write_bytes(content)
    stead.ok("guest", "write", "a/b", str(tmp_path / "source"), "--parents", "--mode", "600", *socket)
    assert stead("guest", "read", "a/b", *socket).stdout == content
    stead.ok("guest", "write", "small", *socket, input=b"by hand")
    assert stead.ok("guest", "read", "small", *socket) == "by hand"


def test_ping_info_and_bare_requests(stead: Cli, socket: tuple[str, str]) -> None:
    assert stead.json("guest", "ping", *socket)["speaks"] == "stead"
    assert stead.json("guest", "info", *socket)["agent"]["protocol_version"] == "1.0.0"
    assert json.loads(stead.ok("guest", "call", "ping", *socket))["pong"] is True
    failed = stead("guest", "call", "file_read", '{"path": "nothing"}', *socket)
    assert failed.returncode == 1
    assert b"nothing" in failed.stderr
    assert stead("guest", "call", "file_read", "{not json", *socket).returncode == 1


def test_nobody_there_is_told_without_a_word_of_a_control_plane(stead: Cli) -> None:
    done = stead("guest", "ping", "--socket", "/nowhere.sock")
    assert done.returncode == 1
    assert b"nowhere.sock" in done.stderr
    assert b"stead up" not in done.stderr
    assert b"octal digits" in stead("guest", "write", "--socket", "/nowhere.sock", "f", "--mode", "rwx").stderr


def test_selfcheck_straight_to_a_guest(stead: Cli, socket: tuple[str, str]) -> None:
    done = stead("guest", "selfcheck", *socket, "write-then-read", "a-result-has-everything")
    assert (done.returncode, done.stderr) == (0, b"stead: 2 held, 0 failed, 0 skipped\n")
    assert [line.split()[:2] for line in done.stdout.decode().splitlines()] == [
        ["ok", "write-then-read"],
        ["ok", "a-result-has-everything"],
    ]


@pytest.mark.parametrize("script", [(), ("--script", '{"latency": 0.001}')])
def test_selfcheck_of_a_directory_here(stead: Cli, tmp_path: Path, script: tuple[str, ...]) -> None:
    checks = ("write-then-read", "kill", "replace-text", "sessions-are-execs")
    printed = stead.ok("selfcheck", "--local", str(tmp_path), *script, *checks)
    assert [line.split()[0] for line in printed.splitlines()] == ["ok"] * 4
    assert list(tmp_path.iterdir()) == []
    failing = stead("selfcheck", "--local", str(tmp_path), "--script", '{"fail_rate": 1}', "kill")
    assert (failing.returncode, failing.stdout.split()[0]) == (1, b"FAILED")
    assert stead("selfcheck").returncode == 1


def test_selfcheck_of_a_directory_here_has_the_programs_of_the_shell(stead: Cli, tmp_path: Path) -> None:
    words = ("selfcheck", "--local", str(tmp_path), "git-status")
    assert stead.at(PATH="/nowhere").ok(*words).split()[0] == "skipped"
    assert stead.ok(*words).split()[0] == "ok"


@pytest.mark.needs_engine("qemu-ga")
def test_a_machine_with_qemu_ga(stead: Cli, tmp_path: Path) -> None:
    program = which("qemu-ga")
    assert program is not None
    path = tmp_path / "ga.sock"
    argv = [program, "-m", "unix-listen", "-p", str(path), "-t", str(tmp_path), "--blacklist=guest-shutdown"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(path.exists, "qemu-ga listens")
        socket = ("--socket", str(path))
        assert stead.json("guest", "info", *socket)["system"]["kernel_version"] == os.uname().release
        assert "lo" in stead.ok("guest", "network", *socket)
        assert stead.json("guest", "disks", *socket)["items"]
        assert stead("guest", "exec", *socket, "--", "sh", "-c", "exit 3").returncode == 3
        assert json.loads(stead.ok("guest", "call", "guest-get-host-name", *socket))["host-name"]
        assert b"no toolbox" in stead("guest", "selfcheck", *socket).stderr
    finally:
        process.kill()
        process.wait()
