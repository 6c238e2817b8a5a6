"""Statements of the hot path: compiled once for each database, then handed to the driver without the library's machinery.

Contract: `Prepared(clause, names)` takes values by the names of the clause's parameters, which are the columns' names where
it inserts. `first` and `all` answer rows with the columns as attributes, `run` how many rows changed, `many` does the same
for many values at once. What fails raises what the library raises. No parameter may expand into several. `only` is the
parameter with the id of the one row that the statement touches, of those that units change (see `later.change`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError

from stead.control.store import later

Values = Mapping[str, Any]
Parameters = tuple[Any, ...]
Processor = Callable[[Any], Any]


class Prepared:
    """One statement."""

    def __init__(self, clause: Any, names: Sequence[str] | None = None, *, only: str = "") -> None:
        self._clause = clause
        self._names = None if names is None else list(names)
        self._only = only
        self._forms: dict[str, _Form] = {}

    def first(self, conn: Connection, values: Values) -> Any:
        """The first row, or None."""
        rows = self.all(conn, values)
        return rows[0] if rows else None

    def all(self, conn: Connection, values: Values) -> list[Any]:
        """Every row."""
        form = self._settled(conn, values)
        cursor = form.execute(conn, form.parameters(values))
        rows = form.rows(cursor)
        cursor.close()
        return rows

    def run(self, conn: Connection, values: Values) -> int:
        """How many rows were changed."""
        form = self._settled(conn, values)
        cursor = form.execute(conn, form.parameters(values))
        changed = cursor.rowcount
        cursor.close()
        return changed

    def many(self, conn: Connection, rows: Sequence[Values]) -> None:
        """Once for each of these values."""
        later.before(conn, None)
        form = self._form(conn)
        form.put(conn, [form.parameters(values) for values in rows])

    def parameters(self, conn: Connection, values: Values) -> Parameters:
        """These values, checked and as the driver wants them."""
        return self._form(conn).parameters(values)

    def put(self, conn: Connection, rows: Sequence[Parameters]) -> None:
        """Once for each of these parameters, of what was put off."""
        self._form(conn).put(conn, rows)

    def _settled(self, conn: Connection, values: Values) -> _Form:
        """The form, once it can see what it may see."""
        later.before(conn, values[self._only] if self._only else None)
        return self._form(conn)

    def _form(self, conn: Connection) -> _Form:
        form = self._forms.get(conn.dialect.name)
        if form is None:
            form = self._forms[conn.dialect.name] = _Form(self._clause, self._names, conn.dialect)
        return form


class _Form:
    """The statement in the words of one database."""

    def __init__(self, clause: Any, names: list[str] | None, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect, column_keys=names)
        self._text = str(compiled)
        order = list(compiled.positiontup or ())
        types = {name: compiled.binds[name].type for name in order}
        self._order = order
        self._fixed = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        self._bind = _processors([types[name].dialect_impl(dialect).bind_processor(dialect) for name in order])
        self._dialect = dialect
        columns = list(getattr(clause, "exported_columns", ()))
        self._columns = [column.key for column in columns]
        self._types = [column.type.dialect_impl(dialect) for column in columns]
        self._result: list[tuple[int, Processor]] | None = None

    def execute(self, conn: Connection, parameters: Parameters) -> DBAPICursor:
        """Runs it for these."""
        cursor = conn.connection.cursor()
        try:
            cursor.execute(self._text, parameters)
        except BaseException as error:
            raise self._told(conn, error) from error
        return cursor

    def put(self, conn: Connection, rows: Sequence[Parameters]) -> None:
        """Runs it for each of these, without an answer."""
        if len(rows) <= 1:
            for parameters in rows:
                self.execute(conn, parameters).close()
            return
        cursor = conn.connection.cursor()
        try:
            cursor.executemany(self._text, rows)
        except BaseException as error:
            raise self._told(conn, error) from error
        cursor.close()

    def rows(self, cursor: DBAPICursor) -> list[SimpleNamespace]:
        """What was found, with its names and our types."""
        if self._result is None:
            self._result = self._processors_for(cursor)
        return [self._row(found, self._result) for found in cursor.fetchall()]

    def _row(self, found: Sequence[Any], result: list[tuple[int, Processor]]) -> SimpleNamespace:
        row = SimpleNamespace()
        fields = row.__dict__
        fields.update(zip(self._columns, found, strict=True))
        for index, process in result:
            name = self._columns[index]
            fields[name] = process(fields[name])
        return row

    def _processors_for(self, cursor: DBAPICursor) -> list[tuple[int, Processor]]:
        kinds = [column[1] for column in cursor.description or ()]
        pairs = zip(self._types, kinds, strict=True)
        return _processors([each.result_processor(self._dialect, kind) for each, kind in pairs])

    def parameters(self, values: Values) -> tuple[Any, ...]:
        whole = {**self._fixed, **values} if self._fixed else values
        given = [whole[name] for name in self._order]
        for index, process in self._bind:
            given[index] = process(given[index])
        return tuple(given)

    def _told(self, conn: Connection, error: BaseException) -> BaseException:
        """The library's error; a connection that broke, or was left in the middle of its work, is not used again."""
        known = conn.dialect.loaded_dbapi.Error
        ours = isinstance(error, known)
        broken = not isinstance(error, Exception)
        if isinstance(error, known):
            broken = conn.dialect.is_disconnect(error, conn.connection.dbapi_connection, None)
        if broken:
            conn.invalidate(error)
        if not ours or not isinstance(error, Exception):
            return error
        return DBAPIError.instance(
            self._text, None, error, known, hide_parameters=True, connection_invalidated=broken, dialect=conn.dialect
        )


def _processors(found: list[Processor | None]) -> list[tuple[int, Processor]]:
    """Those that do something, by position."""
    return [(index, process) for index, process in enumerate(found) if process is not None]
