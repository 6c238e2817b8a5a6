"""Changes that wait to be told: what several changes of one thing are together.

Contract: `created`, `modified`, `deleted` and `renamed` are called as things happen; `take` gives what remains, in order, and
begins anew: who does one after the other what is told has what is there. Nothing is put together over a directory that was
renamed or removed meanwhile. With more than `MOST` at once only an overflow remains.
"""

from __future__ import annotations

from stead.toolbox.watch.contract import Change, ChangeKind

MOST = 50_000
"""The most changes of one time."""

_KINDS = ChangeKind
_STILL_NEW = frozenset({ChangeKind.CREATED})


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
        if last is None or last.kind is _KINDS.RENAMED:
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
        if last is not None and last.kind is _KINDS.CREATED:
            self._drop(last)
            return
        if last is not None and last.kind is _KINDS.MODIFIED and not directory:
            last.kind = _KINDS.DELETED
            return
        if directory:
            self._last.clear()
        if last is None or last.kind is not _KINDS.DELETED:
            self._add(Record(_KINDS.DELETED, path, directory))

    def renamed(self, previous: str, path: str, *, directory: bool, over: bool) -> None:
        """`over`: there was a file at the new path."""
        last = self._last.pop(previous, None)
        new = last is not None and last.kind is _KINDS.CREATED
        inside = self._inside(previous) if directory and new else []
        if last is None or not new or any(record.kind not in _STILL_NEW for record in inside):
            if directory:
                self._last.clear()
            self._add(Record(_KINDS.RENAMED, path, directory, previous))
            return
        last.kind = None
        if over:
            self.modified(path, directory=False)
            return
        self.created(path, directory=directory)
        for record in inside:
            self._drop(record)
            self._add(Record(_KINDS.CREATED, path + record.path[len(previous) :], record.directory))

    def forget_below(self, path: str) -> None:
        """What happened in a directory that is no longer here; what was moved into it is gone too. Where something was moved
        out of it, all of that is needed to know what came out."""
        inside = path + "/"
        out = any(each.previous.startswith(inside) and not each.path.startswith(inside) for each in self._records)
        for record in () if out else self._inside(path):
            if record.kind is _KINDS.RENAMED:
                record.kind, record.path, record.previous = _KINDS.DELETED, record.previous, ""
            else:
                self._drop(record)
        self._last.clear()

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

    def _inside(self, path: str) -> list[Record]:
        inside = path + "/"
        return [record for record in self._records if record.kind is not None and record.path.startswith(inside)]
