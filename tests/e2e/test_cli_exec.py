"""`stead exec`, `logs`, `execs`, `kill`, as a shell uses them."""

import base64
import contextlib
import hashlib
import json
import signal
import subprocess
from typing import Any

import pytest

from stead.testing.cluster import Cluster
from support.cli import PROGRAM, Cli, ended, in_process
from support.deadline import eventually
from support.terminal import Terminal

Work = dict[str, Any]


def test_output_and_errors_come_apart_and_the_exit_code_through(both: Cli, work: Work) -> None:
    done = both("exec", work["name"], "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_what_follows_the_dashes_is_taken_as_it_is(cli: Cli, work: Work) -> None:
    done = cli("exec", work["name"], "--", "printf", "%s|", "--json", "-x", "a b", "$HOME", "--", "*")
    assert done.stdout == b"--json|-x|a b|$HOME|--|*|"


def test_output_as_lines_of_json(both: Cli, work: Work) -> None:
    line = r"printf 'a\377' >&2; sleep 0.1; echo b; exit 3"
    done = both("exec", work["name"], "--json", "--shell", "--", line)
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert (first["channel"], base64.b64decode(first["base64"])) == ("stderr", b"a\xff")
    assert (second["channel"], second["text"]) == ("stdout", "b\n")
    assert second["cursor"] > first["cursor"]
    assert (last["status"]["state"], last["status"]["exit_code"], done.returncode) == ("exited", 3, 3)
    kept = both("logs", work["name"], last["status"]["exec_id"], "--json")
    assert (kept.stdout, kept.returncode) == (done.stdout, 0)


def test_directory_environment_and_shell(cli: Cli, work: Work) -> None:
    cli.ok("files", "mkdir", work["name"], "a/b", "-p")
    out = cli.ok("exec", work["name"], "--cwd", "a/b", "--env", "A=b c", "--shell", "--", "pwd; echo $A")
    assert out.endswith("/a/b\nb c\n")


def test_a_session_goes_on_where_the_command_before_left_off(both: Cli, work: Work) -> None:
    session = ["exec", work["name"], "--session", "mine"]
    both.ok("shells", work["name"], "--close", "mine")
    done = both(*session, "--shell", "--", "mkdir -p made; cd made; export A='b c'; exit 7")
    assert done.returncode == 7
    assert both.ok(*session, "--shell", "--", 'echo "$A in ${PWD##*/}"') == "b c in made\n"
    assert both.ok(*session, "--env", "B=1", "--", "printenv", "A", "B") == "b c\n1\n"
    assert both.ok(*session, "--", "printf", "%s|", "$A", "a  b", "'") == "$A|a  b|'|"
    assert both(*session, "-i", "--", "cat", input=b"typed").stdout == b"typed"
    assert both(*session, "--timeout", "300ms", "--", "sleep", "60").returncode == 124
    assert b"--cwd" in both(*session, "--cwd", "x", "--", "true").stderr
    shown = next(each for each in both.json("shells", work["name"])["items"] if each["name"] == "mine")
    assert (shown["cwd"], shown["environment"]["A"]) == ("made", "b c")
    assert both.ok("shells", work["name"]).splitlines()[1].split()[0] == "mine"
    assert both.json("shells", work["name"], "--close", "mine") == {"name": "mine", "existed": True}
    assert both.ok(*session, "--shell", "--", 'echo "${A-none}"') == "none\n"


def test_stdin_is_passed_on_to_its_end(both: Cli, work: Work) -> None:
    data = bytes(range(256)) * 4000
    assert both("exec", work["name"], "--", "cat", input=data).stdout == data


def test_stdin_is_left_alone_where_it_is_not_wanted(cli: Cli, work: Work) -> None:
    loop = f"printf 'a\\nb\\n' | while read x; do {PROGRAM} exec -n {work['id']} -- echo $x; done"
    done = subprocess.run(["sh", "-c", loop], env=cli.environment, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"a\nb\n"


@pytest.mark.parametrize(
    "words, code",
    [
        (["--", "no-such-program"], 127),
        (["--shell", "--", "kill -TERM $$"], 143),
        (["--timeout", "300ms", "--", "sleep", "60"], 124),
    ],
)
def test_ends_that_are_no_exit(cli: Cli, work: Work, words: list[str], code: int) -> None:
    assert cli("exec", work["name"], *words).returncode == code


@pytest.mark.parametrize(
    "words, message",
    [
        (["exec", "no-such-workspace", "--", "true"], "no such workspace"),
        (["exec", "{work}"], "no command was given"),
        (["logs", "{work}", "ex_zzz"], "no exec ex_zzz"),
    ],
)
def test_failures_of_stead_itself_are_125_with_a_message(both: Cli, work: Work, words: list[str], message: str) -> None:
    done = both(*[word.format(work=work["name"]) for word in words])
    assert done.returncode == 125
    assert message in done.stderr.decode()
    assert done.stdout == b""


def test_an_unreachable_control_plane_is_125(cli: Cli) -> None:
    done = cli.at(STEAD_URL="http://127.0.0.1:9", STEAD_KEEPER="0")("exec", "x", "--", "true")
    assert done.returncode == 125
    assert b"stead:" in done.stderr


def test_in_the_background_with_logs_from_where_one_stopped(cli: Cli, work: Work) -> None:
    line = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 3"
    exec_id = cli.ok("exec", work["name"], "-d", "--shell", "--", line).strip()
    eventually(lambda: cli.ok("logs", work["name"], exec_id) == "one\n", "the first line")
    assert next(e for e in cli.json("execs", work["name"])["items"] if e["exec_id"] == exec_id)["state"] == "running"
    cli.ok("exec", work["name"], "--", "touch", "go")
    done = cli("logs", work["name"], exec_id[:-2], "--follow", "--exit-code")
    assert (done.stdout, done.returncode) == (b"one\ntwo\n", 3)
    assert cli.ok("logs", work["name"], exec_id, "--cursor", "9") == "two\n"


def test_logs_of_what_runs_are_all_that_is_there_now(cli: Cli, work: Work) -> None:
    line = "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.05; done; sleep 600"
    exec_id = cli.ok("exec", work["name"], "-d", "--shell", "--", line).strip()
    eventually(lambda: cli.ok("logs", work["name"], exec_id) == "1\n2\n3\n4\n5\n6\n7\n8\n", "every line")
    cli.ok("kill", work["name"], exec_id, "--signal", "KILL")


def test_kill(cli: Cli, work: Work) -> None:
    exec_id = cli.ok("exec", work["name"], "-d", "--", "sleep", "60").strip()
    cli.ok("kill", work["name"], exec_id, "--signal", "KILL")
    assert cli("logs", work["name"], exec_id, "-f", "--exit-code").returncode == 137


def test_a_signal_is_passed_on(both: Cli, work: Work) -> None:
    line = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    running = both.start("exec", work["name"], "--shell", "--", line)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=60)
    assert (out, running.returncode) == (b"told\n", 5)


@pytest.mark.parametrize("keeper", ["1", "0"])
def test_control_c_is_passed_on_and_a_second_one_kills(cli: Cli, work: Work, keeper: str) -> None:
    line = "trap 'echo told' INT; echo ready; while :; do sleep 0.05; done"
    argv = [PROGRAM, "exec", work["name"], "--shell", "--", line]
    with Terminal(argv, {**cli.environment, "STEAD_KEEPER": keeper}) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("told")
        terminal.type("\x03")
        assert terminal.wait() == 137


def test_an_input_that_nobody_can_wait_for(both: Cli, work: Work) -> None:
    assert both.ok("exec", "-i", work["name"], "--", "cat") == ""


def test_a_workspace_that_is_waited_for_is_named(cluster: Cluster, cli: Cli) -> None:
    workspace = cli.json("ws", "create")["id"]
    guest = cluster.process("guest", workspace)
    assert guest is not None
    guest.suspend()
    try:
        with Terminal([PROGRAM, "exec", workspace, "--", "echo", "back"], cli.environment) as terminal:
            terminal.expect(f"{workspace} does not answer yet")
            guest.resume()
            terminal.expect("back")
            assert terminal.wait() == 0
    finally:
        guest.resume()
    cli.ok("ws", "rm", workspace)


def test_typing_into_an_exec(cli: Cli, work: Work) -> None:
    argv = [PROGRAM, "exec", "-i", work["name"], "--shell", "--", "read line; echo got $line"]
    with Terminal(argv, cli.environment) as terminal:
        terminal.type("hello\n")
        terminal.expect("got hello")
        assert terminal.wait() == 0


def test_a_reader_that_goes_away_is_no_noise(both: Cli, work: Work) -> None:
    line = f"{PROGRAM} exec {work['id']} -- seq 1 200000 | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=both.environment, capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"1\n", b"", 141)


def test_many_at_once_each_with_its_own_end(both: Cli, work: Work) -> None:
    running = [both.start("exec", work["id"], "--", "sh", "-c", f"echo {n}; exit {n}") for n in range(20)]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in running]
    assert ends == [(f"{n}\n".encode(), b"", n) for n in range(20)]


def test_a_command_waits_for_a_slow_reader_and_nothing_is_lost(cli: Cli, work: Work) -> None:
    """More than 64 MiB, which nobody reads at first."""
    line = "seq 1 100000000 | head -c 100000000; exit 7"
    expected = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False).stdout
    with ended(cli.start("exec", "-n", work["name"], "--shell", "--", line)) as process:
        eventually(lambda: _printed(cli, work) > 60_000_000, "it printed as much as it may")
        assert _printed(cli, work) < 70_000_000
        out, err = process.communicate(timeout=60)
    assert (hashlib.sha256(out).digest(), err, process.returncode) == (hashlib.sha256(expected).digest(), b"", 7)
    done = cli("logs", work["name"])
    assert expected.endswith(done.stdout)
    assert len(done.stdout) > 60_000_000
    assert b"no longer kept" in done.stderr


def _printed(cli: Cli, work: Work) -> int:
    """How much the newest exec printed, as far as it is known."""
    newest = cli.json("execs", work["name"])["items"][0]
    return int(newest.get("output_bytes", 0)) if newest["argv"][0].startswith("seq") else 0


def test_in_the_background_so_much_is_kept_and_that_is_told(cli: Cli, work: Work) -> None:
    exec_id = cli.ok("exec", "-d", work["name"], "--", "head", "-c", "70000000", "/dev/zero").strip()
    done = cli("logs", work["name"], exec_id, "-f")
    assert 60_000_000 < len(done.stdout) < 70_000_000
    assert b"more than is kept" in done.stderr


def test_much_output_comes_whole(both: Cli, work: Work) -> None:
    done = both("exec", work["name"], "--", "head", "-c", "20000000", "/dev/zero")
    assert done.stdout == bytes(20_000_000)


def test_input_that_does_not_get_there_any_more_is_told(cluster: Cluster, cli: Cli) -> None:
    workspace = cli.json("ws", "create")["id"]
    with ended(in_process(cli).start("exec", workspace, "--", "cat")) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"one\n")
        running.stdin.flush()
        assert running.stdout.readline() == b"one\n"
        cluster.kill("guest", workspace)
        eventually(lambda: _ended_by_input(running), "it is told")
        assert running.stderr is not None
        assert b"does not reach the exec" in running.stderr.read()
        assert running.returncode == 125
    cli.ok("ws", "rm", workspace)


def _ended_by_input(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"more\n")
        process.stdin.flush()
    return process.poll() is not None


def test_a_caller_that_is_killed_takes_its_child_along(cluster: Cluster, cli: Cli, work: Work) -> None:
    running = cli.start("exec", work["name"], "--", "sh", "-c", "echo ready; sleep 60")
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.kill()
    assert running.stdout.read() == b""
    running.communicate()
