"""What a check is, and running them."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec, ExecResult, Toolbox

SECONDS = 60.0
"""A check that takes longer has failed."""
CLEAR_SECONDS = 10.0
"""How long what a check leaves may take to be removed."""
MISSING = frozenset({"program_missing", "unsupported", "lsp_not_found"})
"""Errors after which a check is skipped."""

Work = Callable[[Toolbox, str], Awaitable[None]]


class Check(NamedTuple):
    """One behaviour: given a toolbox and an empty directory, raises AssertionError or SteadError where it is not so."""

    name: str
    work: Work
    about: str


class Outcome(NamedTuple):
    """How one check ended. `skipped`: nothing was tried, because the workspace lacks what `detail` says; that is no failure."""

    name: str
    ok: bool
    seconds: float
    detail: str = ""
    skipped: bool = False


class NotTriedError(Exception):
    """A check says so when it cannot be tried here, and why."""


_whole = ContextVar("whole", default=False)
"""Whether the workspace is a whole machine: then nothing is outside of it, and what would be is not touched."""

CHECKS: dict[str, Check] = {}
"""Every check by its name; filled by the other modules."""


def check(work: Work) -> Work:
    """Adds a check, named after its function."""
    name = work.__name__.replace("_", "-")
    assert name not in CHECKS
    CHECKS[name] = Check(name, work, (work.__doc__ or "").strip())
    return work


def expect(truth: object, otherwise: str) -> None:
    """Says what is wrong."""
    if not truth:
        raise AssertionError(otherwise)


def script(line: str, *words: str, **options: Any) -> Exec:
    """A shell line to start."""
    return Exec(argv=[line, *words], **({"shell": True} | options))


async def sh(toolbox: Toolbox, line: str, *words: str, **options: object) -> ExecResult:
    """Runs a shell line."""
    return await toolbox.exec([line, *words], **({"shell": True} | options))


async def refused(code: str, work: Awaitable[object]) -> SteadError:
    """It must be refused with exactly this code. In a whole machine nothing is outside, so that is not tried there."""
    if code == "path_outside" and _whole.get():
        if inspect.iscoroutine(work):
            work.close()
        return SteadError(code, "not tried: nothing is outside of a whole machine")
    try:
        answer = await work
    except SteadError as error:
        if error.code in MISSING and error.code != code:
            raise
        expect(error.code == code, f"refused with {error.code} ({error.message}) instead of {code}")
        return error
    raise AssertionError(f"not refused with {code} but answered {str(answer)[:200]}")


def not_of_a_whole_machine(reason: str) -> None:
    """A check that is not tried where the workspace is a whole machine."""
    if _whole.get():
        raise NotTriedError(reason)


async def run(toolbox: Toolbox, names: Iterable[str] = ()) -> AsyncIterator[Outcome]:
    """All of them, or the named ones, one after the other."""
    try:
        whole = (await toolbox.info()).root == "/"
    except SteadError:
        whole = True
    for name in list(names) or list(CHECKS):
        began = time.monotonic()
        detail, skipped = "", False
        try:
            detail = await _one(CHECKS[name], toolbox, whole)
        except NotTriedError as reason:
            detail, skipped = str(reason), True
        yield Outcome(name, skipped or not detail, time.monotonic() - began, detail, skipped)


async def _one(check: Check, toolbox: Toolbox, whole: bool) -> str:
    """What was wrong; empty when nothing was. Its directory is gone afterwards, whatever came of it."""
    place = f"{'tmp/' if whole else ''}behaviour-{check.name}"
    _whole.set(whole)
    try:
        with anyio.fail_after(SECONDS):
            await toolbox.delete(place, recursive=True)
            await toolbox.mkdir(place)
            await check.work(toolbox, place)
            await toolbox.delete(place, recursive=True)
    except NotTriedError:
        raise
    except AssertionError as error:
        return str(error) or "an expectation failed"
    except SteadError as error:
        if error.code in MISSING:
            raise NotTriedError(error.message) from error
        return f"{error.code}: {error.message}"
    except TimeoutError:
        return f"not done within {SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 (an answer that a check could not even read is its failure)
        return f"{type(error).__name__}: {error}"
    finally:
        with anyio.move_on_after(CLEAR_SECONDS), contextlib.suppress(SteadError):
            await toolbox.delete(place, recursive=True)
    return ""
