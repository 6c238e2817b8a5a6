"""Bringing files into the index: here for a few, in a process of its own for many.

Contract: `update(root, store, paths, told)` brings each file as it is now, or takes it out. `python -m
stead.toolbox.search.indexer` reads one line of JSON, `{"root", "store"}`, then paths with NUL between them, and prints how many
are done, a number a line. It is nice to others. It ends with `DAMAGED` where the index cannot be used any more.

Left out, and remembered as such: what is not text, more than `FILE_BYTES`, or made by machines (very long lines). Nothing more
is taken in beyond `TOTAL_BYTES`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET, Root
from stead.toolbox.search.chunks import chunks, lines_of
from stead.toolbox.search.languages import language_of
from stead.toolbox.search.store import Made, Store, unwritable
from stead.toolbox.search.symbols import Symbol, symbols

FILE_BYTES = 1 << 19
TOTAL_BYTES = 256 << 20
DAMAGED = 3
"""An exit code."""
BATCH = 50
"""Files that are written together."""
_LINE_CHARACTERS = 400
"""Lines that are longer on average are not written by people."""
_LOOK = 8192


def update(root: Root, store: Store, paths: Sequence[str], told: Callable[[int], None] = lambda done: None) -> None:
    room = TOTAL_BYTES - store.bytes()
    for start in range(0, len(paths), BATCH):
        read = [(path, _read(root, path)) for path in paths[start : start + BATCH]]
        all_made = [(path, found, _made(path, found)) for path, found in read]
        with store.changing():
            for path, found, made in all_made:
                room += store.forget([path])
                if found is None:
                    continue
                size = found[1][1]
                skipped = made.skipped or ("the index is full" if size > room else "")
                room -= 0 if skipped else size
                store.replace(path, found[1], language_of(path), Made(skipped) if skipped else made)
        told(min(len(paths), start + BATCH))


Read = tuple[bytes, tuple[int, int]]


def _read(root: Root, path: str) -> Read | None:
    """The content, and what tells whether it is still the same; None when there is no such file to read."""
    try:
        descriptor = root.open(path, os.O_RDONLY | os.O_NOFOLLOW | QUIET)
    except SteadError:
        return None
    try:
        found = confine.regular(descriptor, path)
        content = os.read(descriptor, FILE_BYTES) if found.st_size <= FILE_BYTES else b""
        return content, (found.st_mtime_ns, found.st_size)
    except (SteadError, OSError):
        return None
    finally:
        os.close(descriptor)


def _made(path: str, found: Read | None) -> Made:
    """What of it goes into the index."""
    if found is None:
        return Made("gone")
    content, (_, size) = found
    if size > FILE_BYTES:
        return Made("too large")
    if b"\0" in content[:_LOOK]:
        return Made("not text")
    if len(content) > _LINE_CHARACTERS * (content.count(b"\n") + 4):
        return Made("made by a machine")
    language = language_of(path)
    names = _symbols(language, content) if language else []
    return Made("", chunks(language, content.decode(errors="replace"), names), names)


def _symbols(language: str, content: bytes) -> list[Symbol]:
    """None when the grammar is not installed."""
    try:
        return symbols(language, content)
    except SteadError:
        return []


def main() -> None:
    """See above."""
    os.nice(10)
    asked = json.loads(sys.stdin.buffer.readline())
    paths = [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0") if path]
    root = Root(asked["root"])
    try:
        store = Store(Path(asked["store"]))
        update(root, store, paths, _print)
        store.close()
    except sqlite3.Error as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1 if unwritable(error) else DAMAGED)
    root.close()


def _print(done: int) -> None:
    sys.stdout.write(f"{done}\n")
    sys.stdout.flush()


def lines(root: Root, path: str, first: int, last: int) -> list[str]:
    """Lines of a file as it is now, from 1 on; none when it cannot be read."""
    found = _read(root, path)
    return [] if found is None else lines_of(found[0].decode(errors="replace"))[first - 1 : last]


def states(root: Root, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """What tells whether each file is still the same."""
    found: dict[str, tuple[int, int]] = {}
    for path in paths:
        try:
            stat = os.lstat(f"{root.path}/{path}")
        except OSError:
            continue
        found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


if __name__ == "__main__":
    main()
