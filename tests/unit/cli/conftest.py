"""Unit tests of the command line run it here, whatever kept process the machine may have."""

import pytest

from stead.cli import kept


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kept.OFF, "0")
    monkeypatch.delenv("STEAD_DATA", raising=False)
