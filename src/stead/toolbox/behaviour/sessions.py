"""Sessions: a line goes on where the one before left off."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import check, expect, refused
from stead.toolbox.contract import Exec, Toolbox

NAME = "behaviour"


async def _out(toolbox: Toolbox, line: str, **options: object) -> str:
    return (await toolbox.sessions.run(NAME, line, **options)).stdout.decode()


@check
async def sessions_keep_directory_and_environment(toolbox: Toolbox, place: str) -> None:
    """What a line changes and exports is there for the next, also with odd values; what it does not export is not."""
    await toolbox.sessions.close(NAME)
    await toolbox.mkdir(f"{place}/a b")
    opened = await toolbox.sessions.open(NAME, cwd=place, environment={"GIVEN": "1"})
    expect(opened.cwd == place and opened.environment == {"GIVEN": "1"}, f"opened {opened}")
    await _out(toolbox, "cd 'a b'; export ODD='x\ny \"$HOME\" '\\'' é'; LOCAL=1; export GIVEN=2")
    said = await _out(toolbox, 'printf "%s|%s|%s|%s" "$ODD" "$GIVEN" "${LOCAL-none}" "$PWD"')
    odd, given, local, cwd = said.split("|")
    expect(odd == 'x\ny "$HOME" \' é' and given == "2" and local == "none", f"printed {said!r}")
    expect(cwd.endswith(f"{place}/a b"), f"is in {cwd!r}")
    shown = await toolbox.sessions.show(NAME)
    expect(shown.cwd == f"{place}/a b" and shown.environment["GIVEN"] == "2", f"shown {shown}")
    again = await toolbox.sessions.open(NAME, cwd=".", environment={"GIVEN": "3"})
    expect(again.cwd == shown.cwd and again.environment["GIVEN"] == "2", "opening it again began it anew")
    await _out(toolbox, "unset ODD; cd ..")
    expect("ODD" not in (await toolbox.sessions.show(NAME)).environment, "a variable that was unset is still there")
    expect((await toolbox.sessions.close(NAME)).existed, "it was not there")
    await refused("not_found", toolbox.sessions.run(NAME, "true"))


@check
async def sessions_are_execs(toolbox: Toolbox, place: str) -> None:
    """Exit codes, `exit`, time limits, lines that are killed, syntax errors, directories that are gone."""
    await toolbox.sessions.close(NAME)
    await toolbox.sessions.open(NAME, cwd=place)
    done = await toolbox.sessions.run(NAME, "cd /; export A=1; exit 7")
    expect(done.status.exit_code == 7, f"ended {done.status}")
    shown = await toolbox.sessions.show(NAME)
    expect(shown.environment.get("A") == "1", "what came before `exit` is lost")
    late = await toolbox.sessions.run(NAME, "export A=2; sleep 600", timeout=0.5)
    expect(late.status.state == "timed_out", f"ended {late.status}")
    wrong = await toolbox.sessions.run(NAME, "if then")
    expect(wrong.status.exit_code not in {0, None}, f"ended {wrong.status}")
    expect(await _out(toolbox, 'echo "$A"') in {"1\n", "2\n"}, "the session is lost")
    await toolbox.mkdir(f"{place}/gone")
    await toolbox.sessions.close(NAME)
    await toolbox.sessions.open(NAME, cwd=f"{place}/gone")
    await toolbox.delete(f"{place}/gone")
    await refused("not_found", toolbox.sessions.run(NAME, "true"))
    await refused("invalid", toolbox.sessions.open("../x"))
    await refused("invalid", toolbox.sessions.open("x", environment={"a b": "1"}))
    await refused("path_outside", toolbox.sessions.open("x", cwd=".."))
    await refused("not_found", toolbox.sessions.open("x", cwd=f"{place}/nothing"))
    await toolbox.sessions.close(NAME)


@check
async def sessions_are_listed_and_stream(toolbox: Toolbox, place: str) -> None:
    """One without a name gets one; a line takes input and is told as it runs; the last used comes first."""
    await toolbox.sessions.close(NAME)
    await toolbox.sessions.open(NAME, cwd=place)
    other = await toolbox.sessions.open()
    try:
        running = await toolbox.sessions.start(NAME, "echo one; read line; export GOT=$line", Exec(argv=[], stdin=True))
        pieces = running.output()
        expect((await anext(aiter(pieces))).data == b"one\n", "what it prints is not told while it runs")
        await running.write(b"two\n")
        expect((await running.wait()).ok and await _out(toolbox, "echo $GOT") == "two\n", "the input is lost")
        names = [session.name for session in (await toolbox.sessions.list()).sessions]
        expect(other.name in names[names.index(NAME) :], f"listed {names}")
    finally:
        await toolbox.sessions.close(other.name)
    expect((await toolbox.sessions.close(NAME)).existed, "it was not there")
    names = [session.name for session in (await toolbox.sessions.list()).sessions]
    expect(not {NAME, other.name} & set(names), f"closed, and listed: {names}")
