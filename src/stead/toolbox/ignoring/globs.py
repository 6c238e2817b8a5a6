"""Globs of a caller, as ripgrep has them: which paths of a workspace a search or a watch is about.

Contract: `Chosen(globs, field).has(path)`: whether the path, or a directory it is in, fits one. A glob that is none is
"invalid".
"""

from __future__ import annotations

from collections.abc import Sequence

from stead.protocol.errors import SteadError
from stead.toolbox.confine import shown
from stead.toolbox.ignoring import patterns
from stead.toolbox.ignoring.expressions import Syntax
from stead.toolbox.ignoring.patterns import Pattern, Patterns

GLOBS = 100
"""The most globs of a caller, of `GLOBS_BYTES` in all."""
GLOBS_BYTES = 1 << 14


class Chosen:
    """What fits one of the globs."""

    def __init__(self, globs: Sequence[str], field: str) -> None:
        if len(globs) > GLOBS:
            raise SteadError("invalid", f"at most {GLOBS} globs", field=field)
        if sum(len(glob.encode(errors="surrogateescape")) for glob in globs) > GLOBS_BYTES:
            raise SteadError("invalid", f"globs have at most {GLOBS_BYTES} bytes in all", field=field)
        self._patterns = Patterns(_glob(glob, field) for glob in globs)

    def has(self, path: str, *, directory: bool = False) -> bool:
        raw = path.encode(errors="surrogateescape")
        if self._patterns.judge(raw, directory=directory):
            return True
        end = raw.find(b"/")
        while end >= 0:
            if self._patterns.judge(raw[:end], directory=True):
                return True
            end = raw.find(b"/", end + 1)
        return False


def _glob(glob: str, field: str) -> Pattern:
    raw = glob.encode(errors="surrogateescape")
    pattern = None if any(mark in glob for mark in "\0\r\n") else patterns.glob(raw, Syntax.RIPGREP)
    if pattern is None:
        raise SteadError("invalid", f"{shown(glob)!r} is no glob", field=field)
    return pattern
