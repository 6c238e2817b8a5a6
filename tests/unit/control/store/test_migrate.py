"""Migrations and backups of a SQLite file."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from stead.control.store import credentials, migrate
from stead.control.store.backup import KEPT, backup, backup_before, restore
from stead.control.store.schema import settings, tokens, users
from stead.control.store.store import FILE, open_store
from stead.protocol.errors import SteadError

pytestmark = pytest.mark.anyio

NEXT = '''"""One more.

Revision ID: next
Revises: {head}
"""
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("more", sa.Column("id", sa.Text(), primary_key=True))
    op.execute("UPDATE settings SET value = 'changed'")
    {then}
'''


def put(conn: Connection, name: str, value: str = "1") -> None:
    conn.execute(settings.insert().values(name=name, value=value))


def values(conn: Connection) -> dict[str, str]:
    return {row.name: row.value for row in conn.execute(select(settings))}


def scripts(tmp_path: Path, then: str) -> Path:
    """Our revisions and one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "next.py").write_text(NEXT.replace("{then}", then).replace("{head}", migrate.HEAD))
    return folder


async def old_database(folder: Path) -> None:
    store = await open_store("", folder)
    await store.write(put, "kept", "old")
    await store.close()


def test_the_named_head_is_the_newest_file() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


async def test_an_older_database_is_copied_and_then_migrated(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await old_database(data)
    store = await open_store("", data, scripts(tmp_path, "pass"), "next")
    assert await store.read(values) == {"kept": "changed"}
    assert await store.read(migrate.revision) == "next"
    await store.close()
    (copy,) = (data / "backups").iterdir()
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT value FROM settings").fetchall() == [("old",)]
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.HEAD,)]


async def test_credentials_of_the_first_schema_hold(tmp_path: Path) -> None:
    first = scripts(tmp_path, "pass")
    for later in (first / "versions").glob("[!0]*.py"):
        later.unlink()
    for later in (first / "versions").glob("000[!1]*.py"):
        later.unlink()
    store = await open_store("", tmp_path / "data", first, "0001")
    token = {"id": "tk_1", "user_id": "us_1", "name": "ci", "scopes": ["*"], "hash": "h", "kind": "api", "created": 1.0}
    user = {"id": "us_1", "name": "admin", "role": "admin", "disabled": False, "created": 1.0, "version": 1}

    def fill(conn: Connection) -> None:
        conn.execute(users.insert().values(**user))
        conn.execute(tokens.insert().values(**token))

    await store.write(fill)
    await store.close()
    store = await open_store("", tmp_path / "data")
    found = await store.read(credentials.find_token, "h")
    assert found is not None
    assert (found.credential_id, found.name) == ("tk_1", "admin")
    assert [each.made_by for each in (await store.read(credentials.page_tokens, "", "", 10)).items] == [None]
    await store.close()


async def test_a_migration_that_fails_leaves_the_old_database(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await old_database(data)
    with pytest.raises(RuntimeError, match="half way"):
        await open_store("", data, scripts(tmp_path, "raise RuntimeError('half way')"), "next")
    store = await open_store("", data)
    assert await store.read(values) == {"kept": "old"}
    assert await store.read(migrate.revision) == migrate.HEAD
    await store.close()


async def test_backup_of_a_database_in_use_and_restore(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite"
    store = await open_store("", data)
    await store.write(put, "first")
    backup(data / FILE, copy)
    await store.write(put, "second")
    with pytest.raises(SteadError, match="never overwrites"):
        backup(data / FILE, copy)
    await store.close()
    restore(copy, data / FILE)
    store = await open_store("", data)
    assert await store.read(values) == {"first": "1"}
    await store.write(put, "third")
    await store.close()
    assert (data / (FILE + ".before-restore")).exists()
    assert copy.stat().st_mode & 0o077 == 0
    assert [path.name for path in data.iterdir() if path.name.endswith(".part")] == []


async def test_what_is_not_a_backup_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await old_database(data)
    wrong, foreign = tmp_path / "wrong", tmp_path / "foreign"
    wrong.write_text("no database" * 200)
    with closing(sqlite3.connect(foreign)) as raw:
        raw.execute("CREATE TABLE other (id)")
        raw.commit()
    for source in (wrong, foreign, tmp_path / "missing"):
        with pytest.raises(SteadError):
            restore(source, data / FILE)
    store = await open_store("", data)
    assert await store.read(values) == {"kept": "old"}
    await store.close()


async def test_a_database_in_use_is_not_replaced(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.sqlite"
    store = await open_store("", data)
    await store.write(put, "first")
    backup(data / FILE, copy)
    with pytest.raises(SteadError, match="in use"):
        restore(copy, data / FILE)
    assert await store.read(values) == {"first": "1"}
    await store.close()


async def test_only_the_newest_copies_are_kept(tmp_path: Path) -> None:
    await old_database(tmp_path)
    for number in range(KEPT + 3):
        backup_before(tmp_path / FILE, "0001", float(number))
    assert len(list((tmp_path / "backups").iterdir())) == KEPT
