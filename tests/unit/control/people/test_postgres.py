"""The same people on PostgreSQL: one walk through all of their rows, also at the same time."""

from pathlib import Path

import anyio
import pytest

from stead.api.types import TokenCreate
from stead.control.store import idempotency
from stead.protocol.errors import SteadError
from support.deadline import eventually_async
from unit.control.face import Face, face

pytestmark = [pytest.mark.anyio, pytest.mark.needs_engine("postgres")]


async def _hostile_entry_is_written(it: Face) -> None:
    """One that the database would not take would hold up all that come after it."""
    audit = it.app.people.audit
    audit.post(audit.entry(None, "try", "a\0b"))

    async def written() -> bool:
        return bool((await it.admin.get("/audit?action=try")).json()["items"])

    await eventually_async(written, "the entry is written")


async def test_people_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    async with face(tmp_path, database_url=postgres_url) as it, it.client() as nobody:
        await _hostile_entry_is_written(it)
        made = (await it.admin.post("/users", json={"name": "mia"})).json()
        assert (await it.admin.post("/users", json={"name": "mia"})).status_code == 409
        assert (await nobody.post("/login", json={"code": made["login"]})).status_code == 200
        assert (await nobody.post("/login", json={"code": made["login"]}, headers={"Cookie": ""})).status_code in {
            401,
            403,
        }
        token = (await it.admin.post("/tokens", json={"name": "ci"})).json()
        assert (await it.admin.get("/tokens?limit=1")).json()["next"]
        assert (await it.admin.delete(f"/tokens/{token['token']['id']}")).status_code == 204
        assert (
            await it.admin.patch("/users/mia", json={"disabled": True}, headers={"If-Match": '"1"'})
        ).status_code == 200
        assert (await it.admin.delete("/users/mia")).status_code == 204
        actions = [entry["action"] for entry in (await it.admin.get("/audit")).json()["items"]]
        assert actions[0] == "deleteUser"
        assert {"createUser", "login", "createToken", "deleteToken", "patchUser"} <= set(actions)


async def test_one_effect_for_one_key_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    async with face(tmp_path, database_url=postgres_url) as it:
        store, won = it.app.services.store, []

        async def claim() -> None:
            try:
                won.append(await store.write(idempotency.claim, "u", "k", "print", "boot", 1.0))
            except SteadError as error:
                assert error.code == "in_progress"

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(claim)
        assert won == [None]
        key = {"Idempotency-Key": "one"}
        first = await it.admin.post("/tokens", json={"name": "a"}, headers=key)
        again = await it.admin.post("/tokens", json={"name": "a"}, headers=key)
        assert first.content == again.content


async def test_nothing_is_left_of_a_token_that_is_revoked_while_it_makes_others(
    tmp_path: Path, postgres_url: str
) -> None:
    async with face(tmp_path, database_url=postgres_url) as it:
        tokens, admin = it.app.people.tokens, await it.caller(it.secret)
        maker = await it.caller(await it.token("*"))
        made: list[str] = []

        async def make() -> None:
            try:
                made.append((await tokens.create(maker, TokenCreate(name="one"))).secret)
            except SteadError as error:
                assert error.code == "unauthenticated"

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(make)
                if number == 10:
                    group.start_soon(tokens.revoke, admin, maker.credential_id)
        for secret in made:
            with pytest.raises(SteadError):
                await it.known(secret)
        assert [each.made_by for each in (await tokens.list(admin, 100, "")).items] == [None]
