"""A server on PostgreSQL, which is stopped, gone for a while and started again, and then the server is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from integration.server.program import Program
from support.deadline import eventually
from support.postgres import Postgres

pytestmark = pytest.mark.needs_engine("postgres")


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A server of our own, so that its end hurts nobody."""
    server = Postgres()
    try:
        server.create()
        yield server
    finally:
        server.close()


def test_nothing_is_lost_or_doubled(tmp_path: Path, database: Postgres) -> None:
    url = database.url(database.new_database())
    with Program(tmp_path, mode="scripted", database_url=url) as program, program.client() as client:
        eventually(lambda: made(client, "before"), "a workspace is asked for", within=90)
        eventually(lambda: state(client, "before") == "running", "it runs", within=90)
        database.stop()
        refused = client.post("/workspaces", json=wish("lost"), headers={"Idempotency-Key": "lost"})
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "database_unavailable"
        assert client.get("/health").status_code in {200, 503}
        database.start()
        eventually(lambda: made(client, "after"), "another is asked for", within=90)
        eventually(lambda: state(client, "after") == "running", "it runs", within=90)
        program.kill()
        program.start()
        eventually(lambda: state(client, "before") == state(client, "after") == "running", "both run", within=90)
        assert [command["state"] for command in client.get("/commands").json()["items"]] == ["completed", "completed"]
        for name in ("before", "after"):
            assert client.delete(f"/workspaces/{name}").status_code == 202
        eventually(lambda: client.get("/workspaces").json()["items"] == [], "both are gone", within=90)


def wish(name: str) -> dict[str, str]:
    return {"name": name, "driver": "scripted"}


def made(client: httpx2.Client, name: str) -> bool:
    """Asks for a workspace under one key, so that asking again is no second wish."""
    return client.post("/workspaces", json=wish(name), headers={"Idempotency-Key": name}).status_code == 201


def state(client: httpx2.Client, name: str) -> Any:
    return client.get(f"/workspaces/{name}").json().get("state")
