"""Limits that are set are the limits that hold, and none is without a test."""

import re
import time
from pathlib import Path

import pytest

from stead.control.http.limits import Limits
from support.deadline import eventually_async
from unit.control.face import face

pytestmark = pytest.mark.anyio
TESTS = Path(__file__).parents[3]


def test_every_limit_is_set_by_a_test() -> None:
    tests = "\n".join(file.read_text() for part in ("unit/control", "integration/server") for file in _files(part))
    named = {name for table in re.findall(r"limits=\{([^}]*)\}", tests) for name in re.findall(r'"(\w+)":', table)}
    assert set(Limits.__struct_fields__) - named == set()


def _files(part: str) -> list[Path]:
    return sorted((TESTS / part).rglob("test_*.py"))


async def test_headers_of_one_request(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"header_bytes": 2_000}) as it:
        assert (await it.admin.get("/whoami", headers={"x": "x" * 1_000})).status_code == 200
        answer = await it.admin.get("/whoami", headers={"x": "x" * 2_000})
        assert answer.status_code == 431
        assert answer.json()["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "once"}])
async def test_the_body_of_one_request(tmp_path: Path, key: dict[str, str]) -> None:
    async with face(tmp_path, limits={"body_bytes": 2_000}) as it:
        answer = await it.admin.post("/users", json={"name": "m" * 3_000}, headers=key)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"
        assert (await it.admin.post("/users", json={"name": "mia"}, headers=key)).status_code == 201


async def test_the_life_of_a_ticket(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"ticket_seconds": 5.5}) as it:
        before = time.time()
        ticket = (await it.admin.post("/tickets")).json()
        assert before + 5.5 <= ticket["expires"] <= time.time() + 5.5


async def test_the_life_of_an_answer(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "once"}
    async with face(tmp_path) as it:
        made = await it.admin.post("/users", json={"name": "mia"}, headers=key)
        assert (await it.admin.post("/users", json={"name": "mia"}, headers=key)).json() == made.json()
        secret = it.secret
    async with face(tmp_path, limits={"idempotency_seconds": 0.001}) as it, it.client(secret) as client:

        async def forgotten() -> bool:
            again = await client.post("/users", json={"name": "mia"}, headers=key)
            return again.status_code == 409 and again.json()["error"]["code"] == "already_exists"

        await eventually_async(forgotten, "the answer is forgotten")


async def test_the_life_of_history(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        secret = it.secret
        await it.node()
        await it.workspace()
        assert (await it.admin.get("/commands")).json()["items"] != []
    async with face(tmp_path, limits={"history_seconds": 0.001}) as it, it.client(secret) as client:

        async def forgotten() -> bool:
            return (await client.get("/commands")).json()["items"] == []

        await eventually_async(forgotten, "ended commands are forgotten")
