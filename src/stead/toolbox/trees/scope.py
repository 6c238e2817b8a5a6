"""Which `.gitignore` files count in a directory of a tree, exactly as git has it, and the patterns of a caller.

Contract: `Scope` is a chain of files, the innermost asked first. Paths are bytes, relative to where the outermost base is.
"""

from __future__ import annotations

from collections.abc import Iterable

from stead.toolbox.ignoring.patterns import Patterns


class Scope:
    """The files that apply in one directory, the outermost first."""

    def __init__(self, files: tuple[Patterns, ...] = ()) -> None:
        self._files = files

    def inside(self, patterns: Patterns) -> Scope:
        """In a directory below that has these."""
        return Scope((*self._files, patterns)) if patterns else self

    def ignores(self, path: bytes, *, directory: bool) -> bool:
        """Whether an entry of this directory is ignored."""
        for patterns in reversed(self._files):
            verdict = patterns.judge(path, directory=directory)
            if verdict is not None:
                return verdict
        return False


class Chosen:
    """Patterns of a caller, of which an entry must fit one; none at all is everything."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = Patterns.of(b"\n".join(_literal(pattern) for pattern in patterns))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def fits(self, path: bytes, *, directory: bool) -> bool:
        return not self._patterns or bool(self._patterns.judge(path, directory=directory))


def _literal(pattern: str) -> bytes:
    """A caller's pattern has no comments and no `!`."""
    raw = pattern.encode("utf-8", "surrogateescape").replace(b"\n", b"?")
    return b"\\" + raw if raw[:1] in {b"#", b"!"} else raw
