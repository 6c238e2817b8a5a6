"""The index: built beside its callers, honest about what is missing, made anew when it is damaged."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.place import THREADS, Place
from stead.toolbox.search.chunks import LINES, chunks
from stead.toolbox.search.contract import MOST_RANKED, MOST_SYMBOLS, WAIT_SECONDS, FindRanked, FindSymbols, Ranked
from stead.toolbox.search.index import FEW, NAME, Index
from stead.toolbox.search.indexer import FILE_BYTES, TOTAL_BYTES, update
from stead.toolbox.search.ranked import RankedSearch, SymbolSearch
from stead.toolbox.search.store import Made, Store
from stead.toolbox.search.symbols import Symbol
from stead.toolbox.search.words import expression, words
from support.deadline import PATIENCE, eventually_async
from support.disk import Disk, small_disk

pytestmark = pytest.mark.anyio
pytest.importorskip("tree_sitter", reason="the grammars are not installed (stead[toolbox])")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "root").mkdir()
    made = Place(Root(tmp_path / "root"), {"PATH": os.environ["PATH"]}, state=tmp_path / "state")
    yield made
    made.close()
    made.root.close()


@pytest.fixture
def root(place: Place) -> Path:
    return Path(place.root.path)


async def ranked(place: Place, query: str, wait: float = 50.0) -> Ranked:
    with anyio.fail_after(PATIENCE * 2):
        return await RankedSearch(place).find(FindRanked(query=query, wait=wait))


async def test_many_files_are_read_by_a_process_of_their_own(place: Place, root: Path) -> None:
    for number in range(FEW * 5):
        (root / f"f{number}.py").write_text(f"def answer_{number}(): pass\n")
    first = await ranked(place, "answer 17", wait=0.0)
    assert not first.index.complete
    assert first.index.waiting > 0
    found = await ranked(place, "answer 17")
    assert (found.index.complete, found.index.files, found.index.waiting) == (True, FEW * 5, 0)
    assert found.results[0].path == "f17.py"
    assert (await SymbolSearch(place).find(FindSymbols(query="answer"))).total == FEW * 5


async def test_a_build_that_fails_is_never_complete(place: Place, root: Path) -> None:
    for number in range(FEW + 10):
        (root / f"f{number}.py").write_text("def answer(): pass\n")
    index = place.own(Index)
    await index.ask(0.0, lambda store: None)
    if index._building is not None:
        await index._building
    for number in range(FEW + 10):
        (root / f"g{number}.py").write_text("def question(): pass\n")
    home, place.programs.environment = place.programs.environment, {"PATH": "/nowhere", "LD_PRELOAD": "/nowhere/at-all"}
    real, index.store.file = index.store.file, Path("/proc/nowhere/store")
    try:
        failed = await ranked(place, "question")
        assert not failed.index.complete
        assert failed.index.waiting == FEW + 10
        assert "could not be built" in failed.index.problem
    finally:
        place.programs.environment, index.store.file = home, real
    again = await ranked(place, "question")
    assert (again.index.complete, again.index.problem, len(again.results)) == (True, "", 15)


async def test_what_is_not_for_people_is_left_out_and_told(place: Place, root: Path) -> None:
    (root / "large.txt").write_text("needle\n" * (FILE_BYTES // 7 + 1))
    (root / "binary").write_bytes(b"needle\0")
    (root / "min.js").write_text("needle;" * 10_000)
    (root / "notes.txt").write_text("needle\n")
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("/etc/passwd")
    found = await ranked(place, "needle root")
    assert [piece.path for piece in found.results] == ["notes.txt"]
    assert (found.index.complete, found.index.skipped) == (True, 3)


async def test_changes_count_at_once(place: Place, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "a.md").write_text("# First\n\nwalrus\n")
    assert [piece.path for piece in (await ranked(place, "walrus")).results] == ["d/a.md"]
    (root / "d" / "a.md").write_text("# First\n\nbadger\n")
    assert not (await ranked(place, "walrus")).results
    assert [piece.path for piece in (await ranked(place, "badger")).results] == ["d/a.md"]
    (root / "d").rename(root / "e")
    assert [piece.path for piece in (await ranked(place, "badger")).results] == ["e/a.md"]
    (root / ".gitignore").write_text("e/\n")
    assert not (await ranked(place, "badger")).results
    (root / ".gitignore").unlink()
    assert len((await ranked(place, "badger")).results) == 1
    shutil.rmtree(root / "e")
    assert not (await ranked(place, "badger")).results


async def test_lines_are_those_of_an_editor(place: Place, root: Path) -> None:
    """A form feed and the like end no line."""
    (root / "a.py").write_text("x = 1\n\f\ny = '\x85\u2028'\r\n\f\nclass A:\n    def walrus(self):\n        return 1\n")
    (piece,) = (await ranked(place, "walrus")).results
    assert (piece.name, piece.line, piece.end_line, piece.snippet) == (
        *("A.walrus", 6, 7),
        "    def walrus(self):\n        return 1",
    )


async def test_a_place_is_searched_whatever_fits_better_elsewhere(place: Place, root: Path) -> None:
    for number in range(20):
        (root / f"{number}.md").write_text("".join(f"# Walrus {n}\n\nwalrus\n\n\n\n" for n in range(600)))
    (root / "d").mkdir()
    (root / "d" / "a.md").write_text("lines about other things\n" * 20 + "a walrus\n")
    found = await RankedSearch(place).find(FindRanked(query="walrus", path="d", wait=50.0))
    assert [piece.path for piece in found.results] == ["d/a.md"]
    found = await RankedSearch(place).find(FindRanked(query="walrus", limit=3, wait=50.0))
    assert [(piece.path, piece.relevance) for piece in found.results] == [("0.md", 1.0)] * 3


async def test_a_full_index_takes_what_there_is_room_for(place: Place, root: Path) -> None:
    """And what is replaced makes room for what replaces it."""
    store = Store(None)
    with store.changing():
        store.replace("full", (0, TOTAL_BYTES - 100), "", Made(""))
    for name, size in (("a", 60), ("b", 60), ("c", 30)):
        (root / name).write_text("x" * size)
    update(place.root, store, ["a", "b", "c", "a"])
    assert [path for (path,) in store.all("SELECT path FROM file WHERE skipped = 'the index is full'")] == ["b"]
    (root / "a").unlink()
    update(place.root, store, ["a", "b"])
    assert (store.skipped(), store.bytes()) == (0, TOTAL_BYTES - 100 + 90)
    store.close()


async def test_letters_of_any_alphabet(place: Place, root: Path) -> None:
    (root / "a.py").write_text("def \u0391\u03a3(): pass\ndef \u0436(): pass\n")
    for query in ("\u03a3", "\u03c2", "\u0391", "\u0436"):
        await SymbolSearch(place).find(FindSymbols(query=query))
    assert [each.name for each in (await SymbolSearch(place).find(FindSymbols(query="\u0436"))).symbols] == ["\u0436"]
    for query in ("\U0001f600" * 10_000, "a" * 201):
        with pytest.raises(SteadError) as refused:
            await SymbolSearch(place).find(FindSymbols(query=query))
        assert refused.value.code == "invalid"


async def test_who_gives_up_leaves_the_index_whole(place: Place, root: Path) -> None:
    """A change that was taken from the watch, and not compared yet, is compared by the next."""
    (root / "d").mkdir()
    (root / "d" / "a.md").write_text("walrus\n")
    await ranked(place, "walrus")
    (root / "d").rename(root / "e")
    busy, index = threading.Event(), place.own(Index)
    threads = [asyncio.create_task(place.in_thread(busy.wait, PATIENCE)) for _ in range(THREADS)]
    asking = asyncio.create_task(index.fresh(0.0))
    await eventually_async(lambda: not index._compared, "the change is being taken in")
    asking.cancel()
    busy.set()
    await asyncio.wait([asking, *threads])
    assert asking.cancelled()
    assert [piece.path for piece in (await ranked(place, "walrus")).results] == ["e/a.md"]


async def test_another_process_goes_on_with_the_same_index(place: Place, root: Path) -> None:
    (root / "a.md").write_text("walrus\n")
    (root / "b.md").write_text("walrus\n")
    await ranked(place, "walrus")
    place.close()
    (root / "a.md").write_text("badger\n")
    (root / "b.md").unlink()
    again = Place(Root(root), {"PATH": os.environ["PATH"]}, state=place.state)
    try:
        assert not (await ranked(again, "walrus")).results
        assert [piece.path for piece in (await ranked(again, "badger")).results] == ["a.md"]
    finally:
        again.close()
        again.root.close()


async def test_a_damaged_index_is_made_anew(place: Place, root: Path) -> None:
    (root / "a.md").write_text("walrus\n")
    await ranked(place, "walrus")
    place.close()
    file = place.state / NAME
    file.write_bytes(b"nonsense" * 1000)
    assert len((await ranked(place, "walrus")).results) == 1
    index = place.own(Index)
    await place.in_thread(index.store.all, "DROP TABLE words")
    with pytest.raises(SteadError) as damaged:
        await ranked(place, "walrus")
    assert damaged.value.code == "unavailable"
    assert len((await ranked(place, "walrus")).results) == 1


@pytest.mark.parametrize("page", range(1, 20, 3))
async def test_damage_anywhere_is_made_good(place: Place, root: Path, page: int) -> None:
    """Also where it only shows to the process that builds."""
    for number in range(FEW * 3):
        (root / f"a{number}.md").write_text(f"walrus {number}\n" * 30)
    await ranked(place, "walrus")
    place.close()
    with (place.state / NAME).open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xa5" * 4096)
    for number in range(FEW * 2):
        (root / f"b{number}.md").write_text("badger\n")
    try:
        await ranked(place, "badger")
    except SteadError as error:
        assert error.code == "unavailable"
    found = await ranked(place, "badger")
    assert (found.index.complete, found.index.problem, len(found.results)) == (True, "", 15)


@pytest.mark.parametrize("way", [Disk.fill, Disk.fill_names])
async def test_a_full_disk_before_there_is_an_index(
    place: Place, root: Path, tmp_path: Path, way: Callable[[Disk], None]
) -> None:
    """A few files are read without it; of many it is said that they are not there yet."""
    (root / "a.md").write_text("walrus\n")
    with small_disk(tmp_path / "disk") as disk:
        (disk.path / "there").write_text("x")
        place.state = disk.path
        way(disk)
        used = disk.used()
        found = await ranked(place, "walrus")
        assert ([piece.path for piece in found.results], found.index.complete) == (["a.md"], True)
        for number in range(FEW + 1):
            (root / f"b{number}.md").write_text("badger\n")
        found = await ranked(place, "badger")
        assert not found.index.complete
        assert found.index.waiting == FEW + 1
        assert "the index cannot be kept" in found.index.problem
        assert len((await ranked(place, "walrus")).results) == 1
        assert disk.used().bytes == used.bytes
        disk.free()
        found = await ranked(place, "badger")
        assert (found.index.complete, found.index.problem, len(found.results)) == (True, "", 15)
        place.close()


@pytest.mark.parametrize("many", [1, FEW + 1], ids=["here", "in_a_process"])
async def test_a_full_disk_under_the_index(place: Place, root: Path, tmp_path: Path, many: int) -> None:
    """What was known is found, and what is missing is told."""
    (root / "a.md").write_text("walrus\n")
    (root / "gone.md").write_text("walrus\n")
    with small_disk(tmp_path / "disk", 64 << 20) as disk:
        place.state = disk.path
        assert len((await ranked(place, "walrus")).results) == 2
        (root / "gone.md").unlink()
        for number in range(many):
            (root / f"b{number}.md").write_text("badger\n" * 2000)
        disk.fill()
        used = disk.used()
        for _ in range(2):
            found = await ranked(place, "walrus")
            assert not found.index.complete
            assert found.index.waiting >= many
            assert "full" in found.index.problem
            assert "a.md" in {piece.path for piece in found.results}
            assert disk.used() == used
        disk.free()
        found = await ranked(place, "badger")
        assert (found.index.complete, found.index.problem, len(found.results)) == (True, "", 15)
        assert [piece.path for piece in (await ranked(place, "walrus")).results] == ["a.md"]
        place.close()


async def test_nothing_is_written_among_the_files(place: Place, root: Path) -> None:
    (root / "a.md").write_text("walrus\n")
    await ranked(place, "walrus")
    assert [path.name for path in root.iterdir()] == ["a.md"]
    assert (place.state / NAME).exists()


async def test_questions_that_cannot_be_asked(place: Place) -> None:
    for asked in (
        FindRanked(query="  "),
        FindRanked(query="a\0"),
        FindRanked(query="a", limit=0),
        FindRanked(query="a", limit=MOST_RANKED + 1),
        FindRanked(query="a", wait=-1),
        FindRanked(query="a", wait=WAIT_SECONDS + 1),
        FindRanked(query="a", wait=float("nan")),
        FindRanked(query="a" * 20_000),
        FindRanked(query="a", ignored=True),
    ):
        with pytest.raises(SteadError) as refused:
            await RankedSearch(place).find(asked)
        assert refused.value.code == "invalid"
    with pytest.raises(SteadError) as refused:
        await SymbolSearch(place).find(FindSymbols(query="a", limit=MOST_SYMBOLS + 1))
    assert (refused.value.code, refused.value.details) == ("invalid", {"field": "limit"})
    with pytest.raises(SteadError) as refused:
        await SymbolSearch(place).find(FindSymbols(query="a", ignored=True))
    assert (refused.value.code, refused.value.details) == ("invalid", {"field": "ignored"})
    assert (await ranked(place, "?!")).results == []


# --- words and pieces ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("userModel", ["user", "model", "usermodel"]),
        ("user_models", ["user", "model", "usermodel"]),
        ("HTTPServer2", ["http", "server", "2", "httpserver2"]),
        ("parsing parsed parses", ["pars", "pars", "parse"]),
        ("queries class is", ["query", "class", "is"]),
        ("\u00dcberMut", ["\u00fc", "ber", "mut", "\u00fcbermut"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert list(words(text)) == found


def test_a_question_is_words() -> None:
    assert expression("how does the Parser work?") == '"parser" OR "work"'
    assert expression("the") == '"the"'
    assert expression('"quoted" AND -not') == '"quot" OR "not"'


def test_pieces_cover_all_lines_once() -> None:
    text = "\n".join(f"line {number}" for number in range(1, 301))
    symbols = [
        Symbol("A", "class", 10, 200, 1, ""),
        Symbol("b", "method", 12, 40, 1, "A"),
        Symbol("f", "function", 210, 290, 1, ""),
    ]
    found = chunks("python", text, symbols)
    covered = [line for piece in found for line in range(piece.line, piece.end_line + 1)]
    assert covered == list(range(1, 301))
    assert max(piece.end_line - piece.line + 1 for piece in found) <= LINES
    assert {piece.name for piece in found} == {"", "A", "A.b", "f"}
