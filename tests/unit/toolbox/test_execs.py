"""Execs through a real holder: limits, trees that resist, floods, leaks, and what is kept."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox import execs
from stead.toolbox.contract import Exec, ExecState
from stead.toolbox.holding import tree
from stead.toolbox.holding.log import FILE_BYTES, KEPT_READ
from stead.toolbox.local import LocalToolbox, opened
from support.deadline import eventually_async
from support.disk import Disk, small_disk

pytestmark = pytest.mark.anyio
NEEDS_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: /proc, setsid, the limit of one argument"
)


@pytest.fixture
async def toolbox(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LocalToolbox]:
    settings: dict[str, Any] = getattr(request, "param", {})
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run", **settings) as found:
        yield found


def _alive(word: str) -> list[int]:
    """The processes with this word in their arguments."""
    found = []
    for pid in tree.processes():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(pid)
    return found


def _word() -> str:
    return f"7{time.time_ns() % 10**9:09d}"


async def test_a_thousand_children_are_gone_within_seconds(toolbox: LocalToolbox) -> None:
    word = _word()
    line = f"i=0; while [ $i -lt 1000 ]; do sleep {word} & i=$((i+1)); done; echo up; wait"
    running = await toolbox.start(Exec(argv=[line], shell=True))
    async for _ in running.output():
        break
    began = time.monotonic()
    status = await toolbox.kill(running.exec_id, 9)
    assert status.state is ExecState.SIGNALLED
    assert _alive(word) == []
    assert time.monotonic() - began < 30


async def test_a_start_that_waits_answers_at_the_end(toolbox: LocalToolbox) -> None:
    exec_id = execs.new_id()
    async with anyio.create_task_group() as group:
        group.start_soon(_waits, toolbox, exec_id)
        with anyio.fail_after(30):
            while not await _is_known(toolbox, exec_id):
                await anyio.sleep(0.01)
        again, new = await toolbox.begin(Exec(argv=["true"], exec_id=exec_id), wait=True)
        assert (new, again.status.state) == (False, ExecState.RUNNING)
        await toolbox.kill(exec_id, 15)
    failed, new = await toolbox.begin(Exec(argv=["no such program"]), wait=True)
    assert (new, failed.status.state, failed.status.exit_code) == (True, ExecState.FAILED, 127)


async def _waits(toolbox: LocalToolbox, exec_id: str) -> None:
    running, new = await toolbox.begin(Exec(argv=["echo one; sleep 600"], shell=True, exec_id=exec_id), wait=True)
    assert (new, running.status.signal) == (True, 15)
    assert (await running.collect()).stdout == b"one\n"


async def _is_known(toolbox: LocalToolbox, exec_id: str) -> bool:
    return any(each.exec_id == exec_id for each in (await toolbox.execs()).execs)


@NEEDS_LINUX
async def test_what_ignores_term_and_leaves_the_session_is_gone(toolbox: LocalToolbox) -> None:
    word = _word()
    stubborn = f"trap '' TERM; sleep {word}; sleep {word}"
    line = f'trap \'\' TERM; (setsid sh -c "{stubborn}" &); (setsid setsid sh -c "{stubborn}" &); sleep {word}; sleep {word}'
    running = await toolbox.start(Exec(argv=[line], shell=True))
    await eventually_async(lambda: len(_alive(f"sleep\0{word}")) == 3, "all are up")
    status = await toolbox.kill(running.exec_id, 15, 0.2)
    assert (status.state, status.signal) == (ExecState.SIGNALLED, 9)
    assert _alive(word) == []


@NEEDS_LINUX
async def test_killing_what_is_over_ends_what_it_left_behind(toolbox: LocalToolbox) -> None:
    word = _word()
    result = await toolbox.exec([f"setsid sleep {word} & sleep {word} &"], shell=True)
    await eventually_async(lambda: len(_alive(word)) == 2, "both live on")
    assert await toolbox.kill(result.status.exec_id) == result.status
    assert _alive(word) == []


@NEEDS_LINUX
async def test_closing_the_toolbox_ends_everything(tmp_path: Path) -> None:
    word = _word()
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
        await toolbox.exec([f"trap '' TERM; setsid sleep {word} & sleep {word} &"], shell=True)
        await toolbox.start(Exec(argv=["sleep", word], background=True))
        await eventually_async(lambda: len(_alive(word)) == 3, "all are up")
    assert _alive(word) == []


async def test_a_flood_is_cut_and_delays_nobody(toolbox: LocalToolbox) -> None:
    """1 GB of output: the process is not stalled, the log has its cap, others are served meanwhile."""
    argv = ["head", "-c", "1000000000", "/dev/zero"]
    flood = await toolbox.start(Exec(argv=argv, log_bytes=1 << 20, background=True))
    while flood.status.state is ExecState.RUNNING:
        with anyio.fail_after(30):
            assert (await toolbox.exec(["true"])).status.ok
            await anyio.sleep(0.05)
    status = await flood.wait()
    assert status.ok
    assert status.truncated
    assert status.output_bytes == 1_000_000_000
    log = toolbox.execs_.log(status.exec_id)
    assert log.stat().st_size <= 1 << 20


PRINTED = 40_000_000
HELD = 8 << 20
NUMBERS = Exec(argv=["seq 1 100000000 | head -c 40000000"], shell=True, log_bytes=HELD)


def _numbers() -> bytes:
    """What NUMBERS prints."""
    return subprocess.run(["/bin/sh", "-c", NUMBERS.argv[0]], capture_output=True, check=True).stdout


def _on_disk(toolbox: LocalToolbox, exec_id: str) -> int:
    """A file may go while they are counted, and its successor grow."""
    size = 0
    for path in toolbox.execs_.log(exec_id).parent.glob(f"{exec_id}.log*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


async def _stands_still(toolbox: LocalToolbox, exec_id: str) -> int:
    """Waits until an exec has printed much, and then nothing for a moment."""
    before = -1
    with anyio.fail_after(30):
        while (printed := (await toolbox.show(exec_id)).output_bytes) > before or printed < HELD // 2:
            before = printed
            await anyio.sleep(0.1)
    return printed


async def test_an_exec_waits_for_its_reader_and_nothing_is_lost(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(NUMBERS)
    assert await _stands_still(toolbox, running.exec_id) <= HELD
    output = bytearray()
    async for piece in running.output():
        output += piece.data
        assert _on_disk(toolbox, running.exec_id) < HELD + 2 * FILE_BYTES + KEPT_READ + (1 << 20)
    status = await running.wait()
    assert (status.ok, status.truncated, status.output_bytes) == (True, False, PRINTED)
    assert output == _numbers()
    shown = await toolbox.show(running.exec_id)
    assert shown.first_cursor > PRINTED - HELD - FILE_BYTES - KEPT_READ
    with pytest.raises(SteadError) as found:
        await toolbox.attach(running.exec_id, shown.first_cursor - 1)
    assert found.value.code == "range_unsatisfiable"
    assert found.value.details == {"first_cursor": shown.first_cursor}
    again = await toolbox.attach(running.exec_id, shown.first_cursor)
    rest = b"".join([piece.data async for piece in again.output()])
    assert output.endswith(rest)
    assert len(rest) > 4_000_000
    result = await toolbox.run(msgspec.structs.replace(NUMBERS, exec_id=running.exec_id))
    assert result.clipped
    assert result.stdout == rest[: len(result.stdout)]
    again.close()
    running.close()


async def test_only_the_reader_that_counts_holds_an_exec_back(toolbox: LocalToolbox) -> None:
    """Who looks on is overtaken, and told; when who started it is gone, who looks on counts."""
    running = await toolbox.start(NUMBERS)
    onlooker = await toolbox.attach(running.exec_id)
    seen = onlooker.output()
    await anext(aiter(seen))
    pieces = running.output()
    read = 0
    while read < PRINTED // 2:
        read += len((await anext(aiter(pieces))).data)
    assert await _stands_still(toolbox, running.exec_id) < PRINTED
    late = await toolbox.attach(running.exec_id, (await toolbox.show(running.exec_id)).first_cursor)
    running.close()
    assert await _stands_still(toolbox, running.exec_id) < PRINTED
    with pytest.raises(SteadError) as found:
        _ = [piece async for piece in seen]
    assert found.value.code == "range_unsatisfiable"
    onlooker.close()
    rest = b"".join([piece.data async for piece in late.output()])
    assert _numbers().endswith(rest)
    assert len(rest) >= PRINTED // 2


async def test_who_asks_for_the_result_of_what_waits_reads_along(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(NUMBERS)
    await _stands_still(toolbox, running.exec_id)
    running.close(hold=True)
    result = await toolbox.run(msgspec.structs.replace(NUMBERS, exec_id=running.exec_id))
    assert (result.status.ok, result.status.truncated, result.clipped) == (True, False, True)
    assert _numbers().startswith(result.stdout)


async def test_a_status_says_where_output_is(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(Exec(argv=["for n in 1 2 3; do echo $n; sleep 0.05; done; sleep 600"], shell=True))
    cursor = 0
    async for piece in running.output():
        cursor = piece.cursor
        if piece.data.endswith(b"3\n"):
            break
    status = await toolbox.show(running.exec_id)
    assert (status.first_cursor, status.last_cursor, status.output_bytes) == (0, cursor, 6)
    assert cursor > status.output_bytes
    assert (await toolbox.kill(running.exec_id, 9)).last_cursor == cursor


async def test_what_waits_for_its_reader_can_be_ended_and_let_go(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(NUMBERS)
    await _stands_still(toolbox, running.exec_id)
    status = await toolbox.kill(running.exec_id, 15)
    assert (status.state, status.truncated) == (ExecState.SIGNALLED, False)
    kept = b"".join([piece.data async for piece in running.output()])
    assert (len(kept), _numbers().startswith(kept)) == (status.output_bytes, True)
    limited = await toolbox.start(msgspec.structs.replace(NUMBERS, timeout=0.3))
    assert (await limited.end()).state is ExecState.TIMED_OUT
    free = await toolbox.start(NUMBERS)
    await _stands_still(toolbox, free.exec_id)
    status = await free.wait()
    assert (status.ok, status.truncated, status.output_bytes) == (True, True, PRINTED)
    closed = await toolbox.start(NUMBERS)
    await _stands_still(toolbox, closed.exec_id)
    closed.close()
    again = await toolbox.attach(closed.exec_id)
    assert (await again.end()).truncated


async def test_a_reader_that_stops_delays_nobody(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(Exec(argv=["head", "-c", "5000000", "/dev/zero"]))
    pieces = running.output()
    await anext(aiter(pieces))
    assert (await running.wait()).ok
    rest = sum([len(piece.data) async for piece in pieces])
    assert rest > 4_900_000 - (1 << 18)


async def test_input_waits_for_a_slow_reader_and_ends_with_it(toolbox: LocalToolbox) -> None:
    running = await toolbox.start(Exec(argv=["sleep 0.3; head -c 10 > /dev/null"], shell=True, stdin=True))
    with pytest.raises(SteadError) as found:
        await running.write(b"x" * (4 << 20))
    assert found.value.code == "conflict"
    assert (await running.wait()).ok
    with pytest.raises(SteadError) as found:
        await running.write(b"x")
    assert found.value.code == "conflict"


@pytest.mark.parametrize("toolbox", [{"running": 3}], indirect=True)
async def test_only_so_many_run_at_once(toolbox: LocalToolbox) -> None:
    running = [await toolbox.start(Exec(argv=["sleep", "600"])) for _ in range(3)]
    with pytest.raises(SteadError) as found:
        await toolbox.exec(["true"])
    assert found.value.code == "too_many"
    await running[0].kill(9)
    assert (await toolbox.exec(["true"])).status.ok


@pytest.mark.parametrize("toolbox", [{"kept": 5}], indirect=True)
async def test_only_so_many_are_kept(toolbox: LocalToolbox, tmp_path: Path) -> None:
    done = [(await toolbox.exec(["echo", "x"])).status.exec_id for _ in range(8)]
    listed = [status.exec_id for status in (await toolbox.execs()).execs]
    assert listed == done[:2:-1]
    logs = {entry.name.removesuffix(".log") for entry in (tmp_path / "run" / "execs").glob("*.log")}
    assert logs == set(done[3:])
    with pytest.raises(SteadError) as found:
        await toolbox.show(done[0])
    assert found.value.code == "exec_unknown"


@pytest.mark.parametrize("toolbox", [{"total_log_bytes": 250_000}], indirect=True)
async def test_only_so_much_output_is_kept(toolbox: LocalToolbox) -> None:
    done = [(await toolbox.exec(["head", "-c", "100000", "/dev/zero"])).status.exec_id for _ in range(4)]
    assert [status.exec_id for status in (await toolbox.execs()).execs] == done[:1:-1]


@pytest.mark.parametrize("toolbox", [{"log_bytes": 1000}], indirect=True)
async def test_the_settings_bound_every_log(toolbox: LocalToolbox) -> None:
    result = await toolbox.exec(["head", "-c", "5000", "/dev/zero"])
    assert result.status.truncated
    assert len(result.stdout) <= 1000
    assert not result.clipped


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"argv": ["x" * execs.ARGV_BYTES, "y"]}, "too_large"),
        ({"argv": ["\u00e4" * (execs.ARGV_BYTES // 2)]}, "too_large"),
        ({"argv": ["true", *[""] * execs.ARGV_BYTES]}, "too_large"),
        ({"argv": ["true"], "environment": {"A": "x" * execs.ARGV_BYTES}}, "too_large"),
        ({"argv": ["true"], "grace": execs.GRACE + 1}, "invalid"),
        ({"argv": ["true"], "timeout": 1e9}, "invalid"),
        ({"argv": ["true"], "timeout": float("nan")}, "invalid"),
        ({"argv": ["true"], "log_bytes": -1}, "invalid"),
        ({"argv": ["true"], "log_bytes": 1 << 50}, "invalid"),
        ({"argv": ["\ud800"]}, "invalid"),
        ({"argv": ["true"], "environment": {"": "x"}}, "invalid"),
        ({"argv": ["true"], "nonsense": 1}, "invalid"),
        ({"argv": ["true"], "timeout": "soon"}, "invalid"),
    ],
)
async def test_what_is_refused_before_it_runs(toolbox: LocalToolbox, change: dict[str, Any], code: str) -> None:
    with pytest.raises(SteadError) as found:
        await toolbox.exec(**change)
    assert found.value.code == code
    assert (await toolbox.execs()).execs == []


@NEEDS_LINUX
async def test_one_argument_over_the_systems_limit_is_a_result(toolbox: LocalToolbox) -> None:
    status = (await toolbox.exec(["true", "x" * 200_000])).status
    assert (status.state, status.exit_code) == (ExecState.FAILED, 126)


async def test_statuses_show_arguments_shortened(toolbox: LocalToolbox) -> None:
    status = (await toolbox.exec(["true", *["word"] * 10_000])).status
    assert status.ok
    assert sum(map(len, status.argv)) < execs.SHOWN_BYTES + 10
    status = (await toolbox.exec(["true", *[""] * 100_000])).status
    assert status.ok
    assert len(status.argv) < execs.SHOWN_BYTES + 10


async def test_an_exec_without_an_id_ends_with_its_caller(toolbox: LocalToolbox) -> None:
    named = execs.new_id()
    async with anyio.create_task_group() as group:
        group.start_soon(toolbox.run, Exec(argv=["sleep", "600"], exec_id=named))
        group.start_soon(toolbox.run, Exec(argv=["sleep", "600"]))
        with anyio.fail_after(30):
            while len((await toolbox.execs()).execs) < 2:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    states = {each.exec_id == named: each.state for each in (await toolbox.execs()).execs}
    assert states == {True: ExecState.RUNNING, False: ExecState.CANCELLED}
    again, new = await toolbox.begin(Exec(argv=["sleep", "600"], exec_id=named))
    assert (new, again.status.state) == (False, ExecState.RUNNING)


async def test_the_directory_above_what_a_link_leads_to(toolbox: LocalToolbox, tmp_path: Path) -> None:
    (tmp_path / "root/deep/in").mkdir(parents=True)
    (tmp_path / "root/link").symlink_to("deep/in")
    result = await toolbox.exec(["pwd", "-P"], cwd="link/..")
    assert result.stdout.decode().strip() == str((tmp_path / "root/deep").resolve())


async def test_a_toolbox_without_a_root_leaves_no_program(tmp_path: Path) -> None:
    with pytest.raises(SteadError) as found:
        async with opened(tmp_path / "nothing", tmp_path / "run"):
            pass
    assert found.value.code == "not_found"
    for wrong in ({"root": "relative", "run": tmp_path / "run"}, {"root": tmp_path, "run": "relative"}):
        with pytest.raises(SteadError) as found:
            async with opened(**wrong):
                pass
        assert found.value.code == "invalid"
    assert _alive(str(tmp_path)) == []


async def test_nothing_of_our_environment_is_in_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    for name in ("STEAD_TOKEN", "LD_LIBRARY_PATH", "SECRET", "PYTHONPATH"):
        monkeypatch.setenv(name, "/leak")
    async with opened(tmp_path / "root", tmp_path / "run", environment={"OWN": "yes"}) as toolbox:
        result = await toolbox.exec(["env"], environment={"STEAD_EXEC_ID": "forged", "STEAD_WORKSPACE_ID": "forged"})
    found = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
    assert found["OWN"] == "yes"
    assert found["STEAD_EXEC_ID"] == result.status.exec_id
    assert found["STEAD_WORKSPACE_ID"] == "local"
    ours = {"HOME", "PATH", "LANG", "SHELL", "USER", "LOGNAME", "OWN", "STEAD_EXEC_ID", "STEAD_WORKSPACE_ID"}
    assert set(found) <= ours | {"PWD", "_", "SHLVL"}


async def test_an_exec_has_only_its_three_descriptors(toolbox: LocalToolbox) -> None:
    result = await toolbox.exec(["ls /proc/self/fd | wc -l; test -t 0 || echo no terminal"], shell=True)
    if Path("/proc/self/fd").exists():
        assert result.stdout == b"4\nno terminal\n"


async def test_execs_of_an_earlier_holder(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
        done = await toolbox.exec(["echo", "kept"])
        left = await toolbox.start(Exec(argv=["sleep", "600"], background=True))
    journal = tmp_path / "run" / "execs" / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    ends = [line for line in lines if left.exec_id in line and '"cancelled"' in line]
    assert len(ends) == 1
    journal.write_text("".join(line for line in lines if line not in ends))
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
        assert await toolbox.show(done.status.exec_id) == done.status
        again = await toolbox.attach(done.status.exec_id)
        assert [piece.data async for piece in again.output()] == [b"kept\n"]
        assert (await toolbox.show(left.exec_id)).state is ExecState.UNKNOWN
        repeated = await toolbox.exec(["false"], exec_id=done.status.exec_id)
        assert repeated.status == done.status


async def test_a_holder_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
        running = await toolbox.start(Exec(argv=["sleep 600 & echo $PPID; exec sleep 600"], shell=True))
        pieces = running.output()
        holder = int((await anext(aiter(pieces))).data)
        os.kill(holder, 9)
        assert (await running.wait()).state is ExecState.UNKNOWN
        with pytest.raises(SteadError) as found:
            await toolbox.exec(["true"])
        assert found.value.code == "unavailable"
        for pid in _marked(running.exec_id):
            os.kill(pid, 9)


def _marked(exec_id: str) -> list[int]:
    return [pid for pid in tree.processes() if tree.marked(pid, exec_id)]


async def test_a_log_that_somebody_damages_is_told(toolbox: LocalToolbox) -> None:
    status = (await toolbox.exec(["echo", "x"])).status
    toolbox.execs_.log(status.exec_id).write_bytes(b"\xff" * 7)
    running = await toolbox.attach(status.exec_id)
    with pytest.raises(SteadError) as found:
        [piece async for piece in running.output()]
    assert found.value.code == "malformed"
    toolbox.execs_.log(status.exec_id).unlink()
    running = await toolbox.attach(status.exec_id)
    with pytest.raises(SteadError) as found:
        [piece async for piece in running.output()]
    assert found.value.code == "not_found"


async def test_many_at_once(toolbox: LocalToolbox) -> None:
    results: list[bytes] = []

    async def one(number: int) -> None:
        results.append((await toolbox.exec(["echo", str(number)])).stdout)

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(one, number)
    assert sorted(results) == sorted(f"{number}\n".encode() for number in range(60))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as found:
        yield found


async def test_a_full_disk_under_the_logs(tmp_path: Path, disk: Disk) -> None:
    """What runs ends with a shortened log; what cannot be recorded is refused; with room again all is well."""
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", disk.path / "run") as toolbox:
        flood = await toolbox.exec(["head -c 3000000 /dev/zero; exit 3"], shell=True)
        assert (flood.status.exit_code, flood.status.truncated) == (3, True)
        assert flood.status.output_bytes == 3_000_000
        full = await toolbox.exec(["echo", "x"])
        assert full.status.truncated or full.stdout == b"x\n"
        disk.fill()
        with pytest.raises(SteadError) as found:
            for _ in range(1000):
                await toolbox.exec(["true"])
        assert found.value.code == "disk_full"
        disk.free()
        assert (await toolbox.exec(["echo", "y"])).stdout == b"y\n"


async def test_a_disk_on_which_no_file_can_be_made(tmp_path: Path, disk: Disk) -> None:
    """What runs ends without a log; what needs a file for its input does not begin; both say why."""
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", disk.path / "run") as toolbox:
        await toolbox.exec(["true"])
        disk.fill_names()
        done = await toolbox.exec(["sh", "-c", "echo lost; exit 3"])
        assert (done.status.exit_code, done.status.truncated, done.stdout) == (3, True, b"")
        assert done.status.error == "the output cannot be kept: No space left on device"
        unread = await toolbox.start(Exec(argv=["cat"], stdin=True))
        status = await unread.wait()
        assert (status.state, status.error) == (ExecState.FAILED, "cannot be started: No space left on device")
        disk.free()
        reading = await toolbox.start(Exec(argv=["cat"], stdin=True))
        await reading.write(b"x")
        await reading.close_stdin()
        assert (await reading.collect()).stdout == b"x"


async def test_a_full_disk_under_an_exec_that_waits_for_its_reader(tmp_path: Path, disk: Disk) -> None:
    """It does not wait for a disk that nobody empties; its reader gets what fits, and is told what became of the rest."""
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", disk.path / "run") as toolbox:
        running = await toolbox.start(NUMBERS)
        status = await running.end()
        assert (status.exit_code, status.truncated, status.output_bytes) == (0, True, PRINTED)
        assert status.error == "the output cannot be kept: No space left on device"
        kept = b"".join([piece.data async for piece in running.output()])
        assert 500_000 < len(kept) < 1 << 20
        assert _numbers().startswith(kept)
        assert await toolbox.show(running.exec_id) == status
    async with opened(tmp_path / "root", disk.path / "run") as toolbox:
        again = await toolbox.attach(running.exec_id)
        assert b"".join([piece.data async for piece in again.output()]) == kept
        assert (await again.wait()).truncated
