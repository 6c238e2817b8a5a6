"""The house itself: the test session's own tools work."""

import pytest

from support.postgres import Postgres

pytestmark = pytest.mark.needs_engine("postgres")


def test_every_test_gets_an_empty_database(postgres: Postgres, postgres_url: str) -> None:
    name = postgres_url.rsplit("/", 1)[1]
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == "0"
    postgres.sql("CREATE TABLE left_here (id int)", name)


def test_a_restarted_server_keeps_its_data(postgres: Postgres, postgres_url: str) -> None:
    name = postgres_url.rsplit("/", 1)[1]
    postgres.sql("CREATE TABLE kept (id int)", name)
    postgres.restart()
    assert postgres.sql("SELECT count(*) FROM kept", name) == "0"
