"""Execs: results, output, input, limits, ends, and coming back to them."""

from __future__ import annotations

import signal
import time

import anyio

from stead.toolbox.behaviour.checks import NotTriedError, check, expect, refused, script, sh
from stead.toolbox.contract import CALL_BYTES, Exec, ExecState, Running, Toolbox

UNKNOWN = "ex_00000000000000000000000000"
NOT_FOUND = 127
"""How a shell ends that does not find a program."""


async def _read(running: Running) -> dict[str, bytes]:
    found = {"stdout": b"", "stderr": b""}
    async for piece in running.output():
        found[piece.channel] += piece.data
    return found


async def _first(running: Running) -> int:
    """Waits for the first output; the cursor after it."""
    async for piece in running.output():
        return piece.cursor
    raise AssertionError("the exec ended without output")


@check
async def a_result_has_everything(toolbox: Toolbox, place: str) -> None:
    """Both outputs apart, the exit code, the times."""
    result = await toolbox.exec(["sh", "-c", "printf out; printf err >&2; exit 3"])
    expect(result.stdout == b"out" and result.stderr == b"err" and not result.clipped, f"output {result}")
    status = result.status
    expect(status.state is ExecState.EXITED and status.exit_code == 3 and not status.ok, f"status {status}")
    expect(status.output_bytes == 6 and not status.truncated, f"status {status}")
    expect(status.ended is not None and status.ended >= status.started > 0, f"times {status}")


@check
async def a_program_that_cannot_start_is_a_result(toolbox: Toolbox, place: str) -> None:
    """127 for one that is not there, 126 for one that cannot be run or a directory that is not there."""
    await toolbox.write(f"{place}/text", b"not a program", mode=0o644)
    missing = (await toolbox.exec(["no-such-program-here"])).status
    expect(missing.state is ExecState.FAILED and missing.exit_code == 127 and missing.error, f"{missing}")
    plain = (await toolbox.exec(["./text"], cwd=place)).status
    expect(plain.state is ExecState.FAILED and plain.exit_code == 126 and plain.error, f"{plain}")
    nowhere = (await toolbox.exec(["true"], cwd=f"{place}/nowhere")).status
    expect(nowhere.state is ExecState.FAILED and nowhere.exit_code == 126 and nowhere.error, f"{nowhere}")
    outside = (await toolbox.exec(["true"], cwd="..")).status
    expect(outside.state is ExecState.FAILED and outside.error, f"{outside}")


@check
async def arguments_are_not_a_shell_line(toolbox: Toolbox, place: str) -> None:
    """A vector is passed as it is; a shell runs only when asked."""
    words = ["$HOME", "a b", "*", ";", "'", ""]
    result = await toolbox.exec(["printf", "%s|", *words])
    expect(result.stdout.decode() == "".join(f"{word}|" for word in words), f"printed {result.stdout!r}")
    shell = await sh(toolbox, "printf '%s' \"$1\"; printf -- -$((1+1))", "one")
    expect(shell.stdout == b"one-2", f"the shell printed {shell.stdout!r}")


@check
async def environment_and_directory(toolbox: Toolbox, place: str) -> None:
    """HOME is the root, the exec's own variables are there, and it runs where it was told."""
    root = (await toolbox.info()).root
    line = 'printf "%s\\n" "$HOME" "$OWN" "$(pwd -P)" "$LD_PRELOAD$STEAD_TOKEN$STEAD_URL"'
    result = await sh(toolbox, line, cwd=place, environment={"OWN": "mine \u00e4"})
    home, own, where, leaked = result.stdout.decode().splitlines()
    expect(home == root and own == "mine \u00e4", f"printed {result.stdout!r}")
    expect(where.endswith(f"/{place}") and leaked == "", f"printed {result.stdout!r}")


@check
async def no_input_is_an_empty_input(toolbox: Toolbox, place: str) -> None:
    """Without input asked, reading it ends at once."""
    result = await toolbox.exec(["cat"])
    expect(result.status.ok and result.stdout == b"", f"{result}")


@check
async def input_reaches_the_exec(toolbox: Toolbox, place: str) -> None:
    """All of it, in order, and its end."""
    running = await toolbox.start(Exec(argv=["cat"], stdin=True))
    for number in range(50):
        await running.write(f"{number}\n".encode() * 100)
    await running.close_stdin()
    found = await _read(running)
    expect(found["stdout"] == b"".join(f"{n}\n".encode() * 100 for n in range(50)), "other bytes came back")
    expect((await running.wait()).ok, "it failed")


@check
async def output_comes_while_it_runs(toolbox: Toolbox, place: str) -> None:
    """What was printed is told before the end."""
    running = await toolbox.start(script("echo ready; read line; echo got $line", stdin=True))
    pieces = running.output()
    first = await anext(aiter(pieces))
    expect(first.data == b"ready\n" and first.channel == "stdout", f"first came {first}")
    await running.write(b"it\n")
    rest = b"".join([piece.data async for piece in pieces])
    expect(rest == b"got it\n" and (await running.wait()).ok, f"then came {rest!r}")


@check
async def binary_and_large_output(toolbox: Toolbox, place: str) -> None:
    """Every byte comes through a stream; a plain result is clipped and says so."""
    line = f"head -c {3 << 20} /dev/zero; printf '\\377\\000\\376'"
    running = await toolbox.start(script(line))
    found = await _read(running)
    expect(len(found["stdout"]) == (3 << 20) + 3 and found["stdout"].endswith(b"\xff\x00\xfe"), "bytes are missing")
    result = await sh(toolbox, line)
    expect(result.clipped and 0 < len(result.stdout) <= CALL_BYTES, f"clipped {result.clipped} at {len(result.stdout)}")


@check
async def a_full_log_is_told(toolbox: Toolbox, place: str) -> None:
    """The process is not stopped by it."""
    result = await sh(toolbox, "head -c 200000 /dev/zero; exit 5", log_bytes=10_000)
    status = result.status
    expect(status.truncated and status.exit_code == 5 and status.output_bytes == 200_000, f"{status}")
    expect(0 < len(result.stdout) <= 10_000, f"kept {len(result.stdout)}")


@check
async def a_process_waits_for_its_reader(toolbox: Toolbox, place: str) -> None:
    """More than is kept of it, and nobody reads at first: it waits, and every byte comes."""
    running = await toolbox.start(script("head -c 6000000 /dev/zero; exit 5", log_bytes=10_000))
    before = -1
    while (printed := (await toolbox.show(running.exec_id)).output_bytes) > before or printed == 0:
        before = printed
        await anyio.sleep(0.05)
    expect(printed < 6_000_000, "it did not wait")
    found = await _read(running)
    expect(len(found["stdout"]) == 6_000_000, f"{len(found['stdout'])} bytes came")
    status = await running.wait()
    expect(status.exit_code == 5 and not status.truncated, f"{status}")


@check
async def a_time_limit_ends_the_whole_tree(toolbox: Toolbox, place: str) -> None:
    """Also what ignores TERM and what left the session."""
    mark = f"31{time.time_ns() % 10**6:06d}"
    await _shown(toolbox, mark)
    line = f"trap '' TERM; (setsid sh -c \"trap '' TERM; sleep {mark}\" &) ; sleep {mark} & sleep {mark}"
    result = await sh(toolbox, line, timeout=0.5, grace=0.2)
    expect(result.status.state is ExecState.TIMED_OUT, f"{result.status}")
    left = await sh(toolbox, f"ps -eo args | grep -c '[s]leep {mark}'")
    expect(left.stdout == b"0\n", f"left behind: {left}")


async def _shown(toolbox: Toolbox, mark: str) -> None:
    """That `ps` would show it if it ran; what has just been started may not be there yet."""
    count = f"ps -eo args | grep -c '^[s]leep {mark}'"
    wait = f"n=0; while [ $n -lt 100 ] && ! {count} > /dev/null; do n=$((n + 1)); sleep 0.1; done"
    seen = await sh(toolbox, f"command -v ps > /dev/null || exit {NOT_FOUND}; sleep {mark} & {wait}; {count}; kill $!")
    if seen.status.exit_code == NOT_FOUND:
        raise NotTriedError("ps is not installed in the workspace")
    expect(seen.stdout == b"1\n", f"ps does not show what runs: {seen}")


@check
async def kill(toolbox: Toolbox, place: str) -> None:
    """The status tells the signal; killing what is over changes nothing; unknown ones are told."""
    running = await toolbox.start(Exec(argv=["sleep", "3600"]))
    status = await toolbox.kill(running.exec_id)
    expect(status.state is ExecState.SIGNALLED and status.signal == 15, f"{status}")
    expect((await running.wait()).state is ExecState.SIGNALLED, "another end was told")
    expect((await toolbox.kill(running.exec_id, 9)).signal == 15, "killing it again changed it")
    await refused("exec_unknown", toolbox.kill(UNKNOWN))
    await refused("invalid", toolbox.kill("../../etc"))
    await refused("invalid", toolbox.kill(running.exec_id, 99))


@check
async def a_signal_that_is_handled(toolbox: Toolbox, place: str) -> None:
    """A program may end by itself on a signal."""
    line = "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.02; done"
    running = await toolbox.start(script(line))
    pieces = running.output()
    await anext(aiter(pieces))
    await running.kill(signal.SIGUSR1)
    rest = b"".join([piece.data async for piece in pieces])
    status = await running.wait()
    expect(rest.endswith(b"caught\n") and status.exit_code == 7, f"{rest!r} {status}")


@check
async def background_and_attach(toolbox: Toolbox, place: str) -> None:
    """It goes on with nobody there; from a cursor on, nothing is missing or twice."""
    line = "echo one; read line < go; echo two >&2; echo three"
    await sh(toolbox, "mkfifo go", cwd=place)
    result = await sh(toolbox, line, cwd=place, background=True)
    exec_id = result.status.exec_id
    expect(result.status.background, f"{result.status}")
    cursor = await _first(await toolbox.attach(exec_id))
    expect(exec_id in [status.exec_id for status in (await toolbox.execs()).execs], "it is not listed")
    await sh(toolbox, "echo > go", cwd=place)
    late = await toolbox.attach(exec_id, cursor)
    found = await _read(late)
    expect(found == {"stdout": b"three\n", "stderr": b"two\n"}, f"after the cursor came {found}")
    expect((await late.wait()).ok and (await toolbox.show(exec_id)).ok, "another end")
    whole = await _read(await toolbox.attach(exec_id))
    expect(whole == {"stdout": b"one\nthree\n", "stderr": b"two\n"}, f"from the beginning came {whole}")
    await refused("exec_unknown", toolbox.attach(UNKNOWN))
    await refused("invalid", toolbox.attach(exec_id, 1 << 40))


@check
async def the_same_id_runs_once(toolbox: Toolbox, place: str) -> None:
    """A repeated exec is the same exec."""
    first = await sh(toolbox, "echo x >> count; cat count", cwd=place)
    exec_id = first.status.exec_id
    again = await sh(toolbox, "echo x >> count; cat count", cwd=place, exec_id=exec_id)
    expect(again == first, f"again gave {again}")
    expect((await toolbox.read(f"{place}/count")).content == b"x\n", "it ran twice")


@check
async def the_end_is_the_main_process(toolbox: Toolbox, place: str) -> None:
    """A process left behind with the output open does not delay the end, and lives on."""
    began = time.monotonic()
    result = await sh(toolbox, "sleep 300 & echo $!")
    expect(result.status.ok and time.monotonic() - began < 60, f"{result}")
    pid = result.stdout.decode().strip()
    alive = await sh(toolbox, f"kill -0 {pid} && kill {pid}")
    expect(alive.status.ok, f"it did not live on: {alive}")


@check
async def closing_output_is_not_the_end(toolbox: Toolbox, place: str) -> None:
    """A program that closes its output still runs until it ends."""
    result = await sh(toolbox, "echo x; exec >&- 2>&-; sleep 0.2; exit 4")
    expect(result.status.exit_code == 4 and result.stdout == b"x\n", f"{result}")


@check
async def bad_requests(toolbox: Toolbox, place: str) -> None:
    """Each is refused before anything runs."""
    await refused("invalid", toolbox.exec([]))
    await refused("invalid", toolbox.exec([""]))
    await refused("invalid", toolbox.exec(["a\0b"]))
    await refused("invalid", toolbox.exec(["true"], environment={"A=B": "x"}))
    await refused("invalid", toolbox.exec(["true"], environment={"A": "x\0"}))
    await refused("invalid", toolbox.exec(["true"], timeout=-1.0))
    await refused("invalid", toolbox.exec(["true"], exec_id="../../x"))
    await refused("invalid", toolbox.exec(["cat"], stdin=True))
    await refused("too_large", toolbox.exec(["true", "x" * (1 << 20)]))
    await refused("exec_unknown", toolbox.show(UNKNOWN))
