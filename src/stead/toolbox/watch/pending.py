"""Changes that wait to be told: what several changes of one thing are together.

Contract: `created`, `modified`, `deleted` and `renamed` are called as things happen; `take` gives what remains, in order, and
begins anew. With more than `MOST` at once only an overflow remains.
"""

from __future__ import annotations

from stead.toolbox.watch.contract import Change, ChangeKind

MOST = 50_000
"""The most changes of one time."""

_KINDS = ChangeKind


class Record:
    """One change that may still become another."""

    __slots__ = ("directory", "kind", "path", "previous")

    def __init__(self, kind: ChangeKind, path: str, directory: bool, previous: str = "") -> None:
        self.kind: ChangeKind | None = kind
        self.path = path
        self.directory = directory
        self.previous = previous


class Pending:
    """The changes since the last `take`."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._last: dict[str, Record] = {}
        self._lost = False

    def __bool__(self) -> bool:
        return bool(self._records) or self._lost

    def created(self, path: str, *, directory: bool) -> None:
        last = self._last.get(path)
        if last is None or last.kind in {None, _KINDS.RENAMED}:
            self._add(Record(_KINDS.CREATED, path, directory))
        elif last.kind is _KINDS.DELETED:
            if directory or last.directory:
                self._add(Record(_KINDS.CREATED, path, directory))
            else:
                last.kind = _KINDS.MODIFIED

    def modified(self, path: str, *, directory: bool) -> None:
        last = self._last.get(path)
        if last is None or last.kind not in {_KINDS.CREATED, _KINDS.MODIFIED}:
            self._add(Record(_KINDS.MODIFIED, path, directory))

    def deleted(self, path: str, *, directory: bool) -> None:
        last = self._last.get(path)
        if last is None or last.kind in {None, _KINDS.DELETED}:
            self._add(Record(_KINDS.DELETED, path, directory))
        elif last.kind is _KINDS.CREATED:
            self._drop(last)
        elif last.kind is _KINDS.RENAMED:
            del self._last[path]
            last.kind, last.path, last.previous = _KINDS.DELETED, last.previous, ""
            self._last[last.path] = last
        else:
            last.kind = _KINDS.DELETED

    def renamed(self, previous: str, path: str, *, directory: bool, over: bool) -> None:
        """`over`: there was a file at the new path."""
        last = self._last.get(previous)
        if last is not None and last.kind is _KINDS.CREATED:
            self._move_new(last, path, over=over)
        elif last is not None and last.kind is _KINDS.RENAMED:
            del self._last[previous]
            if last.previous == path:
                last.kind = _KINDS.MODIFIED if not directory else None
            last.path = path
            self._last[path] = last
        else:
            self._add(Record(_KINDS.RENAMED, path, directory, previous))

    def forget_below(self, path: str) -> None:
        """What happened in a directory that is no longer here."""
        inside = path + "/"
        for record in self._records:
            if record.path.startswith(inside):
                self._drop(record)

    def overflow(self) -> None:
        """Something was lost."""
        self._records.clear()
        self._last.clear()
        self._lost = True

    def take(self) -> list[Change]:
        """What is to be told, in order."""
        found = [Change(kind=_KINDS.OVERFLOW, path=".", directory=True)] if self._lost else []
        found += [
            Change(kind=record.kind, path=record.path, directory=record.directory, previous=record.previous)
            for record in self._records
            if record.kind is not None
        ]
        self._records.clear()
        self._last.clear()
        self._lost = False
        return found

    def _add(self, record: Record) -> None:
        if len(self._records) >= MOST:
            self.overflow()
        if not self._lost:
            self._records.append(record)
            self._last[record.path] = record

    def _drop(self, record: Record) -> None:
        record.kind = None
        if self._last.get(record.path) is record:
            del self._last[record.path]

    def _move_new(self, record: Record, path: str, *, over: bool) -> None:
        """What is new was never told under its first name, nor what is in it."""
        previous = record.path
        del self._last[previous]
        if over:
            record.kind = None
            self.modified(path, directory=False)
            return
        last = self._last.get(path)
        if last is not None and last.kind is _KINDS.CREATED:
            record.kind = None
            return
        record.path = path
        self._last[path] = record
        if record.directory:
            inside = previous + "/"
            for other in self._records:
                if other.path.startswith(inside):
                    if self._last.get(other.path) is other:
                        del self._last[other.path]
                    other.path = f"{path}/{other.path[len(inside) :]}"
                    self._last[other.path] = other
