"""A door that cannot be opened for days fills no log."""

import logging

import pytest

from stead.guest.complaints import Complaints


def test_the_same_is_told_once_until_it_worked_or_something_else_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(logging.getLogger("doors"), 5.0, lambda: now)
    with caplog.at_level(logging.DEBUG):
        for what, lasted in (("a", 0), ("a", 0), ("b", 0), ("b", 0), ("b", 60), ("b", 0), ("a", 0)):
            complaints.begin()
            now += lasted
            complaints.tell(what)
            now += 5
    told = [(record.levelname, record.getMessage()[0]) for record in caplog.records]
    warned = [what for level, what in told if level == "WARNING"]
    assert (len(told), warned) == (7, ["a", "b", "b", "a"])
