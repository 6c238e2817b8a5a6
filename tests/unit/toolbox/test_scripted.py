"""The script: the same faults for the same seed, before any effect, and each thing once."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.contract import Exec, Info
from stead.toolbox.execs import Execs
from stead.toolbox.local import opened
from stead.toolbox.scripted import VARIABLE, Script, ScriptedToolbox, script_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _scripted(place: Path, **script: Any) -> AsyncIterator[ScriptedToolbox]:
    def make(root: Root, execs: Execs, info: Info, environment: Mapping[str, str]) -> ScriptedToolbox:
        return ScriptedToolbox(root, execs, info, environment, Script(**script))

    (place / "root").mkdir(exist_ok=True)
    async with opened(place / "root", place / "run", make=make) as found:
        assert isinstance(found, ScriptedToolbox)
        yield found


async def _pattern(toolbox: ScriptedToolbox, count: int) -> list[bool]:
    found = []
    for _ in range(count):
        try:
            await toolbox.append("f", b"x")
            found.append(True)
        except SteadError as error:
            assert error.code == "unavailable"
            assert error.retry
            found.append(False)
    return found


async def test_the_same_seed_fails_alike(tmp_path: Path) -> None:
    patterns = []
    for number, seed in enumerate((5, 5, 6)):
        place = tmp_path / str(number)
        place.mkdir()
        async with _scripted(place, fail_rate=0.4, seed=seed) as toolbox:
            patterns.append(await _pattern(toolbox, 40))
        written = (place / "root" / "f").read_bytes()
        assert len(written) == sum(patterns[-1])
    assert patterns[0] == patterns[1] != patterns[2]
    assert 0 < sum(patterns[0]) < 40


async def test_the_first_operations_fail(tmp_path: Path) -> None:
    async with _scripted(tmp_path, fail_first=3) as toolbox:
        assert await _pattern(toolbox, 5) == [False, False, False, True, True]


async def test_it_dies_once_and_for_all(tmp_path: Path) -> None:
    told: list[str] = []
    async with _scripted(tmp_path, die_after=3, lose_channel_after=2) as toolbox:
        toolbox.on_death = lambda: told.append("death")
        toolbox.on_loss = lambda: told.append("loss")
        assert await _pattern(toolbox, 5) == [True, True, False, False, False]
        with pytest.raises(SteadError):
            await toolbox.exec(["true"])
    assert told == ["loss", "death"]


async def test_every_operation_takes_its_turn(tmp_path: Path) -> None:
    async with _scripted(tmp_path, fail_first=1000) as toolbox:
        work: list[Any] = [
            toolbox.info(),
            toolbox.read("f"),
            toolbox.write("f", b""),
            toolbox.append("f", b""),
            toolbox.stat("f"),
            toolbox.list(),
            toolbox.mkdir("d"),
            toolbox.delete("f"),
            toolbox.move("f", "g"),
            anext(toolbox.download("f")),
            toolbox.upload("f", toolbox.download("g")),
            toolbox.exec(["true"]),
            toolbox.start(Exec(argv=["true"])),
            toolbox.attach("ex_00000000000000000000000000"),
            toolbox.execs(),
            toolbox.show("ex_00000000000000000000000000"),
            toolbox.kill("ex_00000000000000000000000000"),
        ]
        for each in work:
            with pytest.raises(SteadError) as found:
                await each
            assert found.value.code == "unavailable"
        assert toolbox.operations == len(work)


async def test_it_is_as_slow_as_told(tmp_path: Path) -> None:
    async with _scripted(tmp_path, latency=0.05, jitter=0.5) as toolbox:
        began = time.monotonic()
        await toolbox.stat(".")
        assert time.monotonic() - began >= 0.05


def test_a_script_comes_in_the_environment() -> None:
    assert script_of({}) == Script()
    assert script_of({VARIABLE: '{"latency": 1.5}'}) == Script(latency=1.5)
    for text in ("", "{", '{"nonsense": 1}'):
        with pytest.raises(SteadError) as found:
            script_of({VARIABLE: text})
        assert found.value.code == "invalid"
