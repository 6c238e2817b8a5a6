"""Brings a database to this version's schema: a backup first, then all revisions in one transaction.

Contract: `migrate(conn)` within a transaction; a revision that fails undoes everything. `revision(conn)` is what the
database has, empty for a new one. A database of a newer program is "version_unsupported" and stays untouched.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, Select, inspect, select
from sqlalchemy.sql import column, table

from stead.protocol.errors import SteadError

HEAD = "0002"
"""The newest revision; a test compares it with the files."""

FOLDER = Path(__file__).parent / "migrations"
_VERSION: Select[tuple[str]] = select(column("version_num")).select_from(table("alembic_version"))


def revision(conn: Connection) -> str:
    """The revision of the database."""
    if not inspect(conn).has_table("alembic_version"):
        return ""
    return str(conn.execute(_VERSION).scalar() or "")


def migrate(conn: Connection, folder: Path = FOLDER, head: str = HEAD) -> None:
    """Runs what is missing."""
    found = revision(conn)
    if found == head:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = conn
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found and found not in known:
        raise SteadError("version_unsupported", f"the database is of a newer Stead (schema {found}, known {head})")
    logging.getLogger(__name__).info("migrating the database from %s to %s", found or "nothing", head)
    command.upgrade(config, head)
