"""What a database error means in our words.

Contract: `translate(error)` answers the `SteadError` for a database that does not answer, is full or refuses writes, and
the error itself for everything else (a bug of ours, or a constraint that a repository handles).
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from stead.protocol.errors import SteadError

_SQLITE_DOWN = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another program",
    sqlite3.SQLITE_READONLY: "the database file cannot be written",
    sqlite3.SQLITE_IOERR: "the disk of the database fails",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is not a database",
    sqlite3.SQLITE_PERM: "the database file may not be opened",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another program",
}
_POSTGRES_DOWN = ("08", "25006", "53300", "53400", "55P03", "57P", "58", "3D000", "28")
_POSTGRES_FULL = ("53100",)
_POSTGRES_TEXT = ("22021", "22P05")


def translate(error: Exception) -> Exception:
    """The error to raise for this one."""
    if isinstance(error, DBAPIError):
        return _from_driver(error)
    if isinstance(error, UnicodeEncodeError):
        return _unstorable()
    if isinstance(error, sqlite3.Error):
        return _from_sqlite(error) or error
    if isinstance(error, PoolTimeout | OSError | TimeoutError):
        return SteadError("database_unavailable", f"the database does not answer: {_brief(error)}")
    return error


def _from_driver(error: DBAPIError) -> Exception:
    cause = error.orig
    if isinstance(error, IntegrityError):
        return error
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause) or error
    state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")
    if state in _POSTGRES_TEXT or isinstance(cause, UnicodeEncodeError) or "codec can't encode" in str(cause):
        return _unstorable()
    if state.startswith(_POSTGRES_FULL):
        return SteadError("disk_full", "the disk of the database is full")
    if error.connection_invalidated or state.startswith(_POSTGRES_DOWN):
        return SteadError("database_unavailable", f"the database does not answer: {_brief(cause)}")
    if isinstance(error, OperationalError | InterfaceError) and not state:
        return SteadError("database_unavailable", f"the database does not answer: {_brief(cause)}")
    return error


def _from_sqlite(error: sqlite3.Error) -> SteadError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return SteadError("disk_full", "the disk of the database is full")
    if code in _SQLITE_DOWN:
        return SteadError("database_unavailable", _SQLITE_DOWN[code])
    return None


def _unstorable() -> SteadError:
    return SteadError("invalid", "the text has characters that cannot be stored")


def _brief(error: BaseException | None) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
