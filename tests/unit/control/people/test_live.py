"""What lives by a credential ends with it."""

import time

import anyio
import pytest

from stead.control.people.caller import Caller
from stead.control.people.live import Live

pytestmark = pytest.mark.anyio


def caller(user: str, credential: str) -> Caller:
    return Caller(
        user_id=user, name=user, role="member", scopes=frozenset({"*"}), via="token", credential_id=credential
    )


async def live_until_cut(live: Live, who: Caller, expires: float | None, ended: list[str]) -> None:
    with live.by(who, expires):
        await anyio.sleep_forever()
    ended.append(who.credential_id)


async def test_a_cut_ends_only_what_is_meant() -> None:
    live, ended = Live(), []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for user, credential in (("u", "a"), ("u", "b"), ("v", "c")):
                group.start_soon(live_until_cut, live, caller(user, credential), None, ended)
            await anyio.wait_all_tasks_blocked()
            assert live.count("u") == 2
            assert live.cut(credential_id="a") == 1
            await anyio.wait_all_tasks_blocked()
            assert ended == ["a"]
            assert live.cut(user_id="u") == 1
            await anyio.wait_all_tasks_blocked()
            assert ended == ["a", "b"]
            group.cancel_scope.cancel()
    assert live.count("u") == live.count("v") == 0


async def test_an_expired_credential_ends_it() -> None:
    live, ended = Live(), []
    with anyio.fail_after(30):
        await live_until_cut(live, caller("u", "soon"), time.time() + 0.05, ended)
        await live_until_cut(live, caller("u", "past"), time.time() - 5, ended)
    assert ended == ["soon", "past"]
