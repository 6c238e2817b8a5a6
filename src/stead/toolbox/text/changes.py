"""What a patch makes of many files, before anything is written.

Contract: `take(part, base)` applies one part to what the parts before it made. `commit()` writes all of it: every content is
on the disk before the first is put in place, and when one cannot be put in place those before it get their old content back.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox import etags
from stead.toolbox.files import Files, Writer
from stead.toolbox.text import document, patches
from stead.toolbox.text.contract import Change, Encoding, Patched
from stead.toolbox.text.document import Document
from stead.toolbox.text.patches import Part


class Version(NamedTuple):
    """A file as it was read."""

    data: bytes
    etag: str
    mode: int


class _File:
    """One path: what was there, and what is to be there."""

    def __init__(self, version: Version | None, encoding: Encoding) -> None:
        self.version = version
        self.mode: int | None = None
        self.document = None if version is None else document.decode(version.data, encoding)

    @property
    def data(self) -> bytes | None:
        return None if self.document is None else self.document.encode(self.document.text)


class Changes:
    """The files that one patch touches."""

    def __init__(self, files: Files, there: Callable[[str], Version | None], encoding: Encoding) -> None:
        self._files = files
        self._there = there
        self._encoding = encoding
        self._paths: dict[str, _File] = {}

    def take(self, part: Part, base: str) -> Patched:
        """Applies one part; nothing is written yet."""
        source, target = (posixpath.normpath(posixpath.join(base, name)) for name in (part.source, part.target))
        if part.change is Change.MODIFIED:
            source = target = self._meant(source, target)
        part = part._replace(source=source, target=target)
        if part.change is Change.CREATED:
            return self._create(part)
        old = self._file(source)
        if old.document is None:
            raise SteadError("not_found", f"{source}: there is no such file to patch", path=source)
        text, offsets = patches.apply(old.document.text, part)
        if part.change is Change.DELETED:
            return self._delete(part, old, text)
        before = old.document
        if source != target:
            old = self._moved(part, old)
        old.document = before._replace(text=text)
        old.mode = part.mode if part.mode is not None else old.mode
        added, removed = document.line_changes(before.text, text)
        moved = source if source != target else ""
        return Patched(
            path=target,
            change=part.change,
            lines_added=added,
            lines_removed=removed,
            source=moved,
            offsets=offsets if any(offsets) else [],
        )

    def commit(self) -> None:
        """All of it."""
        done: list[tuple[str, _File]] = []
        with ExitStack() as stack:
            writers = [
                (path, file, stack.enter_context(self._written(path, file, data)))
                for path, file in self._paths.items()
                if (data := file.data) is not None and self._changes(file)
            ]
            gone = [(path, file) for path, file in self._paths.items() if file.document is None and file.version]
            try:
                for path, file, writer in writers:
                    self._check(path, file)
                    writer.commit()
                    done.append((path, file))
                for path, file in gone:
                    self._check(path, file)
                    self._files.delete(path)
                    done.append((path, file))
            except SteadError:
                stack.close()
                self._undo(done)
                raise

    def _file(self, path: str) -> _File:
        if path not in self._paths:
            self._paths[path] = _File(self._there(path), self._encoding)
        return self._paths[path]

    def _meant(self, *paths: str) -> str:
        """Where a diff has two names and no rename: of what is there the plainer one, as `f` beside `f.orig`."""
        names = sorted(set(paths), key=lambda path: (path.count("/"), len(posixpath.basename(path)), len(path)))
        there = (name for name in names if self._file(name).document is not None)
        return next(there, names[0]) if len(names) > 1 else names[0]

    def _create(self, part: Part) -> Patched:
        file = self._file(part.target)
        if file.document is not None:
            raise SteadError("already_exists", f"{part.target}: the patch would create it", path=part.target)
        text, _ = patches.apply("", part)
        encoding = Encoding.UTF8 if self._encoding is Encoding.AUTO else self._encoding
        file.document = Document(text, encoding)
        file.mode = part.mode
        lines = document.count_lines(text)
        return Patched(path=part.target, change=part.change, lines_added=lines, lines_removed=0)

    def _delete(self, part: Part, old: _File, rest: str) -> Patched:
        assert old.document is not None
        if rest:
            raise SteadError(
                "patch_rejected", f"{part.source}: something would be left of the file", path=part.source, hunk=0
            )
        lines = document.count_lines(old.document.text)
        old.document = None
        return Patched(path=part.source, change=part.change, lines_added=0, lines_removed=lines)

    def _moved(self, part: Part, old: _File) -> _File:
        """The file at the new name; at a rename, the old one is to go."""
        new = self._file(part.target)
        if new.document is not None:
            raise SteadError("already_exists", f"{part.target}: the patch would create it", path=part.target)
        new.mode = old.mode if old.mode is not None else old.version and old.version.mode
        if part.change is not Change.COPIED:
            old.document = None
        return new

    def _changes(self, file: _File) -> bool:
        if file.version is None:
            return True
        return file.data != file.version.data or file.mode not in {None, file.version.mode}

    def _written(self, path: str, file: _File, data: bytes) -> Writer:
        new = file.version is None
        writer = self._files.writer(path, mode=file.mode, parents=new, exclusive=new)
        try:
            writer.write(data)
        except SteadError:
            writer.close()
            raise
        return writer

    def _check(self, path: str, file: _File) -> None:
        if file.version is not None:
            now = self._there(path)
            etags.check(file.version.etag, now.etag if now else "", path)

    def _undo(self, done: list[tuple[str, _File]]) -> None:
        for path, file in reversed(done):
            with contextlib.suppress(SteadError):
                if file.version is None:
                    self._files.delete(path)
                else:
                    mode = None if file.mode is None else file.version.mode
                    with self._files.writer(path, mode=mode) as writer:
                        writer.write(file.version.data)
                        writer.commit()
