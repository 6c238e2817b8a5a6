"""What a word of the command line is, and how its arguments are read.

Contract: a module of the command line has `VERBS: dict[str, Verb]`. `Verb.arguments` adds its arguments to a parser,
`Verb.run` does it and answers the exit code (None: 0). Values are checked here: durations, sizes, `key=value`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stead.cli.context import Context

Namespace = argparse.Namespace
Parser = argparse.ArgumentParser
Run = Callable[["Context", Namespace], Awaitable[int | None]]
Plain = Callable[["Context", Namespace], int | None]

SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def nothing(_parser: Parser) -> None:
    """No arguments of its own."""


class Verb(NamedTuple):
    """One thing to do.

    `plain` runs without an event loop. With `own_codes` failures of Stead exit with 125. With `rest` what follows `--` is
    taken as it is, with `raw` everything. With `alone` it needs no control plane, and has no options for one.
    """

    help: str
    run: Run | None = None
    arguments: Callable[[Parser], None] = nothing
    plain: Plain | None = None
    own_codes: bool = False
    rest: bool = False
    raw: bool = False
    alone: bool = False
    details: str = ""


def seconds(text: str) -> float:
    """30, 1.5, 500ms, 30s, 5m, 2h, 7d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time (30, 1.5, 500ms, 5m, 2h, 7d)")
    return float(found[1]) * SECONDS[found[2]]


def mode(text: str) -> int:
    """755: octal digits."""
    if re.fullmatch(r"[0-7]{1,4}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode (octal digits, such as 755)")
    return int(text, 8)


def size(text: str) -> int:
    """512, 64K, 512M, 2G; powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([bkmgt]?)(?:ib?|b)?", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size (512, 64K, 512M, 2G)")
    return int(float(found[1]) * BYTES[found[2]])


def pair(text: str) -> tuple[str, str]:
    """key=value."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    return key, value


def label(text: str) -> tuple[str, str | None]:
    """key=value sets, key- removes."""
    if "=" not in text and text.endswith("-") and len(text) > 1:
        return text[:-1], None
    return pair(text)


def relabelled(labels: dict[str, str], changes: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """The labels after these changes."""
    after = dict(labels)
    for key, value in changes:
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def workspace_argument(parser: Parser) -> None:
    parser.add_argument("workspace", metavar="WS", help="name, id, or the unique beginning of an id")
