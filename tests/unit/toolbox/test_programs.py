"""Programs run for areas: bounded output, ended with their whole group, told apart when they are missing or too slow."""

import os
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.programs import Programs
from support.deadline import eventually_async

pytestmark = pytest.mark.anyio

PROGRAMS = Programs({"PATH": os.environ["PATH"], "WORD": "from the workspace"})


async def test_output_code_and_environment(tmp_path: Path) -> None:
    line = 'cat; echo "$WORD $MORE"; echo bad >&2; exit 3'
    done = await PROGRAMS.run(["sh", "-c", line], cwd=str(tmp_path), environment={"MORE": "x"}, stdin=b"in ")
    assert (done.code, done.stdout, done.stderr, done.clipped) == (3, b"in from the workspace x\n", b"bad\n", False)
    assert done.complaint == "bad"


async def test_output_is_clipped_and_the_program_still_ends(tmp_path: Path) -> None:
    done = await PROGRAMS.run(["head", "-c", "3000000", "/dev/zero"], cwd=str(tmp_path), limit=1000)
    assert (done.code, len(done.stdout), done.clipped) == (0, 1000, True)


async def test_input_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    assert (await PROGRAMS.run(["true"], cwd=str(tmp_path), stdin=bytes(1 << 20))).ok


async def test_a_missing_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(SteadError) as caught:
        await PROGRAMS.run(["no-such-program"], cwd=str(tmp_path))
    assert caught.value.code == "program_missing"


async def test_over_its_time_the_whole_group_is_killed(tmp_path: Path) -> None:
    line = "sleep 1000 & echo $! > child; wait"
    with pytest.raises(SteadError) as caught:
        await PROGRAMS.run(["sh", "-c", line], cwd=str(tmp_path), seconds=1.0)
    assert caught.value.code == "timeout"
    child = int((tmp_path / "child").read_text())
    await eventually_async(lambda: not os.path.lexists(f"/proc/{child}/exe"), "the child is gone")


async def test_with_grace_it_may_tidy_up_and_is_killed_when_it_does_not(tmp_path: Path) -> None:
    for tidies, grace in (("exit 0", 30.0), (":", 0.5)):
        line = f"exec 2> /dev/null; trap 'touch tidied; {tidies}' TERM; touch began; while :; do sleep 0.05; done"
        with anyio.fail_after(30):
            async with PROGRAMS.started(["sh", "-c", line], cwd=str(tmp_path), grace=grace) as process:
                await eventually_async((tmp_path / "began").exists, "it runs")
        assert process.returncode == (-9 if tidies == ":" else 0)
        (tmp_path / "tidied").unlink()
        (tmp_path / "began").unlink()


async def test_it_is_over_when_it_ends_whoever_else_holds_its_streams(tmp_path: Path) -> None:
    line = "sleep 1000 & head -c 500000 /dev/zero; echo bad >&2; exit 3"
    with anyio.fail_after(60):
        done = await PROGRAMS.run(["sh", "-c", line], cwd=str(tmp_path), seconds=100.0, stdin=bytes(1000))
    assert (done.code, done.stdout, done.stderr) == (3, bytes(500_000), b"bad\n")


async def test_nothing_of_ours_is_open_in_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        done = await PROGRAMS.run(["ls", "/proc/self/fd"], cwd=str(tmp_path))
    finally:
        os.close(reader)
        os.close(writer)
    assert done.stdout.split() == [b"0", b"1", b"2", b"3"]


async def test_who_leaves_ends_the_program(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with PROGRAMS.started(["sleep", "1000"], cwd=str(tmp_path)) as process:
            assert process.returncode is None
    assert process.returncode is not None


async def test_a_full_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    line = "(setsid sleep 3 &) ; head -c 5000000 /dev/zero; sleep 1000"
    with anyio.fail_after(30):
        async with PROGRAMS.started(["sh", "-c", line], cwd=str(tmp_path)) as process:
            assert process.stdout is not None
            await process.stdout.readexactly(1)
    assert process.returncode is not None


async def test_the_exit_code_is_left_to_who_waits_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else asyncio says "Unknown child process" of some that are ended while they end."""
    for number in range(100):
        async with PROGRAMS.started(["sleep", "0.002"], cwd=str(tmp_path)) as process:
            await anyio.sleep(number % 5 / 1000)
        assert process.returncode in {0, -9}
    assert not caplog.records
