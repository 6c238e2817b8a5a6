"""The parts of the holder, one by one: log, shelf, lines, settings, spawning, the table of processes."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stead.toolbox import records
from stead.toolbox.holding import settings, spawn, tree
from stead.toolbox.holding.execs import unrecorded
from stead.toolbox.holding.line import LINE_BYTES, QUEUE_BYTES, Line
from stead.toolbox.holding.log import FILE_BYTES, KEPT_READ, LEAST_HELD, Log, file_of
from stead.toolbox.holding.shelf import COMPACT_LINES, Kept, Shelf
from support.deadline import eventually
from support.disk import small_disk


def _decoded(path: Path) -> list[tuple[int, bytes]]:
    return [(channel, data) for channel, data, _ in records.Decoder().feed(path.read_bytes())]


def test_a_log_keeps_what_fits_and_counts_all(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 30)
    log.append(records.STDOUT, b"0123456789")
    log.append(records.STDERR, b"abcdefghijklmnop")
    log.append(records.STDOUT, b"later")
    log.close()
    assert _decoded(tmp_path / "log") == [(1, b"0123456789"), (2, b"abcdefghij")]
    assert (log.size, log.output_bytes, log.truncated) == (30, 31, True)


def test_a_log_without_output_makes_no_file(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 0)
    log.close()
    log.append(records.STDOUT, b"x")
    assert log.truncated
    assert log.output_bytes == 1
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("held", [False, True])
def test_a_log_that_cannot_be_written_is_a_full_one(held: bool) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    log = Log("/dev/full", 1000, held=held)
    log.append(records.STDOUT, b"x")
    assert (log.truncated, log.failure, log.room) == (True, os.strerror(errno.ENOSPC), records.DATA_BYTES)
    assert log.size == 0
    log.close()


def test_a_held_log_whose_next_file_cannot_be_made_ends_there_and_waits_for_nobody(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 6 << 20, held=True)
    while log.size < FILE_BYTES:
        log.append(records.STDOUT, b"x" * 60_000)
    (tmp_path / f"log.{log.size}").mkdir()
    size = log.size
    log.append(records.STDOUT, b"lost")
    assert (log.truncated, log.failure, log.room) == (True, os.strerror(errno.EISDIR), records.DATA_BYTES)
    assert (log.size, log.starts) == (size, [0])
    log.read(size)
    assert records.Decoder().feed(_whole(tmp_path / "log", log))[-1][2] == size
    log.close()


def _fill(log: Log) -> int:
    """Appends until the log has no more room, and says how much that was."""
    before = log.output_bytes
    while room := log.room:
        log.append(records.STDOUT, os.urandom(16) * (room // 16) + b"x" * (room % 16))
    return log.output_bytes - before


def _whole(path: Path, log: Log) -> bytes:
    return b"".join(Path(file_of(str(path), start)).read_bytes() for start in log.starts)


def test_a_held_log_waits_for_its_reader_and_forgets_what_was_read(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 6 << 20, held=True)
    _fill(log)
    assert log.size <= 6 << 20
    assert log.room == 0
    for _ in range(40):
        log.read(log.size - 1000)
        assert _fill(log) > 5 << 20
        on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert on_disk == log.size - log.first <= (6 << 20) + FILE_BYTES + KEPT_READ + (1 << 16)
    assert not log.truncated
    assert log.first > 200 << 20
    kept = records.Decoder(log.first).feed(_whole(tmp_path / "log", log))
    assert kept[-1][2] == log.size
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("log.")] == []
    log.close()


def test_a_held_log_keeps_more_than_it_has_room_for_at_the_end(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 0, held=True)
    _fill(log)
    assert LEAST_HELD - (1 << 16) < log.size <= LEAST_HELD
    log.append(records.STDERR, b"last words")
    assert (log.truncated, log.room) == (False, 0)
    assert records.Decoder().feed(_whole(tmp_path / "log", log))[-1][:2] == (records.STDERR, b"last words")
    log.let_go()
    log.append(records.STDOUT, b"more")
    assert (log.truncated, log.room) == (True, records.DATA_BYTES)
    log.close()


def test_a_shelf_knows_the_files_of_every_log(tmp_path: Path) -> None:
    shelf = _shelf(tmp_path)
    for exec_id in ("ex_a", "ex_b", "ex_c"):
        shelf.claim(exec_id, {**BEGUN, "exec_id": exec_id})
    place = tmp_path / "execs"
    for name, size in {"ex_a.log.300": 20, "ex_a.log.70": 230, "ex_b.log": 7, "ex_b.log.x": 1, "ex_b.log.²": 1}.items():
        (place / name).write_bytes(b"x" * size)
    logs = shelf.logs()
    assert logs == {"ex_a": Kept([70, 300], 320), "ex_b": Kept([0], 7), "ex_c": Kept([0], 0)}
    assert logs["ex_a"].bytes == 250
    shelf.forget("ex_a", logs["ex_a"].starts)
    assert list(place.glob("ex_a*")) == []
    shelf.close()


BEGUN: dict[str, Any] = {"exec_id": "ex_a", "started": 1.0, "argv": ["x"], "state": "running"}


def _shelf(tmp_path: Path) -> Shelf:
    return Shelf(str(tmp_path / "execs"))


def _states(shelf: Shelf) -> list[tuple[str, str]]:
    return [(status["exec_id"], status["state"]) for status in shelf.kept()]


def test_a_shelf_claims_once_and_finds_again(tmp_path: Path) -> None:
    shelf = _shelf(tmp_path)
    assert shelf.claim("ex_a", BEGUN)
    assert not shelf.claim("ex_a", BEGUN)
    assert shelf.claim("ex_b", {**BEGUN, "exec_id": "ex_b"})
    shelf.finish("ex_a", {**BEGUN, "state": "exited"})
    again = _shelf(tmp_path)
    assert _states(again) == [("ex_b", "unknown"), ("ex_a", "exited")]
    again.forget("ex_a", [0])
    assert not again.claim("ex_a", BEGUN)
    third = _shelf(tmp_path)
    assert _states(third) == [("ex_b", "unknown")]
    assert not third.claim("ex_a", BEGUN)
    for each in (shelf, again, third):
        each.close()


def test_a_shelf_has_no_pipes_of_an_earlier_holder(tmp_path: Path) -> None:
    shelf = _shelf(tmp_path)
    shelf.claim("ex_a", BEGUN)
    os.mkfifo(shelf.stdin("ex_a"))
    Path(shelf.log("ex_a")).touch()
    shelf.close()
    shelf = _shelf(tmp_path)
    assert sorted(path.name for path in (tmp_path / "execs").iterdir()) == ["ex_a.log", "journal"]
    shelf.close()


def test_a_shelf_with_nonsense_on_it(tmp_path: Path) -> None:
    shelf = _shelf(tmp_path)
    shelf.claim("ex_a", BEGUN)
    shelf.close()
    with (tmp_path / "execs" / "journal").open("ab") as journal:
        journal.write(b'{\n[]\n{"exec_id": 5}\n\xff\n{"exec_id":"ex_b","sta')
    shelf = _shelf(tmp_path)
    assert _states(shelf) == [("ex_a", "unknown")]
    assert shelf.claim("ex_b", {**BEGUN, "exec_id": "ex_b"})
    shelf.close()
    shelf = _shelf(tmp_path)
    assert _states(shelf) == [("ex_a", "unknown"), ("ex_b", "unknown")]
    shelf.close()


def test_a_shelf_on_a_full_disk(tmp_path: Path) -> None:
    """A line that is not whole goes, nothing half is left, and what comes later is found again."""
    with small_disk(tmp_path / "disk") as disk:
        shelf = _shelf(disk.path)
        shelf.claim("ex_a", BEGUN)
        shelf.close()
        with (disk.path / "execs" / "journal").open("ab") as journal:
            journal.write(b'{"exec_id":"ex_b","sta')
        for way in (disk.fill, disk.fill_names):
            way()
            used = disk.used()
            shelf = _shelf(disk.path)
            assert _states(shelf) == [("ex_a", "unknown")]
            assert disk.used() == used
            disk.free()
            shelf.close()
        disk.fill()
        shelf = _shelf(disk.path)
        with pytest.raises(OSError, match="No space left") as caught:
            for number in range(1000):
                shelf.claim(f"ex_{number}", BEGUN | {"exec_id": f"ex_{number}"})
        assert unrecorded(caught.value).code == "disk_full"
        known = len(_states(shelf))
        disk.free()
        assert shelf.claim("ex_late", BEGUN | {"exec_id": "ex_late"})
        shelf.close()
        shelf = _shelf(disk.path)
        assert len(_states(shelf)) == known + 1
        shelf.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "unavailable")],
)
def test_what_cannot_be_recorded_is_told(number: int, code: str) -> None:
    told = unrecorded(OSError(number, os.strerror(number)))
    assert (told.code, told.message) == (code, f"the exec cannot be recorded: {os.strerror(number)}")


def test_a_journal_stays_small(tmp_path: Path) -> None:
    shelf = _shelf(tmp_path)
    for number in range(5000):
        exec_id = f"ex_{number}"
        assert shelf.claim(exec_id, {**BEGUN, "exec_id": exec_id})
        shelf.finish(exec_id, {**BEGUN, "exec_id": exec_id, "state": "exited"})
        if number >= 10:
            shelf.forget(f"ex_{number - 10}", [0])
    assert len(shelf.kept()) == 10
    lines = (tmp_path / "execs" / "journal").read_bytes().count(b"\n")
    assert lines < COMPACT_LINES + 100
    assert not shelf.claim("ex_4000", BEGUN)
    shelf.close()
    shelf = _shelf(tmp_path)
    assert len(shelf.kept()) == 10
    assert not shelf.claim("ex_4000", BEGUN)
    shelf.close()


def test_lines_are_cut_and_bounded() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours)
    theirs.sendall(b'{"a":1}\n{"b"')
    assert line.readable() == [{"a": 1}]
    theirs.sendall(b":2}\n")
    assert line.readable() == [{"b": 2}]
    assert line.readable() == []
    theirs.sendall(b"nonsense\n")
    assert line.readable() is None
    while line.send({"x": "y" * 100_000}):
        assert line.waiting <= QUEUE_BYTES
    assert line.closed
    assert not line.send({})
    theirs.close()


def test_a_line_without_end_is_refused() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours)
    theirs.setblocking(False)
    sent = 0
    while (answer := line.readable()) is not None:
        assert answer == []
        assert sent <= LINE_BYTES + (1 << 20)
        try:
            sent += theirs.send(b"x" * 65_536)
        except BlockingIOError:
            continue
    line.close()
    theirs.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"root": "relative"}, "root"),
        ({"run": 5}, "run"),
        ({"workspace_id": None}, "workspace_id"),
        ({"version": 2}, "version"),
        ({"environment": {"A": 1}}, "environment"),
        ({"environment": []}, "environment"),
        ({"limits": "x"}, "limits"),
        ({"running": -1}, "running"),
        ({"kept": True}, "kept"),
        ({"detach_seconds": "1"}, "detach_seconds"),
    ],
)
def test_settings_name_what_is_wrong(change: dict[str, object], named: str) -> None:
    good: dict[str, object] = {"version": 1, "workspace_id": "ws_x", "root": "/r", "run": "/run"}
    with pytest.raises(ValueError, match=named):
        settings.Settings(good | change)


def test_settings_have_defaults_and_ignore_what_is_new(tmp_path: Path) -> None:
    value = {"workspace_id": "ws_x", "root": "/r", "run": "/run", "environment": {"A": "b", "LANG": "de"}, "new": 1}
    (tmp_path / "file").write_text(json.dumps(value))
    found = settings.load(str(tmp_path / "file"))
    assert found.environment["HOME"] == "/r"
    assert found.environment["LANG"] == "de"
    assert found.environment["A"] == "b"
    assert (found.running, found.kept, found.detach_seconds) == (64, 200, 120.0)
    assert not set(found.environment) & {"STEAD_TEST_SESSION", "PYTHONPATH", "VIRTUAL_ENV"}


def test_programs_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "tool").write_text("plain")
    (tmp_path / "two" / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "two" / "tool").chmod(0o755)
    (tmp_path / "two" / "plain").write_text("plain")
    path = f"{tmp_path}/nowhere:{tmp_path}/one:{tmp_path}/two"
    assert spawn.find("tool", path) == f"{tmp_path}/two/tool"
    for program, code in (("nothing", 127), ("plain", 126), (str(tmp_path / "one"), 126), ("/no/such", 127)):
        with pytest.raises(spawn.CannotStartError) as found:
            spawn.find(program, path)
        assert found.value.exit_code == code
    with pytest.raises(spawn.CannotStartError) as found:
        spawn.find("two", str(tmp_path))
    assert found.value.exit_code == 126


def test_both_tables_of_processes_agree() -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        tables = [tree.by_ps()]
        if Path("/proc/self/stat").exists():
            tables.append(tree.by_proc())
        for table in tables:
            assert table[child.pid][0] == os.getpid()
            assert table[child.pid][1] == child.pid
        assert [pid for pid, (parent, _) in tables[0].items() if parent == os.getpid() and not _is_there(pid)] == []
    finally:
        child.kill()
        child.wait()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
def test_members_are_found_by_session_descent_and_mark() -> None:
    line = "sleep 600 & setsid sleep 601 & setsid env -i sleep 602 & wait"
    environment = {**os.environ, tree.MARK: "ex_mine"}
    child = subprocess.Popen(["sh", "-c", line], start_new_session=True, env=environment)
    try:
        eventually(lambda: len(tree.members(child.pid, "ex_mine")) == 4, "all four are found")
        assert tree.members(child.pid, "ex_mine")[0] == child.pid
        assert tree.marked(child.pid, "ex_mine")
        assert not tree.marked(child.pid, "ex_min")
        assert tree.members(-1, "ex_other") == []
    finally:
        for pid in tree.members(child.pid, "ex_mine"):
            os.kill(pid, signal.SIGKILL)
        child.wait()


def test_the_holder_says_how_it_is_used() -> None:
    for module in ("stead.toolbox.holding", "stead.guest.holder", "stead.guest"):
        done = subprocess.run([sys.executable, "-P", "-m", module, "--nonsense"], capture_output=True, check=False)
        assert done.returncode == 1
        assert b"usage: python -m " + module.encode() in done.stderr
