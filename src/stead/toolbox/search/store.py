"""The index on disk: files as they were seen, their pieces for full text search, and their symbols, in one SQLite file.

Contract: `Store(file)` opens or makes it; one that cannot be read is thrown away and made anew, because all of it can be made
again. Without a file it is in memory. `replace` and `forget` change it, inside of `changing`: all of it is kept or nothing, and
what cannot be kept, as on a full disk, takes no room. `unwritable` tells that from damage. May be used from several threads and
processes.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stead.toolbox.search.chunks import Chunk
from stead.toolbox.search.symbols import Symbol
from stead.toolbox.search.words import counted

VERSION = 1
"""Another one is made anew."""
BUSY_SECONDS = 20.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, modified INTEGER NOT NULL, size INTEGER NOT NULL,
  language TEXT NOT NULL, skipped TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS chunk (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, line INTEGER NOT NULL, end_line INTEGER NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_file ON chunk (file);
CREATE TABLE IF NOT EXISTS symbol (
  file INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, line INTEGER NOT NULL, end_line INTEGER NOT NULL,
  place INTEGER NOT NULL, container TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS symbol_file ON symbol (file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(path, name, body, tokenize = 'unicode61');
"""
_WEIGHTS = "3.0, 6.0, 1.0"
"""How much a word counts in a path, a name, the text."""


class Made(NamedTuple):
    """What a file becomes in the index, or why it is left out."""

    skipped: str
    chunks: Sequence[Chunk] = ()
    symbols: Sequence[Symbol] = ()


class Found(NamedTuple):
    """A piece that fits; a larger score is better."""

    path: str
    line: int
    end_line: int
    kind: str
    name: str
    language: str
    score: float


_UNWRITABLE = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
    }
)


def unwritable(error: sqlite3.Error) -> bool:
    """Whether the disk, or who else writes, is at fault, and not what is on it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNWRITABLE


class Store:
    """One index."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._lock = threading.RLock()
        try:
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if file is None or unwritable(error):
                raise
            _remove(file)
            self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        if self.file is not None:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.file or ":memory:"
        database = sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = OFF", "temp_store = MEMORY"):
                database.execute(f"PRAGMA {pragma}")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, VERSION}:
                raise sqlite3.DatabaseError("another version")
            database.executescript(_SCHEMA)
            if version != VERSION:
                database.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def all(self, sql: str, *values: object) -> list[Any]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    # --- files -------------------------------------------------------------------------------------------------------

    def known(self) -> dict[str, tuple[int, int]]:
        """When each file was changed, and its size."""
        return {path: (modified, size) for path, modified, size in self.all("SELECT path, modified, size FROM file")}

    def bytes(self) -> int:
        """Of all that is in it."""
        return int(self.all("SELECT COALESCE(SUM(size), 0) FROM file WHERE skipped = ''")[0][0])

    def skipped(self) -> int:
        return int(self.all("SELECT COUNT(*) FROM file WHERE skipped != ''")[0][0])

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Changes in here are one."""
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def replace(self, path: str, state: tuple[int, int], language: str, made: Made) -> None:
        """A file as it is now."""
        self.forget([path])
        run = self._database.execute
        file = run(
            "INSERT INTO file (path, modified, size, language, skipped) VALUES (?, ?, ?, ?, ?)",
            (path, *state, language, made.skipped),
        ).lastrowid
        path_words = counted([path])
        for chunk in made.chunks:
            values = (file, chunk.line, chunk.end_line, chunk.kind, chunk.name)
            row = run("INSERT INTO chunk (file, line, end_line, kind, name) VALUES (?, ?, ?, ?, ?)", values).lastrowid
            texts = (row, path_words, counted([chunk.name]), counted([chunk.text]))
            run("INSERT INTO words (rowid, path, name, body) VALUES (?, ?, ?, ?)", texts)
        self._database.executemany(
            "INSERT INTO symbol (file, name, kind, line, end_line, place, container) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((file, *symbol) for symbol in made.symbols),
        )

    def forget(self, paths: Iterable[str]) -> int:
        """Files that are gone; how many bytes of them were in it."""
        run = self._database.execute
        freed = 0
        for path in paths:
            row = run("SELECT id, size, skipped FROM file WHERE path = ?", (path,)).fetchone()
            if row is not None:
                file, size, skipped = row
                freed += 0 if skipped else size
                run("DELETE FROM words WHERE rowid IN (SELECT id FROM chunk WHERE file = ?)", (file,))
                for table in ("chunk", "symbol"):
                    run(f"DELETE FROM {table} WHERE file = ?", (file,))  # noqa: S608 (our own names)
                run("DELETE FROM file WHERE id = ?", (file,))
        return freed

    # --- questions ---------------------------------------------------------------------------------------------------

    def matching(self, expression: str, wanted: Callable[[str], bool], limit: int) -> list[Found]:
        """Pieces of wanted files, by how well they fit, then by their places."""
        with self._lock:
            rows = self._database.execute(
                f"SELECT rowid, -bm25(words, {_WEIGHTS}) AS score FROM words WHERE words MATCH ? ORDER BY score DESC",  # noqa: S608
                (expression,),
            )
            alike = (sorted(self._pieces(group)) for _, group in itertools.groupby(rows, key=lambda row: row[1]))
            return list(itertools.islice((each for some in alike for each in some if wanted(each.path)), limit))

    def _pieces(self, rows: Iterable[tuple[int, float]]) -> Iterator[Found]:
        for chunk, score in rows:
            found = self._database.execute(
                "SELECT file.path, chunk.line, chunk.end_line, chunk.kind, chunk.name, file.language FROM chunk"
                " JOIN file ON file.id = chunk.file WHERE chunk.id = ?",
                (chunk,),
            ).fetchone()
            if found is not None:
                yield Found(*(*found, score))

    def symbols(self, pattern: str, limit: int) -> list[tuple[str, str, Symbol]]:
        """Path, language and symbol of those whose names fit a pattern of LIKE."""
        rows = self.all(
            "SELECT file.path, file.language, symbol.name, symbol.kind, symbol.line, symbol.end_line, symbol.place,"
            " symbol.container FROM symbol JOIN file ON file.id = symbol.file"
            r" WHERE symbol.name LIKE ? ESCAPE '\' LIMIT ?",
            pattern,
            limit,
        )
        return [(path, language, Symbol(*rest)) for path, language, *rest in rows]


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + end).unlink()
