"""A full disk under git: it says "disk_full", working tree, index, HEAD and branches are as they were, nothing half made stays,
and the same call works when there is room."""

import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.git.contract import Person
from stead.toolbox.git.trouble import failure
from stead.toolbox.programs import Finished
from support.areas import Here
from support.disk import Disk, small_disk

pytestmark = pytest.mark.anyio

Act = Callable[[Here], Awaitable[object]]

SOMEBODY = Person(name="Some Body", email="some@example.org")
NAMED = {f"GIT_{role}_{key}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
FAR = """git init -q --template= -b main far && cd far && mkdir in gone && echo one > a && head -c 200000 /dev/urandom > big
echo log > .gitignore && echo 1 > in/kept && echo 2 > gone/old && git add . && git commit -qm first
git checkout -q -b other && head -c 300000 /dev/urandom > big && head -c 300000 /dev/urandom > in/new && rm -r a gone
for n in 1 2 3 4; do echo $n > in/$n; done; git add -A && git commit -qm second && git checkout -q main"""
"""What is on another disk: a branch that changes, adds and removes files."""
HERE = """git clone -q --template= {far} r && cd r
echo mine >> in/kept && echo notes > notes && echo log > log && git add notes"""
"""The clone, with changes of somebody's own that no branch touches."""


def sh(place: Path, line: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "GIT_CONFIG_NOSYSTEM": "1"} | NAMED
    done = subprocess.run(["sh", "-ec", line], cwd=place, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    sh(place, FAR)
    return place / "far"


@pytest.fixture
def disk(tmp_path: Path, far: Path) -> Iterator[Disk]:
    shutil.copytree(far, tmp_path / "far")
    with small_disk(tmp_path / "disk") as found:
        found.free()
        yield found


@pytest.fixture
def here(disk: Disk, tmp_path: Path) -> Here:
    sh(disk.path, HERE.format(far=tmp_path / "far"))
    return Here(disk.path)


def state(place: Path) -> dict[str, object]:
    """All that somebody can see of the repository, and what is half made in it."""
    files = {
        str(path.relative_to(place)): (path.stat().st_mode, path.read_bytes())
        for path in place.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(place).parts
    }
    told = sh(place / "r", "git status --porcelain=v2 --branch --ignored; git branch -a -vv; git worktree list")
    half = [str(path) for end in ("tmp_*", "*.lock", ".stead*") for path in (place / "r/.git").rglob(end)]
    return {"names": sorted(path.name for path in place.iterdir()), "files": files, "told": told, "half": half}


ROOMS: dict[str, tuple[Callable[[Disk, int], None], Sequence[int]]] = {
    "bytes": (Disk.fill, (0, 4096, 100_000, 240_000, 400_000, 630_000, 2_000_000)),
    "names": (Disk.fill_names, (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 23, 30, 200)),
}


async def tried(here: Here, disk: Disk, act: Act, way: str) -> int:
    """The call on ever less full disks until it works; how often it failed."""
    fill, rooms = ROOMS[way]
    before = state(here.root)
    for failed, room in enumerate(rooms):
        fill(disk, room)
        try:
            await act(here)
        except SteadError as error:
            assert error.code == "disk_full", error
            disk.free()
            assert state(here.root) == before, error
        else:
            disk.free()
            return failed
    pytest.fail("there was never enough room")


MOVES: dict[str, Act] = {
    "branch": lambda here: here.git.checkout("r", branch="there"),
    "remote_branch": lambda here: here.git.checkout("r", branch="other"),
    "commit": lambda here: here.git.checkout("r", commit="origin/other"),
    "new_branch": lambda here: here.git.create_branch("new", "r", base="origin/other", checkout=True),
    "pull": lambda here: here.git.pull("r", branch="other"),
}


@pytest.mark.parametrize("way", ROOMS)
@pytest.mark.parametrize("act", MOVES.values(), ids=MOVES)
async def test_a_working_tree_that_moves(here: Here, disk: Disk, act: Act, way: str) -> None:
    sh(here.root / "r", "git branch --no-track there origin/other")
    assert await tried(here, disk, act, way) >= 2
    assert sh(here.root / "r", "git rev-parse HEAD") == sh(here.root / "r", "git rev-parse origin/other")
    assert sh(here.root / "r", "git status --porcelain") == "M in/kept\nA  notes"


@pytest.mark.parametrize("way", ROOMS)
async def test_a_detached_head_is_detached_again(here: Here, disk: Disk, way: str) -> None:
    sh(here.root / "r", "git checkout -q --detach")
    assert await tried(here, disk, lambda here: here.git.checkout("r", branch="other"), way) >= 2
    assert sh(here.root / "r", "git rev-parse --abbrev-ref HEAD") == "other"


@pytest.mark.parametrize("way", ROOMS)
async def test_changes_of_somebody_are_not_put_back(here: Here, disk: Disk, way: str) -> None:
    """Those for which git would not have moved; when they are to be discarded, it works once there is room."""
    (here.root / "r/big").write_text("mine")
    fill, rooms = ROOMS[way]
    before = state(here.root)
    codes = []
    for room in rooms:
        fill(disk, room)
        with pytest.raises(SteadError) as caught:
            await here.git.checkout("r", branch="other")
        disk.free()
        assert state(here.root) == before, caught.value
        codes.append(caught.value.code)
    assert set(codes) == {"disk_full", "conflict"}
    fill(disk, rooms[2])
    with pytest.raises(SteadError) as caught:
        await here.git.checkout("r", branch="other", force=True)
    assert caught.value.code == "disk_full", caught.value
    disk.free()
    await here.git.checkout("r", branch="other", force=True)
    assert sh(here.root / "r", "git status --porcelain") == ""


MAKES: dict[str, tuple[Act, str]] = {
    "commit": (lambda here: here.git.commit("made", "r", author=SOMEBODY, all=True), "git log -1 --format=%s"),
    "commit_paths": (
        lambda here: here.git.commit("made", "r", author=SOMEBODY, paths=["in/kept"]),
        "git log -1 --format=%s",
    ),
    "branch": (
        lambda here: here.git.create_branch("made", "r", base="origin/other"),
        "git rev-parse --abbrev-ref made",
    ),
    "worktree": (
        lambda here: here.git.add_worktree("tree", "made", "r", base="origin/other", create=True),
        "cd ../tree; git rev-parse --abbrev-ref HEAD; git status --porcelain",
    ),
    "config": (lambda here: here.git.config("r", name="made", email="m@example.org"), "git config user.name"),
}


@pytest.mark.parametrize("way", ROOMS)
@pytest.mark.parametrize(("act", "shows"), MAKES.values(), ids=MAKES)
async def test_what_is_made_in_a_repository(here: Here, disk: Disk, act: Act, shows: str, way: str) -> None:
    (here.root / "r/fresh").write_bytes(os.urandom(100_000))
    assert await tried(here, disk, act, way) >= 1
    assert sh(here.root / "r", shows) == "made"
    assert sh(here.root / "r", "git fsck --no-dangling") == ""


@pytest.mark.parametrize("way", ROOMS)
async def test_a_clone(here: Here, disk: Disk, tmp_path: Path, way: str) -> None:
    """There whole, or not at all."""
    above = Here(tmp_path)
    assert await tried(here, disk, lambda _: above.git.clone("far", "disk/twin"), way) >= 2
    assert sh(disk.path / "twin", "git status --porcelain; git log -1 --format=%s") == "first"


@pytest.mark.parametrize("way", ROOMS)
@pytest.mark.parametrize("files", [1, 150], ids=["few_objects", "many_objects"])
async def test_a_fetch(here: Here, disk: Disk, tmp_path: Path, way: str, files: int) -> None:
    """Few objects are unpacked, many stay in their pack."""
    for number in range(files):
        (tmp_path / f"far/new{number}").write_bytes(os.urandom(1000))
    sh(tmp_path, "cd far; git add .; git commit -qm new")
    assert await tried(here, disk, lambda here: here.git.fetch("r"), way) >= 1
    assert sh(here.root / "r", "git log -1 --format=%s origin/main") == "new"
    assert sh(here.root / "r", "git fsck --no-dangling") == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: copy-fd: write returned: Disk quota exceeded", "disk_full"),
        ("fatal: sha1 file '/w/r/.git/index.lock' write error. Out of diskspace", "disk_full"),
        ("fatal: Unable to create '/w/r/.git/index.lock': No space left on device", "disk_full"),
        ("fatal: Unable to create '/w/r/.git/index.lock': File exists.", "conflict"),
        ("remote: fatal: write error: No space left on device\nfatal: the remote end hung up", "program_failed"),
    ],
)
def test_the_words_of_git(words: str, code: str) -> None:
    assert failure("switch", Finished(128, b"", words.encode(), False)).code == code
