"""What a program may leave open of a remote toolbox; what it does is tried by the behaviours."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stead.guest.config import SOCKET
from stead.sdk.guest.link import GuestLink
from support.guests import GuestProcess

SEVERAL = 8
"""The loop closes what is open in any order."""


class EndedError(Exception):
    """The program ends in the middle."""


@pytest.mark.parametrize("tree", [False, True])
def test_a_download_that_is_left_open_at_the_end_of_a_program_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tree: bool
) -> None:
    kept: list[AsyncIterator[bytes]] = []

    async def program(guest: GuestProcess) -> None:
        async with GuestLink(guest.run / SOCKET) as link:
            for _ in range(SEVERAL):
                pieces = link.toolbox.download_tree(".") if tree else link.toolbox.download("large")
                kept.append(pieces)
                assert await anext(pieces)
            raise EndedError

    with GuestProcess(tmp_path) as guest:
        (guest.root / "large").write_bytes(os.urandom(4 << 20))
        with pytest.RaisesGroup(EndedError, allow_unwrapped=True, flatten_subgroups=True):
            asyncio.run(program(guest))
    assert not caplog.records
