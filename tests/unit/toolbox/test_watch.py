"""The watch on real directories: many of them, storms, lost roots, slow readers, limits of the system."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.remote import RemoteToolbox
from stead.toolbox.confine import Root
from stead.toolbox.place import Place
from stead.toolbox.watch.contract import PENDING, Change, ChangeKind, WatchFiles
from stead.toolbox.watch.hub import Hub, Reading, hub
from stead.toolbox.watch.mounts import deaf, mounted, state
from stead.toolbox.watch.pending import Pending
from stead.toolbox.watch.polling import Polled
from stead.toolbox.watch.tree import DEPTH, Tree
from support.deadline import PATIENCE
from support.guests import WORKSPACE, Client, GuestProcess

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux; polling is tried by the behaviours"),
]


WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: tens of thousands of files are made."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as base:
        path = Path(base, "root")
        path.mkdir()
        yield path


@pytest.fixture
def watched(root: Path) -> Iterator[Hub]:
    place = Place(Root(root), {"PATH": os.environ["PATH"]})
    yield hub(place)
    place.close()
    place.root.close()


async def until(reading: Reading, seen: Callable[[Change], bool]) -> list[Change]:
    """What comes, to the first that is it."""
    found: list[Change] = []
    with anyio.fail_after(PATIENCE):
        while not any(map(seen, found)):
            found += await reading.batch()
    return found


def at(path: str) -> Callable[[Change], bool]:
    return lambda change: change.path == path


@pytest.mark.skipif(
    int(WATCHES.read_text() if WATCHES.exists() else 0) < 50_000, reason="the system watches too few directories"
)
async def test_a_hundred_thousand_files_and_ten_thousand_changes_at_once(watched: Hub, root: Path) -> None:
    """In ten thousand directories."""
    for outer in range(100):
        (root / f"{outer}").mkdir()
        for inner in range(100):
            (root / f"{outer}" / f"{inner}").mkdir()
            _ten_files(root, outer, inner)
    async with watched.reading(WatchFiles()) as reading, watched.reading(WatchFiles(path="7")) as part:
        (state,) = watched.status()
        assert (state.mode, state.directories, state.readers) == ("inotify", 10_101, 2)
        line = (
            "import os\nfor n in range(10000): os.close(os.open(f'{n % 100}/{n // 100}/new', os.O_CREAT | os.O_WRONLY))"
        )
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: anyio.run_process([sys.executable, "-c", line], cwd=root))
            found: dict[str, ChangeKind] = {}
            with anyio.fail_after(PATIENCE * 2):
                while len(found) < 10_000:
                    for change in await reading.batch():
                        if change.overflow:  # a machine that is too slow for its own kernel says so
                            return
                        if change.kind is ChangeKind.CREATED:
                            found[change.path] = change.kind
        assert {path.rpartition("/")[2] for path in found} == {"new"}
        assert {change.path[:2] for change in await part.batch()} == {"7/"}
        (root / "3").rename(root / "8" / "moved")
        moved = await until(reading, at("8/moved"))
        assert [(change.kind, change.path, change.previous) for change in moved if change.directory] == [
            (ChangeKind.RENAMED, "8/moved", "3")
        ]
        (root / "8" / "moved" / "5" / "later").touch()
        await until(reading, at("8/moved/5/later"))


def _ten_files(root: Path, outer: int, inner: int) -> None:
    """Names of the same files, which are made sooner than files."""
    for number in range(10):
        if outer == 0:
            (root / "0" / f"{inner}" / f"{number}").touch()
        else:
            os.link(root / "0" / f"{inner}" / f"{number}", root / f"{outer}" / f"{inner}" / f"{number}")


async def test_what_is_made_in_new_directories_at_once_is_told(watched: Hub, root: Path) -> None:
    source = root.parent / "source"
    for number in range(200):
        directory = source / "a" / f"{number}" / "b" / "c"
        directory.mkdir(parents=True)
        (directory / "file").touch()
    async with watched.reading(WatchFiles()) as reading:
        shutil.copytree(source, root / "copy")
        (root / "end").mkdir()
        changes = await until(reading, at("end"))
        files = {
            change.path for change in changes if change.kind is ChangeKind.CREATED and change.path.endswith("/file")
        }
        assert files == {f"copy/a/{number}/b/c/file" for number in range(200)}
        source.rename(root / "arrived")
        changes = await until(reading, at("arrived/a/199/b/c/file"))
        assert len([change for change in changes if change.path.endswith("/file")]) == 200
        (root / "arrived").rename(source)
        gone = await until(reading, at("arrived"))
        assert [(change.kind, change.path) for change in gone] == [(ChangeKind.DELETED, "arrived")]
        (source / "a" / "unseen").touch()
        (root / "last").mkdir()
        assert [change.path for change in await until(reading, at("last"))] == ["last"]


async def test_the_root_goes_away(watched: Hub, root: Path) -> None:
    async with watched.reading(WatchFiles()) as reading:
        shutil.rmtree(root)
        with pytest.raises(SteadError) as gone:
            await until(reading, at("nothing more"))
        assert gone.value.code == "not_found"
    assert watched.status() == []


async def test_a_watched_directory_goes_away_and_comes_back(watched: Hub, root: Path) -> None:
    (root / "sub").mkdir()
    async with watched.reading(WatchFiles(path="sub")) as reading:
        shutil.rmtree(root / "sub")
        assert (await until(reading, at("sub")))[-1].kind is ChangeKind.DELETED
        (root / "sub").mkdir()
        (root / "sub" / "file").touch()
        assert [change.path for change in await until(reading, at("sub/file"))] == ["sub", "sub/file"]


async def test_what_is_renamed_is_judged_where_it_is_now(watched: Hub, root: Path) -> None:
    (root / ".gitignore").write_text("/build/*.log\n")
    for path in ("build/a.log", "build/b", "other/c.log"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
    async with watched.reading(WatchFiles()) as reading:
        (root / "build").rename(root / "out")
        (root / "other").rename(root / "build")
        told = [(str(change.kind), change.path) for change in await reading.now()]
        assert told == [("renamed", "out"), ("created", "out/a.log"), ("renamed", "build"), ("deleted", "build/c.log")]
        for path in ("out/a.log", "build/c.log"):
            (root / path).write_text("x")
        assert [(str(change.kind), change.path) for change in await reading.now()] == [("modified", "out/a.log")]


async def test_a_directory_from_elsewhere_is_to_be_listed(watched: Hub, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "other" / "in").mkdir(parents=True)
    (root / "other" / "in" / "file").touch()
    async with watched.reading(WatchFiles(path="sub")) as part:
        (root / "other").rename(root / "sub" / "here")
        assert [change.kind for change in await part.now()] == [ChangeKind.OVERFLOW]
        (root / "sub" / "here").rename(root / "sub" / "there")
        (root / "sub" / "there").rename(root / "other")
        told = [(change.kind, change.path, change.previous) for change in await part.now()]
        assert told == [(ChangeKind.RENAMED, "sub/there", "sub/here"), (ChangeKind.DELETED, "sub/there", "")]


def test_what_comes_while_one_catches_up_is_left_for_later(root: Path) -> None:
    """Else who asks for what has happened so far would wait as long as something happens."""

    class Echo(Pending):
        def modified(self, path: str, *, directory: bool) -> None:
            super().modified(path, directory=directory)
            (root / path).write_text("again")

    (root / "file").touch()
    confined, pending = Root(root), Echo()
    tree = Tree(confined, pending)
    try:
        tree.begin()
        (root / "file").write_text("x")
        tree.catch_up()
        assert [(change.kind, change.path) for change in pending.take()] == [(ChangeKind.MODIFIED, "file")]
        assert tree.read()
    finally:
        tree.close()
        confined.close()


async def test_who_waits_when_the_watch_ends_hears_it(watched: Hub, root: Path) -> None:
    reading = await watched.join(WatchFiles())
    codes: list[str] = []

    async def wait(what: Callable[[], Awaitable[object]]) -> None:
        try:
            await what()
        except SteadError as error:
            codes.append(error.code)

    with anyio.fail_after(PATIENCE):
        assert reading.shared is not None
        reading.shared.engine.stop()
        reading.shared.engine.join(PATIENCE)
        async with anyio.create_task_group() as group:
            group.start_soon(wait, reading.now)
            await anyio.lowlevel.checkpoint()
            watched.leave(reading)
        other = await watched.join(WatchFiles())
        async with anyio.create_task_group() as group:
            group.start_soon(wait, other.batch)
            await anyio.lowlevel.checkpoint()
            watched.close()
    assert codes == ["cancelled"] * 2


async def test_a_polled_root_that_is_another_now_is_gone(watched: Hub, root: Path) -> None:
    async with watched.reading(WatchFiles(poll=True)) as reading:
        root.rename(root.with_name("away"))
        root.mkdir()
        with pytest.raises(SteadError) as gone:
            await until(reading, at("nothing more"))
    assert gone.value.code == "not_found"


async def test_deeper_directories_are_not_watched(watched: Hub, root: Path) -> None:
    deepest = root.joinpath(*["d"] * DEPTH)
    (deepest / "deeper").mkdir(parents=True)
    async with watched.reading(WatchFiles()) as reading:
        assert watched.status()[0].directories == DEPTH + 1
        (deepest / "deeper" / "unseen").touch()
        (deepest / "seen").touch()
        assert [change.path.rpartition("/")[2] for change in await reading.now()] == ["seen"]


async def test_a_slow_reader_is_told_that_it_missed_something(watched: Hub, root: Path) -> None:
    async with watched.reading(WatchFiles()) as slow, watched.reading(WatchFiles()) as quick:
        seen: set[str] = set()
        for number in range(PENDING + 500):
            (root / f"{number}").touch()
            if number % 2000 == 0:
                seen |= {change.path for change in await quick.now()}
        seen |= {change.path for change in await quick.now()}
        (first, *rest) = await slow.now()
        assert first.overflow
        assert len(rest) < PENDING
        assert len(seen) == PENDING + 500


def test_a_kernel_that_dropped_events_is_told(root: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("the kernel keeps too many events here")
    confined, pending = Root(root), Pending()
    tree = Tree(confined, pending)
    try:
        tree.begin()
        for number in range(limit // 2 + 100):
            (root / f"{number % 50}").touch()
            (root / f"{number % 50}").unlink()
        (root / "last").touch()
        while tree.read():
            pass
        assert (tree.missed, [change.kind for change in pending.take()]) == (1, [ChangeKind.OVERFLOW])
        (root / "last").unlink()
        tree.read()
        assert [(change.kind, change.path) for change in pending.take()] == [(ChangeKind.DELETED, "last")]
    finally:
        tree.close()
        confined.close()


LIMITED = """
import asyncio, os, sys
from stead.toolbox.confine import Root
from stead.toolbox.place import Place
from stead.toolbox.watch.contract import WatchFiles
from stead.toolbox.watch.hub import hub

async def main():
    place = Place(Root(sys.argv[1]), {})
    async with hub(place).reading(WatchFiles()) as reading:
        print(hub(place).status()[0].mode, hub(place).status()[0].reason)
        for number in range(20):
            os.makedirs(f"{sys.argv[1]}/{number}/sub", exist_ok=True)
        while hub(place).status()[0].mode != "polling":
            print([change.kind.value for change in await reading.batch()][0])
        print("polling")
        os.mkdir(f"{sys.argv[1]}/end")
        while "end" not in [change.path for change in await reading.batch()]:
            pass
        print("end")
    place.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(("what", "limit"), [("instances", 0), ("watches", 10)])
def test_where_the_system_cannot_watch_so_much_it_is_looked_at(root: Path, what: str, limit: int) -> None:
    limits = f"echo {limit} > /proc/sys/user/max_inotify_{what}"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, limits], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespace with limits of its own can be made here")
    line = f'{limits} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        [*unshare, line, sys.executable, LIMITED, str(root)],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    told = done.stdout.splitlines()
    assert told[-2:] == ["polling", "end"], done.stderr
    if limit == 0:
        assert told[0] == "polling fs.inotify.max_user_instances is used up"
    else:
        assert told[0] == "inotify "


def test_file_systems_that_do_not_tell_and_those_of_the_kernel_are_known(tmp_path: Path) -> None:
    """Whatever characters there are in their names, and the last that was mounted at one place."""
    (tmp_path / "mounts").write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:1 / /home/m\xc3\xbcller rw shared:1 - nfs4 host:/m rw\n"
        b"3 1 0:2 / /mnt/a\\040b\\134 rw - tmpfs none rw\n4 1 0:3 / /mnt/a\\040b\\134 rw - virtiofs tag rw\n"
        b"5 1 0:4 / /mnt/\xff\xe2\x80\xa8x/proc rw - proc proc rw\n6 1 0:5 / /proc rw - proc proc rw\n"
    )
    mounts = list(mounted(tmp_path / "mounts"))
    assert deaf("/home/other", mounts) == ""
    assert deaf("/home/m\u00fcller/w", mounts) == "nfs4"
    assert deaf("/mnt/a b\\/w", mounts) == "virtiofs"
    strange = os.fsdecode(b"/mnt/\xff\xe2\x80\xa8x")
    assert state(strange, mounts) == {f"{strange}/proc"}
    assert deaf("/") == deaf("/proc/self") == ""
    assert list(mounted(tmp_path / "none")) == []


@pytest.mark.parametrize("poll", [False, True])
async def test_what_the_kernel_shows_of_itself_is_not_looked_into(watched: Hub, root: Path, poll: bool) -> None:
    kernel = root / "kernel's own"
    kernel.mkdir()
    done = subprocess.run(["mount", "-t", "proc", "proc", str(kernel)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting needs root: {done.stderr.strip()}")
    try:
        async with watched.reading(WatchFiles(poll=poll)) as reading:
            (root / "new").touch()
            assert [change.path for change in await until(reading, at("new"))] == ["new"]
            (status,) = watched.status()
            assert status.directories == 1
            assert status.mode == ("polling" if poll else "inotify")
    finally:
        subprocess.run(["umount", "-l", str(kernel)], check=True)


async def test_kill_of_the_guest_is_one_gap(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest:
        client = Client()
        toolbox = RemoteToolbox(client, WORKSPACE)
        (guest.root / "sub").mkdir()
        async with anyio.create_task_group() as group:
            seen: list[Change] = []
            opened, told = anyio.Event(), anyio.Event()

            async def follow() -> None:
                async with toolbox.watch.open("sub") as watching:
                    opened.set()
                    async for change in watching:
                        seen.append(change)
                        told.set()

            async with guest.linked(client):
                group.start_soon(follow)
                await opened.wait()
                (guest.root / "sub" / "before").touch()
                with anyio.fail_after(PATIENCE):
                    await told.wait()
                guest.kill_guest()
            told = anyio.Event()
            async with guest.linked(client):
                with anyio.fail_after(PATIENCE):
                    await told.wait()
                told = anyio.Event()
                (guest.root / "sub" / "after").touch()
                with anyio.fail_after(PATIENCE):
                    await told.wait()
                group.cancel_scope.cancel()
    found = [(change.kind.value, change.path) for change in seen if change.kind is not ChangeKind.MODIFIED]
    assert found == [("created", "sub/before"), ("overflow", "."), ("created", "sub/after")]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")
def test_a_directory_that_cannot_be_looked_into_stops_no_watch() -> None:
    """Where a whole machine is watched: those of a process that has ended and is not collected yet."""
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    root = Root(f"/proc/{ended.pid}")
    tree, polled = Tree(root, Pending(), ignored=True), Polled(root, Pending(), ignored=True)
    try:
        tree.begin()
        assert tree.directories
        polled.begin()
        assert polled.directories
    finally:
        tree.close()
        ended.wait()
