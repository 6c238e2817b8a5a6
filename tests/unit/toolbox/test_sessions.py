"""Sessions: there are only so many, they are not hurt by what stands in their files, and they outlive the guest."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.remote import RemoteToolbox
from stead.toolbox.contract import Exec
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.sessions.contract import NOT_KEPT, SESSIONS, OneSession, OpenSession, PrepareLine
from stead.toolbox.sessions.local import FILE_BYTES, LocalSessions
from support.disk import Disk, small_disk
from support.guests import WORKSPACE, GuestProcess

pytestmark = pytest.mark.anyio


@pytest.fixture
async def toolbox(tmp_path: Path) -> AsyncIterator[LocalToolbox]:
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as here:
        yield here


async def out(toolbox: LocalToolbox | RemoteToolbox, line: str) -> str:
    done = await toolbox.sessions.run("one", line)
    assert done.stderr == b""
    return done.stdout.decode()


async def test_the_one_not_used_for_longest_makes_room(toolbox: LocalToolbox, tmp_path: Path) -> None:
    for number in range(SESSIONS):
        await toolbox.sessions.open(f"s{number}")
        os.utime(tmp_path / "run" / "sessions" / f"s{number}" / "state", (number, number))
    await toolbox.sessions.open("s0", cwd="no such directory")
    assert len((await toolbox.sessions.list()).sessions) == SESSIONS, "one that is there needs no room"
    for refused in ({"cwd": "nothing"}, {"environment": {"a b": ""}}, {"environment": {"a": "\0"}}):
        with pytest.raises(SteadError):
            await toolbox.sessions.open("another", **refused)
    assert len((await toolbox.sessions.list()).sessions) == SESSIONS, "one that is refused needs no room"
    await toolbox.sessions.run("s0", "true")
    await toolbox.sessions.open("another")
    names = [each.name for each in (await toolbox.sessions.list()).sessions]
    assert sorted(names) == sorted(["another", *(f"s{number}" for number in range(SESSIONS) if number != 1)])


def empty(at: Path) -> None:
    for file in at.iterdir():
        file.unlink()


def directories(at: Path) -> None:
    for file in [*at.iterdir()]:
        file.unlink()
        file.mkdir()


def pipes(at: Path) -> None:
    for file in [*at.iterdir()]:
        file.unlink()
        os.mkfifo(file)


def links(at: Path) -> None:
    for file in [*at.iterdir()]:
        file.unlink()
        file.symlink_to("/etc/passwd")


def a_file(at: Path) -> None:
    shutil.rmtree(at)
    at.write_text("no session")


def a_link(at: Path) -> None:
    shutil.rmtree(at)
    at.symlink_to("/etc")


@pytest.mark.parametrize("ruin", [empty, directories, pipes, links, a_file, a_link])
async def test_a_ruin_is_no_session_and_is_made_anew(
    toolbox: LocalToolbox, tmp_path: Path, ruin: Callable[[Path], None]
) -> None:
    await toolbox.sessions.open("one")
    await toolbox.sessions.open("other")
    ruin(tmp_path / "run" / "sessions" / "one")
    assert [each.name for each in (await toolbox.sessions.list()).sessions] == ["other"]
    for refused in (toolbox.sessions.show("one"), toolbox.sessions.run("one", "true")):
        with pytest.raises(SteadError) as found:
            await refused
        assert found.value.code == "not_found"
    await toolbox.sessions.open("one", environment={"FRESH": "1"})
    assert await out(toolbox, 'echo "$FRESH"') == "1\n"
    ruin(tmp_path / "run" / "sessions" / "one")
    assert (await toolbox.sessions.close("one")).existed
    assert [each.name for each in (tmp_path / "run" / "sessions").iterdir()] == ["other"]
    assert Path("/etc/passwd").exists()


async def test_hostile_files_are_only_text(toolbox: LocalToolbox, tmp_path: Path) -> None:
    await toolbox.sessions.open("one")
    files = tmp_path / "run" / "sessions" / "one"
    hostile = b"no variable\0=\0A B=1\0LD PRELOAD=x\0OK=fine\0BAD=\xff\0$(touch made)=1\0Q=`touch made`\0"
    (files / "state").write_bytes(os.fsencode(tmp_path / "root") + b"\n\0" + hostile)
    shown = await toolbox.sessions.show("one")
    assert shown.environment == {"OK": "fine", "Q": "`touch made`"}
    (files / "run").write_text("touch made")
    assert await out(toolbox, 'echo "$OK $Q"') == "fine `touch made`\n"
    assert not any((tmp_path / "root").iterdir())
    for wrong in (b"$(touch made)\n", b"\0\n", b"", b"\xff" * 10_000, b"/etc/passwd\n", b"/no\n/dir\n\0A=1"):
        (files / "state").write_bytes(wrong)
        assert (await toolbox.sessions.list()).sessions[0].name == "one"
        with pytest.raises(SteadError) as found:
            await toolbox.sessions.run("one", "touch made")
        assert found.value.code == "not_found"
    assert not any((tmp_path / "root").iterdir())


async def test_what_is_no_text_does_not_end_a_session(toolbox: LocalToolbox) -> None:
    await toolbox.sessions.open("one")
    await out(toolbox, r"""export KEPT=1 LOST=$(printf '\377'); d=$(printf 'a\377'); mkdir "$d"; cd "$d" """)
    assert (await toolbox.sessions.show("one")).cwd == "a\ufffd"
    done = await toolbox.sessions.run("one", 'printf %s "${PWD##*/}|$KEPT|${LOST-none}"')
    assert done.stdout == b"a\xff|1|none"


@pytest.mark.parametrize("name", ["a b", "two\nlines", "\\0101 %s $HOME `id` 'x\"", "ä\\", "-n"])
async def test_a_session_is_in_a_directory_of_any_name(toolbox: LocalToolbox, tmp_path: Path, name: str) -> None:
    (tmp_path / "root" / name).mkdir()
    await toolbox.sessions.open("one", cwd=name)
    assert (await toolbox.sessions.show("one")).cwd == name
    for _ in range(2):
        assert await out(toolbox, 'printf %s "${PWD##*/}"') == name


async def test_a_path_without_programs_is_kept_like_any_other(toolbox: LocalToolbox) -> None:
    await toolbox.sessions.open("one")
    await out(toolbox, "export PATH=/nowhere")
    assert (await toolbox.sessions.run("one", "ls")).status.exit_code == 127
    assert await out(toolbox, "unset PATH; export PATH=/bin:/usr/bin; ls; echo back") == "back\n"


async def test_of_two_lines_at_once_the_last_to_end_decides(toolbox: LocalToolbox) -> None:
    await toolbox.sessions.open("one")
    slow = await toolbox.sessions.start("one", "export A=slow; echo begun; read _", Exec(argv=[], stdin=True))
    first = await anext(slow.output())
    assert first.data == b"begun\n"
    assert await out(toolbox, "export A=quick; echo $A") == "quick\n"
    assert await out(toolbox, "echo $A") == "quick\n"
    await slow.write(b"\n")
    assert (await slow.wait()).ok
    assert await out(toolbox, "echo $A") == "slow\n"


async def test_many_lines_at_once_leave_a_whole_session(toolbox: LocalToolbox) -> None:
    await toolbox.sessions.open("one")
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(out, toolbox, f"export A={number} B={number}")
    shown = await toolbox.sessions.show("one")
    assert shown.environment["A"] == shown.environment["B"]


async def test_of_too_much_the_last_variable_is_lost_whole(toolbox: LocalToolbox, tmp_path: Path) -> None:
    await toolbox.sessions.open("one", environment={"A": "1"})
    state = tmp_path / "run" / "sessions" / "one" / "state"
    state.write_bytes(state.read_bytes() + b"B=" + b"b" * FILE_BYTES + b"\0C=1\0")
    assert (await toolbox.sessions.show("one")).environment == {"A": "1"}


async def test_a_session_with_very_much_in_it_goes_on(toolbox: LocalToolbox) -> None:
    await toolbox.sessions.open("one")
    line = "for name in A B C D E F; do export $name=$(head -c 100000 /dev/zero | tr '\\0' x); done; pwd() { false; }"
    assert (await toolbox.sessions.run("one", line)).status.ok
    assert await out(toolbox, "kept=$A$B$C$D$E$F; echo ${#kept}") == "200000\n"
    assert await out(toolbox, "unset A B C D E F; echo done") == "done\n"
    assert (await toolbox.sessions.show("one")).environment == {}


async def test_directory_and_environment_are_saved_as_one(toolbox: LocalToolbox, tmp_path: Path) -> None:
    """Whoever looks while lines save, and whatever is killed between: never a new one with an old one."""
    await toolbox.sessions.open("one", environment={"A": "0"})
    saved = anyio.Event()
    root = tmp_path / "root"

    async def save() -> None:
        for number in range(1, 21):
            await out(toolbox, f"mkdir {root}/{number}; cd {root}/{number}; export A={number}")
        saved.set()

    seen = set()
    async with anyio.create_task_group() as group:
        group.start_soon(save)
        while not saved.is_set():
            shown = await toolbox.sessions.show("one")
            seen.add((shown.cwd, shown.environment["A"]))
    assert seen <= {(".", "0"), *((str(number), str(number)) for number in range(1, 21))}


async def test_a_line_begins_as_it_was_prepared(toolbox: LocalToolbox, tmp_path: Path) -> None:
    """What another line saves between changes neither of the two."""
    (tmp_path / "root" / "there").mkdir()
    await toolbox.sessions.open("one", environment={"A": "before"})
    prepared = await toolbox.sessions.prepare("one", 'echo "$A ${PWD##*/}"')
    await out(toolbox, "export A=after; cd there")
    done = await toolbox.exec(prepared.argv, environment=prepared.environment)
    assert done.stdout == b"before root\n"


async def test_a_session_outlives_the_guest_also_in_the_midst_of_a_line(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest:
        async with guest.linked() as client:
            toolbox = RemoteToolbox(client, WORKSPACE)
            await toolbox.sessions.open("one")
            await out(toolbox, "export A=1; mkdir d; cd d")
        await anyio.to_thread.run_sync(guest.kill_guest)
        async with guest.linked() as client:
            toolbox = RemoteToolbox(client, WORKSPACE)
            assert await out(toolbox, 'echo "$A ${PWD##*/}"') == "1 d\n"
            line = "export A=2; cd ..; echo begun; while [ ! -e go ]; do sleep 0.02; done"
            running = await toolbox.sessions.start("one", line, Exec(argv=[], background=True))
            assert (await anext(running.output())).data == b"begun\n"
        await anyio.to_thread.run_sync(guest.kill_guest)
        (guest.root / "go").touch()
        async with guest.linked() as client:
            toolbox = RemoteToolbox(client, WORKSPACE)
            attached = await toolbox.attach(running.exec_id)
            assert (await attached.wait()).ok
            assert await out(toolbox, 'echo "$A"; ls') == "2\nd\ngo\n"


@pytest.mark.parametrize("way", [Disk.fill, Disk.fill_names])
async def test_a_full_disk_under_the_sessions(tmp_path: Path, way: Callable[..., None]) -> None:
    """What cannot be kept is told; the session is as before the line, and nothing half written stays."""
    (tmp_path / "root/inner").mkdir(parents=True)
    with small_disk(tmp_path / "disk") as disk:
        disk.free()
        async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
            toolbox.place.state = disk.path / "state"
            sessions = LocalSessions(toolbox.place)
            await sessions.open(OpenSession(name="one", environment={"A": "1"}))
            way(disk)
            before, used = await sessions.show(OneSession(name="one")), disk.used()
            prepared = await sessions.prepare(PrepareLine(name="one", line="cd inner; export A=2; echo $A; exit 3"))
            done = await toolbox.exec(prepared.argv, environment=prepared.environment)
            assert (done.status.exit_code, done.stdout) == (NOT_KEPT, b"2\n")
            assert b"the line ended with 3; directory and environment could not be kept" in done.stderr
            after = await sessions.show(OneSession(name="one"))
            assert (after.cwd, after.environment, disk.used()) == (before.cwd, {"A": "1"}, used)
            with pytest.raises(SteadError) as caught:
                await sessions.open(OpenSession(name="two"))
            assert (caught.value.code, disk.used()) == ("disk_full", used)
            (disk.path / "state/sessions/one/run").unlink()
            (disk.path / "state/sessions/one/run").write_bytes(b"")
            way(disk)
            used = disk.used()
            with pytest.raises(SteadError) as caught:
                await sessions.prepare(PrepareLine(name="one", line="true"))
            assert (caught.value.code, disk.used()) == ("disk_full", used)
            disk.free()
            await sessions.open(OpenSession(name="two"))
            prepared = await sessions.prepare(PrepareLine(name="one", line="cd inner"))
            done = await toolbox.exec(prepared.argv, environment=prepared.environment)
            assert done.status.exit_code == 0
            assert (await sessions.show(OneSession(name="one"))).cwd == "inner"
