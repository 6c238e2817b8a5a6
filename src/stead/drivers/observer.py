"""Who may watch a program pass its steps. In production nobody does.

Contract: code that must survive a crash anywhere says `await observer.at(point, subject)` between its steps. Chaos tests
run the same code with an observer that kills the process at a named point.
"""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told of every step passed."""

    async def at(self, point: str, subject: str) -> None:
        """`point` names the step, `subject` what it is about (a workspace or command id)."""


class Nobody:
    """The observer of production: does nothing."""

    async def at(self, point: str, subject: str) -> None:
        return
