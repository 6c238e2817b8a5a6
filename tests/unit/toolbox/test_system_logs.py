"""Logs: the last lines, and following what is written, cut and rotated."""

import os
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.place import Place
from stead.toolbox.system import logs
from stead.toolbox.system.contract import ReadLog
from support.deadline import PATIENCE
from support.fakes import Fakes

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "w").mkdir()
    return Place(Root(tmp_path / "w"), {"PATH": os.environ["PATH"]})


async def refused(code: str, place: Place, asked: ReadLog) -> None:
    with pytest.raises(SteadError) as caught:
        await logs.log(place, asked)
    assert caught.value.code == code
    with pytest.raises(SteadError) as caught:
        async with logs.following(place, asked):
            raise AssertionError("it can be followed")
    assert caught.value.code == code


class Reader:
    """Reads a follow until what is wanted has come."""

    def __init__(self, pieces: object) -> None:
        self._pieces = pieces
        self.seen = b""

    async def until(self, ending: bytes) -> bytes:
        with anyio.fail_after(PATIENCE):
            while not self.seen.endswith(ending):
                self.seen += await anext(self._pieces)  # type: ignore[call-overload]
        return self.seen


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        (b"", 5, b""),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 10, b"a\nb\n"),
        (b"\n\n\n", 2, b"\n\n"),
        (b"a\nb\n", 0, b""),
        (b"no end", 1, b"no end"),
    ],
)
async def test_the_last_lines(place: Place, content: bytes, lines: int, expected: bytes) -> None:
    (Path(place.root.path) / "log").write_bytes(content)
    found = await logs.log(place, ReadLog(path="log", lines=lines))
    assert (found.content, found.truncated) == (expected, False)


async def test_lines_that_are_too_long_are_told(place: Place) -> None:
    (Path(place.root.path) / "log").write_bytes(b"x" * CALL_BYTES + b"\n" + b"y" * (CALL_BYTES - 10) + b"\n")
    found = await logs.log(place, ReadLog(path="log", lines=2))
    assert found.truncated
    assert found.content == b"y" * (CALL_BYTES - 10) + b"\n"
    assert not (await logs.log(place, ReadLog(path="log", lines=1))).truncated


async def test_a_file_is_followed_through_all_that_happens_to_it(place: Place) -> None:
    log = Path(place.root.path) / "log"
    log.write_bytes(b"old\nlast\n")
    async with logs.following(place, ReadLog(path="log", lines=1)) as pieces:
        reader = Reader(pieces)
        await reader.until(b"last\n")
        with log.open("ab") as file:
            file.write(b"added\n")
        await reader.until(b"added\n")
        log.write_bytes(b"cut\n")
        await reader.until(b"cut\n")
        log.rename(log.with_suffix(".1"))
        with log.with_suffix(".1").open("ab") as file:
            file.write(b"after the move\n")
        log.write_bytes(b"new\n")
        await reader.until(b"new\n")
        log.unlink()
        log.write_bytes(b"again\n")
        assert await reader.until(b"again\n") == b"last\nadded\ncut\nafter the move\nnew\nagain\n"


async def test_much_is_followed_whole(place: Place) -> None:
    log = Path(place.root.path) / "log"
    log.touch()
    content = os.urandom(1 << 20).hex().encode() + b"\n"
    async with logs.following(place, ReadLog(path="log")) as pieces:
        log.write_bytes(content)
        assert await Reader(pieces).until(b"\n") == content


async def test_what_cannot_be_followed_is_told_at_once(place: Place, tmp_path: Path) -> None:
    root = Path(place.root.path)
    (tmp_path / "secret").write_text("x")
    (root / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    await refused("not_found", place, ReadLog(path="nothing"))
    await refused("path_outside", place, ReadLog(path="out"))
    await refused("path_outside", place, ReadLog(path="../secret"))
    await refused("is_directory", place, ReadLog(path="."))
    await refused("not_file", place, ReadLog(path="pipe"))
    await refused("invalid", place, ReadLog())
    await refused("invalid", place, ReadLog(path="a", unit="b"))
    await refused("invalid", place, ReadLog(path="a", lines=-1))
    for unit in ("--help", "a b", "-f", "*", "a/b"):
        await refused("invalid", place, ReadLog(unit=unit))


async def test_a_journal_is_read_and_followed(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path / "bin")
    fakes.add("journalctl", "one\ntwo\n")
    place = Place(Root(tmp_path), {"PATH": fakes.path})
    assert (await logs.log(place, ReadLog(unit="ssh", lines=2))).content == b"one\ntwo\n"
    words = ["--unit=ssh.service", "--lines=2", "--output=short-iso", "--no-pager", "--quiet"]
    assert fakes.told == [["journalctl", *words]]
    fakes.add("journalctl", "one\n", does="sleep 1000 &\necho first; wait")
    async with logs.following(place, ReadLog(unit="my.timer")) as pieces:
        assert await Reader(pieces).until(b"first\n") == b"first\n"
    assert fakes.told[1][1:] == ["--unit=my.timer", "--lines=100", *words[2:], "--follow"]


async def test_the_last_lines_of_a_journal_are_those_at_its_end(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path / "bin")
    fakes.add("journalctl", "last\n", does=f"head -c {CALL_BYTES} /dev/zero | tr '\\0' x; echo")
    found = await logs.log(Place(Root(tmp_path), {"PATH": fakes.path}), ReadLog(unit="ssh"))
    assert (found.content, found.truncated) == (b"last\n", True)


async def test_a_journal_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path / "bin")
    fakes.add(
        "journalctl",
        code=1,
        complains="No journal files were opened due to insufficient permissions: Permission denied",
    )
    place = Place(Root(tmp_path), {"PATH": fakes.path})
    with pytest.raises(SteadError) as caught:
        await logs.log(place, ReadLog(unit="ssh"))
    assert caught.value.code == "permission_denied"
    with pytest.raises(SteadError) as caught:
        async with logs.following(place, ReadLog(unit="ssh")) as pieces:
            await Reader(pieces).until(b"never")
    assert caught.value.code == "permission_denied"


async def test_without_journalctl_it_is_missing(tmp_path: Path) -> None:
    place = Place(Root(tmp_path), {"PATH": str(tmp_path)})
    await refused("program_missing", place, ReadLog(unit="ssh"))
