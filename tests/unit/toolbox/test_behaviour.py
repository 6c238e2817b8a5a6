"""The checks themselves: what their outcomes say, what they leave, and that nothing of the contract is without one."""

import ast
import inspect
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox import behaviour
from stead.toolbox.areas import AREAS
from stead.toolbox.behaviour.checks import CHECKS, Check, NotTriedError, Outcome, Work, expect, refused
from stead.toolbox.contract import Running, Toolbox
from stead.toolbox.local import opened

pytestmark = pytest.mark.anyio

UNTRIED = {"sessions.prepare", "watch.changes"}
"""The first is part of every line of a session; the second opens a watch and goes through it, as every check of them does."""


@pytest.fixture
async def toolbox(tmp_path: Path) -> AsyncIterator[Toolbox]:
    """In which nothing is left."""
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as found:
        yield found
    assert list((tmp_path / "root").iterdir()) == []


async def ended(toolbox: Toolbox, work: Work) -> Outcome:
    """How a check that does this ends."""
    CHECKS["of-a-test"] = Check("of-a-test", work, "")
    try:
        [outcome] = [outcome async for outcome in behaviour.run(toolbox, ["of-a-test"])]
    finally:
        del CHECKS["of-a-test"]
    return outcome


async def test_what_holds_and_what_does_not(toolbox: Toolbox) -> None:
    async def holds(toolbox: Toolbox, place: str) -> None:
        await toolbox.write(f"{place}/f", b"x")
        error = await refused("not_found", toolbox.read(f"{place}/g"))
        expect(error.code == "not_found", "another code")

    async def answers(toolbox: Toolbox, place: str) -> None:
        await toolbox.write(f"{place}/f", b"x")
        await refused("not_found", toolbox.read(f"{place}/f"))

    async def otherwise(toolbox: Toolbox, place: str) -> None:
        await toolbox.write(f"{place}/f", b"x")
        await refused("not_directory", toolbox.read(f"{place}/g"))

    async def breaks(toolbox: Toolbox, place: str) -> None:
        await toolbox.mkdir(f"{place}/d/e", parents=True)
        raise KeyError("what")

    async def fails(toolbox: Toolbox, place: str) -> None:
        await toolbox.read(place)

    for work, ok, words in (
        (holds, True, ""),
        (answers, False, "not refused with not_found"),
        (otherwise, False, "refused with not_found"),
        (breaks, False, "KeyError: 'what'"),
        (fails, False, "is_directory: "),
    ):
        outcome = await ended(toolbox, work)
        assert (outcome.ok, outcome.skipped, words in outcome.detail) == (ok, False, True), outcome


@pytest.mark.parametrize(
    "error", [NotTriedError("no such thing here"), SteadError("unsupported", "no such thing here")]
)
async def test_what_cannot_be_tried_is_told_and_no_failure(toolbox: Toolbox, error: Exception) -> None:
    async def skips(toolbox: Toolbox, place: str) -> None:
        await toolbox.write(f"{place}/f", b"x")
        raise error

    outcome = await ended(toolbox, skips)
    assert (outcome.ok, outcome.skipped, outcome.detail) == (True, True, "no such thing here")


def test_every_call_has_a_check() -> None:
    """Each method of the toolbox, of its areas and of what runs is called by one."""
    called = set(_called())
    methods = {f"toolbox.{name}" for name in _methods(Toolbox)} | {f"running.{name}" for name in _methods(Running)}
    for area in AREAS:
        face = Toolbox.__dict__[area].fget.__annotations__["return"]
        methods |= {
            f"{area}.{name}" for name in _methods(getattr(import_module(f"stead.toolbox.{area}.contract"), face))
        }
    assert methods - called == UNTRIED


def _methods(face: type) -> list[str]:
    return [name for name, value in vars(face).items() if inspect.isfunction(value) and not name.startswith("_")]


def _called() -> Iterator[str]:
    """`owner.method` of every call in the checks."""
    for file in Path(behaviour.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Attribute | ast.Name):
                    yield f"{owner.attr if isinstance(owner, ast.Attribute) else owner.id}.{node.func.attr}"
