"""Copies of a SQLite database: before a migration, and for `stead backup` and `stead restore`.

Contract: `backup(file, target)` copies a database that may be in use, whole and consistent, into a new file of mode 0600;
`restore(source, file)` checks the copy and puts it in place of a database that nobody uses. PostgreSQL has its own tools.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from stead.control.store.faults import translate
from stead.protocol.errors import SteadError

PRIVATE = 0o600
KEPT = 10
"""Copies kept of those made before migrations."""


def backup(file: Path, target: Path) -> None:
    """A copy of the database; an existing target is refused."""
    if not file.is_file():
        raise SteadError("not_found", f"no database at {file}")
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
        _copy(file, part)
        _publish(part, target)
    except (OSError, sqlite3.Error) as error:
        raise translate(error) from error
    finally:
        part.unlink(missing_ok=True)


def restore(source: Path, file: Path) -> None:
    """Puts a copy in place; the present database, if any, stays beside it as `.before-restore`."""
    _check(source)
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    backup(source, part)
    _retire(file)
    part.replace(file)
    _sync_folder(file.parent)


def backup_before(file: Path, revision: str, now: float) -> Path:
    """A copy in the folder `backups`, named after the revision; old ones are removed."""
    folder = file.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{file.stem}-{revision}-{int(now * 1000)}.sqlite"
    backup(file, target)
    for old in sorted(folder.glob(f"{file.stem}-*.sqlite"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink()
    return target


def _copy(file: Path, part: Path) -> None:
    with closing(sqlite3.connect(file, timeout=30)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy, pages=1000, sleep=0.01)
        copy.execute("PRAGMA journal_mode = DELETE")


def _publish(part: Path, target: Path) -> None:
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(part, target)
    except FileExistsError as error:
        raise SteadError("already_exists", f"{target} exists; a backup never overwrites") from error
    _sync_folder(target.parent)


def _check(source: Path) -> None:
    if not source.is_file():
        raise SteadError("not_found", f"no backup at {source}")
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as raw:
            sound = raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            ours = raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0] == 1
    except sqlite3.Error as error:
        raise SteadError("invalid", f"{source} is not a Stead backup: {error}") from error
    if not (sound and ours):
        raise SteadError("invalid", f"{source} is not a sound Stead backup")


def _retire(file: Path) -> None:
    """The present database leaves with its log folded in, so that nothing of it mixes with the copy."""
    if file.exists():
        with closing(sqlite3.connect(file, timeout=1, isolation_level=None)) as raw:
            try:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                raw.execute("PRAGMA locking_mode = EXCLUSIVE")
                raw.execute("BEGIN EXCLUSIVE")
                raw.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise SteadError("conflict", "the database is in use; stop the server first") from error
        file.replace(file.with_name(file.name + ".before-restore"))
    for ending in ("-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
