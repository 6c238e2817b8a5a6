"""How every toolbox must behave: one list of named checks, for the tests and for whoever wants to prove an installation.

Contract: `async for outcome in run(toolbox)` gives one `Outcome` a check; a check that fails says what was wrong and changes
nothing for the others, each of which works in a directory of its own and removes it. `CHECKS` is the list. The checks need
a POSIX shell and its usual companions (`cat`, `head`, `ln`, `mkfifo`, `ps`, `sleep`, ...) in the workspace. One whose
further program (git, ripgrep, ...) or system is missing is told as skipped, with the reason.
"""

from __future__ import annotations

from stead.toolbox.behaviour import (
    execs,
    files,
    git,
    language,
    search,
    sessions,
    streams,
    system,
    text,
    transfer,
    trees,
    watch,
)
from stead.toolbox.behaviour.checks import CHECKS, Check, Outcome, run

__all__ = [
    "CHECKS",
    "Check",
    "Outcome",
    "execs",
    "files",
    "git",
    "language",
    "run",
    "search",
    "sessions",
    "streams",
    "system",
    "text",
    "transfer",
    "trees",
    "watch",
]
