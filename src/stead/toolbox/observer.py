"""Who may watch the inside of a workspace pass its steps. In production nobody does.

Contract: code of the guest and the holder that must survive a crash anywhere says `observer.at(point, subject)` between its
steps. Chaos tests run the same code with an observer that kills the process at a named point
(`stead.testing.guestprogram`, which lists the points).
"""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told of every step passed, in whatever thread."""

    def at(self, point: str, subject: str) -> None:
        """`point` names the step, `subject` what it is about (an exec, a method, a path)."""


class Nobody:
    """The observer of production: does nothing."""

    def at(self, point: str, subject: str) -> None:
        return


NOBODY = Nobody()
