"""Sessions: there are only so many."""

import os
from pathlib import Path

import pytest

from stead.toolbox.local import opened
from stead.toolbox.sessions.contract import SESSIONS

pytestmark = pytest.mark.anyio


async def test_the_one_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox:
        for number in range(SESSIONS):
            await toolbox.sessions.open(f"s{number}")
        os.utime(tmp_path / "run" / "sessions" / "s7" / "cwd", (0, 0))
        await toolbox.sessions.open("another")
        names = [each.name for each in (await toolbox.sessions.list()).sessions]
    assert sorted(names) == sorted(["another", *(f"s{number}" for number in range(SESSIONS) if number != 7)])
