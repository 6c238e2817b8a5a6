"""Searches on real files: content, names, and what goes wrong."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.ignoring.globs import GLOBS
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.place import THREADS, Place
from stead.toolbox.search.content import ContentSearch
from stead.toolbox.search.contract import (
    CONTEXT,
    LONGEST,
    MOST,
    MOST_NAMES,
    NAME_CHARACTERS,
    QUERY_CHARACTERS,
    FindContent,
    FindNames,
    Search,
)
from stead.toolbox.search.files import FileList, Listing, listed
from stead.toolbox.search.names import NameSearch, rated
from support.churn import act, there
from support.deadline import PATIENCE, eventually, eventually_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        shutil.which("rg") is None and not Path(sys.executable).with_name("rg").exists(),
        reason="ripgrep is not installed",
    ),
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: a hundred thousand files are made."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as base:
        path = Path(base, "root")
        path.mkdir()
        yield path


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Iterator[Place]:
    made = Place(Root(root), {"PATH": os.environ["PATH"]}, state=tmp_path / "state")
    yield made
    made.close()
    made.root.close()


@pytest.fixture
async def search(root: Path, tmp_path: Path) -> AsyncIterator[Search]:
    async with opened(root, tmp_path / "run") as toolbox:
        yield toolbox.search


# --- content ---------------------------------------------------------------------------------------------------------


async def test_lines_around_that_match_themselves(search: Search, root: Path) -> None:
    (root / "f").write_text("a\nhit 1\nhit 2\nb\nc\nhit 3\n")
    found = (await search.content("hit", before=1, after=2)).matches
    around = [
        ([line.line for line in match.before], match.line, [line.line for line in match.after]) for match in found
    ]
    assert around == [([1], 2, [3, 4]), ([2], 3, [4, 5]), ([5], 6, [])]


async def test_lines_after_the_last_match_that_is_wanted(search: Search, root: Path) -> None:
    """Also those that match, and are not told as matches any more."""
    (root / "f").write_text("hit 1\nhit 2\nb\nc\n" + "hit\n" * 1000)
    for limits in ({"limit": 1}, {"per_file": 1}):
        found = await search.content("hit", after=3, **limits)  # type: ignore[arg-type]
        assert [(match.line, [line.line for line in match.after]) for match in found.matches] == [(1, [2, 3, 4])]
        assert found.truncated
    (root / "f").write_text("hit 1\nhit 2")
    found = await search.content("hit", after=3, limit=1)
    assert ([line.text for line in found.matches[0].after], found.truncated) == (["hit 2"], True)


async def test_what_is_excluded_is_so_where_it_is_named(search: Search, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "a.log").write_text("hit")
    for path, exclude in (("d/a.log", "*.log"), ("d", "d/"), ("d/a.log", "d")):
        assert (await search.content("hit", path, exclude=[exclude])).matches == []
        assert (await search.names("", path, exclude=[exclude])).files == []


async def test_matches_over_several_lines(search: Search, root: Path) -> None:
    (root / "f").write_text("one\ntwo\nthree\nfour\n")
    (match,) = (await search.content(r"two\s+three", multiline=True, before=1, after=1)).matches
    assert (match.line, match.lines, match.text, match.offset) == (2, 2, "two\nthree", 4)
    assert ([line.text for line in match.before], [line.text for line in match.after]) == (["one"], ["four"])
    with pytest.raises(SteadError) as refused:
        await search.content("two\nthree")
    assert refused.value.code == "invalid"


async def test_ends_of_lines_and_bytes_that_are_no_text(search: Search, root: Path) -> None:
    (root / "dos").write_bytes(b"hit\r\nno\r\n")
    (root / "latin").write_bytes("\u00e9\u00e9 hit".encode("latin-1"))
    (root / "utf").write_text("\u00e9\u00e9 hit")
    (root / "binary").write_bytes(b"\0hit")
    if sys.platform != "darwin":  # which takes no such names
        Path(os.fsdecode(os.fsencode(root) + b"/n\xff")).write_text("hit")
    found = {match.path: match for match in (await search.content("hit")).matches}
    assert {path: match.text for path, match in found.items() if path not in {"binary", "n\ufffd"}} == {
        "dos": "hit",
        "latin": "\ufffd\ufffd hit",
        "utf": "\u00e9\u00e9 hit",
    }
    assert sys.platform == "darwin" or found["n\ufffd"].text == "hit"
    assert [(span.start, span.column) for path in ("latin", "utf") for span in found[path].spans] == [(3, 4), (5, 4)]


async def test_lines_without_end_are_clipped_and_told(search: Search, root: Path) -> None:
    (root / "long").write_text("x" * 3_000_000 + "hit" + "y" * 3_000_000)
    (match,) = (await search.content("hit", characters=50)).matches
    assert (len(match.text), match.clipped, match.spans[0].column) == (50, True, 3_000_001)
    (root / "long").write_text("hit " * 3_000_000)
    (root / "short").write_text("hit")
    found = await search.content("hit")
    assert [match.path for match in found.matches] == ["short"]
    assert found.problems == ["long: a line that is too long has a match"]


async def test_many_places_in_a_line(search: Search, root: Path) -> None:
    (root / "f").write_text("hit " * 500)
    (match,) = (await search.content("hit")).matches
    assert len(match.spans) == 100


async def test_a_path_over_a_link_stays_inside(search: Search, root: Path) -> None:
    (root / "d" / "sub").mkdir(parents=True)
    (root / "d" / "x").mkdir()
    (root / "d" / "x" / "f").write_text("root: here")
    (root / "link").symlink_to("d/sub")
    (root / "x").symlink_to("/etc")
    found = await search.content("root:", "link/../x")
    assert [match.path for match in found.matches] == ["d/x/f"]


async def test_files_that_cannot_be_read_are_told(search: Search, root: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    (root / "closed").write_text("hit")
    (root / "closed").chmod(0)
    (root / "open").write_text("hit")
    found = await search.content("hit")
    assert [match.path for match in found.matches] == ["open"]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("closed: ")


async def test_ripgrep_ends_with_the_last_match_that_is_wanted(place: Place, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "first").write_text("hit\n" * 100)
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 34)
    with anyio.fail_after(PATIENCE):
        found = await ContentSearch(place).find(FindContent(query="hit", limit=10))
    assert (len(found.matches), found.truncated) == (10, True)
    eventually(lambda: not _ripgreps(root), "ripgrep is gone")


async def test_a_caller_who_gives_up_ends_ripgrep(place: Place, root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with anyio.move_on_after(0.5):
        await ContentSearch(place).find(FindContent(query="x", literal=True, path="huge"))
    eventually(lambda: not _ripgreps(root), "ripgrep is gone")


def _ripgreps(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name() == "rg" and process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(root):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_an_answer_has_a_size(search: Search, root: Path) -> None:
    (root / "f").write_text(("hit" + "\x01" * 400 + "\n") * 5000)
    found = await search.content("hit", limit=5000)
    assert found.truncated
    assert 300 < len(found.matches) < 5000


async def test_settings_of_the_machine_do_not_count(root: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("--files-with-matches\n")
    environment = {"PATH": os.environ["PATH"], "RIPGREP_CONFIG_PATH": str(tmp_path / "config")}
    (root / "f").write_text("hit")
    place = Place(Root(root), environment)
    assert len((await ContentSearch(place).find(FindContent(query="hit"))).matches) == 1
    place.root.close()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "order"),
    [
        ("user.py", ["lib/user.py", "user.py.md", "lib/superuser.py", "user/x.py"]),
        ("fb", ["fb", "fb.txt", "fooBar.py", "foo_bar.py", "offbeat.py", "fab.py"]),
        ("modelsuser", ["models/user.py", "my/odd/else/user.py"]),
        ("Read", ["Readme", "readme"]),
    ],
)
def test_what_is_better_comes_first(letters: str, order: list[str]) -> None:
    scores = [rated(path, path.lower(), letters)[:2] for path in order]
    assert scores == sorted(scores), dict(zip(order, scores, strict=True))


async def test_a_hundred_thousand_files(place: Place, root: Path) -> None:
    (root / "0").mkdir()
    for number in range(1000):
        (root / "0" / f"file_{number}.py").touch()
    for outer in range(1, 100):
        shutil.copytree(root / "0", root / f"{outer}", copy_function=os.link)
    names = NameSearch(place)
    found = await names.find(FindNames(query="98file999"))
    assert (found.files[0].path, found.total) == ("98/file_999.py", 1)
    assert found.files[0].positions == [0, 1, 3, 4, 5, 6, 8, 9, 10]
    found = await names.find(FindNames(query="f", limit=5))
    assert (len(found.files), found.total, found.truncated) == (5, 100_000, True)
    (root / "5" / "new_one.txt").write_text("a needle\n")
    (root / "7").rename(root / "moved")
    shutil.rmtree(root / "9")
    assert [file.path for file in (await names.find(FindNames(query="newone"))).files] == ["5/new_one.txt"]
    assert (await names.find(FindNames(query="", path="moved"))).total == 1000
    assert (await names.find(FindNames(query=""))).total == 99_001
    with pytest.raises(SteadError):
        await names.find(FindNames(query="", path="9"))
    content = await ContentSearch(place).find(FindContent(query="needle"))
    assert [(match.path, match.line) for match in content.matches] == [("5/new_one.txt", 1)]


async def test_links_and_odd_names(search: Search, root: Path) -> None:
    (root / "a\nb").touch()
    (root / "[x]").touch()
    (root / "link").symlink_to("/etc")
    assert [file.path for file in (await search.names("")).files] == ["[x]", "a\nb"]
    (root / "other").symlink_to("[x]")
    (root / "-rf").touch()
    assert {file.path for file in (await search.names("")).files} == {"-rf", "[x]", "a\nb"}
    assert [file.path for file in (await search.names("[")).files] == ["[x]"]


@pytest.mark.parametrize("seed", range(3))
async def test_the_list_of_files_keeps_up(place: Place, root: Path, seed: int) -> None:
    """Whatever happens, ignore files included, it is what ripgrep would list."""
    chance = random.Random(seed)
    for _ in range(30):
        for _ in range(chance.randrange(1, 10)):
            act(root, chance)
            if chance.random() < 0.1:
                directories = [root, *(root / path for path, kind in there(root).items() if kind)]
                lines = chance.choice(["a\n", "c/\n", "!a\n", "/b\n", "", "d/**\n"])
                (chance.choice(directories) / ".gitignore").write_text(lines)
        listing = await place.own(FileList).of(ignored=False)
        assert set(listing.paths) == (await listed(place, ignored=False))[0]


async def _listed(place: Place, *, ignored: bool = False) -> list[str]:
    return (await place.own(FileList).of(ignored=ignored)).paths


async def test_what_git_keeps_is_never_in_the_list(place: Place, root: Path) -> None:
    (root / "a").touch()
    assert await _listed(place, ignored=True) == ["a"]
    (root / ".git" / "objects").mkdir(parents=True)
    (root / ".git" / "HEAD").touch()
    (root / "b").touch()
    assert await _listed(place, ignored=True) == ["a", "b"]
    (root / ".git" / "HEAD").rename(root / "head")
    (root / "b").rename(root / ".git" / "b")
    assert await _listed(place, ignored=True) == ["a", "head"]
    (root / ".git").rename(root / "git")
    assert await _listed(place, ignored=True) == ["a", "git/b", "head"]


async def test_a_link_in_the_place_of_a_file(place: Place, root: Path) -> None:
    (root / "a").touch()
    (root / "b").touch()
    assert await _listed(place) == ["a", "b"]
    (root / "new").symlink_to("/etc/passwd")
    (root / "new").rename(root / "a")
    assert await _listed(place) == ["b"]


async def test_ignore_files_of_every_kind_count_for_what_is_new(search: Search, root: Path) -> None:
    names = {".rgignore": "*.rg\n", ".ignore": "*.any\n", ".gitignore": "*.git\n"}
    for name, lines in names.items():
        (root / name).write_text(lines)
    for name in ("old", "new"):
        for end in ("rg", "any", "git", "txt"):
            (root / f"{name}.{end}").touch()
        assert [file.path for file in (await search.names(name)).files] == [f"{name}.txt"]


async def test_who_gives_up_leaves_the_list_whole(place: Place, root: Path) -> None:
    (root / "a").touch()
    await _listed(place)
    (root / "b").touch()
    busy = threading.Event()
    threads = [asyncio.create_task(place.in_thread(busy.wait, PATIENCE)) for _ in range(THREADS)]
    asking = asyncio.create_task(_listed(place))
    kept = place.own(FileList)._kept[False]
    await eventually_async(lambda: kept._paths is None, "the change is being taken in")
    asking.cancel()
    busy.set()
    await asyncio.wait([asking, *threads])
    assert asking.cancelled()
    assert await _listed(place) == ["a", "b"]


async def test_what_the_kernel_shows_of_itself_is_not_searched(place: Place, root: Path) -> None:
    (root / "proc").mkdir()
    (root / "f").write_text("processor")
    done = subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        with anyio.fail_after(PATIENCE):
            assert await _listed(place) == ["f"]
            found = await ContentSearch(place).find(FindContent(query="processor"))
            assert [match.path for match in found.matches] == ["f"]
            found = await ContentSearch(place).find(FindContent(query="processor", path="proc/cpuinfo", limit=1))
            assert [match.path for match in found.matches] == ["proc/cpuinfo"]
    finally:
        subprocess.run(["umount", "-l", root / "proc"], check=True)


def test_capitals_that_have_other_lengths() -> None:
    listing = Listing(["\u0130stanbul.txt"], truncated=False)
    assert rated(listing.paths[0], listing.lower[0], "txt")[2] == "\u0130stanbul.txt"


@pytest.mark.parametrize(
    "asked",
    [
        *(FindContent(query="x", before=beyond) for beyond in (-1, CONTEXT + 1)),
        *(FindContent(query="x", after=beyond) for beyond in (-1, CONTEXT + 1)),
        *(FindContent(query="x", limit=beyond) for beyond in (0, MOST + 1)),
        *(FindContent(query="x", per_file=beyond) for beyond in (-1, MOST + 1)),
        *(FindContent(query="x", characters=beyond) for beyond in (0, LONGEST + 1)),
        *(FindContent(query=query) for query in ("", "a\0b", "x" * (QUERY_CHARACTERS + 1))),
        *(FindNames(limit=beyond) for beyond in (0, MOST_NAMES + 1)),
        *(FindNames(query=query) for query in ("a\0b", "x" * (NAME_CHARACTERS + 1))),
        FindContent(query="x", include=["[a"]),
        FindNames(exclude=["a"] * (GLOBS + 1)),
    ],
)
async def test_what_is_beyond_a_limit_is_refused(place: Place, root: Path, asked: FindContent | FindNames) -> None:
    (root / "x").write_text("x")
    with pytest.raises(SteadError) as refused:
        await (ContentSearch(place).find(asked) if isinstance(asked, FindContent) else NameSearch(place).find(asked))
    assert refused.value.code == "invalid"
    assert set(refused.value.details) == {"field"}


# --- programs that are not there -------------------------------------------------------------------------------------


async def test_without_ripgrep_the_program_is_named(root: Path, tmp_path: Path) -> None:
    if Path(sys.executable).with_name("rg").exists():
        pytest.skip("it comes with this installation")
    async with opened(root, tmp_path / "run", environment={"PATH": "/nowhere"}) as toolbox:
        assert isinstance(toolbox, LocalToolbox)
        with pytest.raises(SteadError) as missing:
            await toolbox.search.content("x")
        assert missing.value.code == "program_missing"
