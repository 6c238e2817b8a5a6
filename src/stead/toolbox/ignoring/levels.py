"""Which ignore files count in a directory, as ripgrep takes them, without the program.

Contract: `Level` is what holds in a directory and below: `Level.above(root)` has what stands above a root, `entered` adds a
directory's own files, `ignores` judges an entry of a directory that is not ignored. Paths are absolute, as `os.fsdecode` has
them.

`.rgignore` counts before `.ignore`, that before `.gitignore`, and a deeper file before a higher one. Whether a directory is a
repository does not matter.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Mapping
from pathlib import Path

from stead.toolbox.confine import QUIET
from stead.toolbox.ignoring.expressions import Syntax
from stead.toolbox.ignoring.patterns import FILE_BYTES, Patterns

FILES = (".rgignore", ".ignore", ".gitignore", ".git/info/exclude")
"""Where patterns stand; the earlier count more."""
NAMES = frozenset({".rgignore", ".ignore", ".gitignore"})


class Level:
    """The ignore files of one directory, and those above it. `of_places`: not only names matter to them, but where they are."""

    def __init__(self, base: str, parent: Level | None, files: Mapping[str, bytes]) -> None:
        inside = os.fsencode(base.rstrip("/") + "/")
        self.parent = parent
        self._own = {
            name: found for name, text in files.items() if (found := Patterns.of(text, inside, Syntax.RIPGREP))
        }
        above = parent is not None and parent.of_places
        self.of_places: bool = above or any(each.of_places for each in self._own.values())

    @classmethod
    def above(cls, root: str) -> Level | None:
        """What the directories above a root say."""
        level: Level | None = None
        for directory in reversed(Path(root).parents):
            try:
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                level = entered(level, str(directory), descriptor, None)
            finally:
                os.close(descriptor)
        return level

    def ignores(self, path: str, *, directory: bool) -> bool:
        raw = os.fsencode(path)
        for name in FILES:
            verdict = self._judge(name, raw, directory)
            if verdict is not None:
                return verdict
        return False

    def _judge(self, name: str, path: bytes, directory: bool) -> bool | None:
        level: Level | None = self
        while level is not None:
            patterns = level._own.get(name)  # noqa: SLF001 (of its own kind)
            if patterns is not None:
                verdict = patterns.judge(path, directory=directory)
                if verdict is not None:
                    return verdict
            level = level.parent
        return None


def entered(level: Level | None, base: str, descriptor: int, names: Container[str] | None) -> Level | None:
    """What holds in a directory: `level` when it adds nothing. `names`: what is in it, where that is known."""
    files = {
        name: text
        for name in FILES
        if (names is None or name.partition("/")[0] in names) and (text := _text(descriptor, name)) is not None
    }
    return Level(base, level, files) if files else level


def _text(descriptor: int, name: str) -> bytes | None:
    """The beginning of an ignore file; None when there is none."""
    try:
        file = os.open(name, os.O_RDONLY | QUIET | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        return os.read(file, FILE_BYTES)
    except OSError:
        return None
    finally:
        os.close(file)
