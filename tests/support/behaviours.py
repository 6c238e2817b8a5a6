"""One check of the behaviours as a test: it holds, or is skipped with the reason; with all engines there, few may be."""

import os

import pytest

from stead.toolbox import behaviour
from stead.toolbox.contract import Toolbox
from support.repository import ROOT

MAY_BE_SKIPPED = frozenset({"system-cloud-init", "system-services"})
"""Of a workspace that is no machine; those are tried in machines."""
NOT_SEEN = frozenset({"language-typescript"}) if ROOT.is_relative_to("/tmp") else frozenset[str]()
"""Whose programs are of this checkout's own web app: a workspace has a `/tmp` of its own, and sees nothing of one there."""


async def holds(toolbox: Toolbox, name: str) -> None:
    """Fails, skips or returns."""
    [outcome] = [outcome async for outcome in behaviour.run(toolbox, [name])]
    assert outcome.ok, outcome.detail
    if outcome.skipped:
        required = os.environ.get("STEAD_REQUIRE_ENGINES") == "1"
        assert name in MAY_BE_SKIPPED | NOT_SEEN or not required, f"not tried: {outcome.detail}"
        pytest.skip(outcome.detail)
