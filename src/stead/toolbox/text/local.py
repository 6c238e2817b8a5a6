"""Text files of this place: read, changed in memory, and put back whole.

Contract: `work(place)` is the area's work. One change at a time: a file is read, changed and replaced with nobody of this area
in between, and what others changed meanwhile is noticed right before it is replaced.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox import confine, etags
from stead.toolbox.confine import PATH_BYTES, QUIET
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.files import Files
from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.text import contract as t
from stead.toolbox.text import document, edits, patches
from stead.toolbox.text.changes import Changes, Version
from stead.toolbox.text.document import Document

_BLOCK = 1 << 20


def work(place: Place) -> Work:
    """What does each operation."""
    texts = Texts(place.files)
    turn = anyio.Lock()

    async def change(work: Callable[[Any], Any], p: object) -> Any:
        """One after the other, so that those who wait take no thread."""
        async with turn:
            return await place.in_thread(work, p)

    return {
        t.READ.name: lambda p: place.in_thread(texts.read, p),
        t.WRITE.name: lambda p: change(texts.write, p),
        t.EDIT.name: lambda p: change(texts.edit, p),
        t.INSERT.name: lambda p: change(texts.insert, p),
        t.PATCH.name: lambda p: change(texts.patch, p),
    }


class Texts:
    """The text files below one root."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._root = files.root
        self._lock = threading.Lock()

    def read(self, p: t.ReadText) -> t.TextContent:
        """A range of lines, as much as one answer carries."""
        if p.first < 1 or p.last < 0 or 0 < p.last < p.first:
            raise SteadError("invalid", "lines count from 1, and the last is not before the first", field="first")
        version = self.load(p.path)
        text, encoding = document.decode(version.data, p.encoding)
        total = document.count_lines(text)
        start = document.start_of(text, p.first)
        wanted = min(p.last or total, total)
        content, count, cut = _bounded(text, start, wanted - p.first + 1)
        return t.TextContent(
            path=self._root.relative(p.path),
            content=content.replace("\r\n", "\n"),
            first=p.first,
            last=p.first + count - 1,
            total_lines=total,
            size=len(version.data),
            etag=version.etag,
            encoding=encoding,
            newline=document.newline_of(text),
            final_newline=text.endswith("\n") or not text,
            truncated=cut,
        )

    def write(self, p: t.WriteText) -> t.TextWritten:
        """The whole file."""
        with self._lock:
            version = self._there(p.path)
            etags.check(p.etag, version.etag if version else "", confine.shown(p.path))
            old = Document("", p.encoding) if version is None else _previous(version.data, p.encoding)
            encoding = old.encoding if p.encoding is t.Encoding.AUTO else p.encoding
            text = _written(p, old.text, new=version is None)
            data = document.encode(text, encoding)
            if len(data) > CALL_BYTES:
                raise SteadError("too_large", f"one call writes at most {CALL_BYTES} bytes; upload what is more")
            self._put(p.path, data, version, parents=p.parents, exclusive=p.exclusive)
            return self._told(p.path, old.text, Document(text, encoding), created=version is None)

    def edit(self, p: t.EditText) -> t.TextWritten:
        """Each edit on what the one before made."""
        if not 1 <= len(p.edits) <= t.EDITS:
            raise SteadError("invalid", f"one call has 1 to {t.EDITS} edits", field="edits")
        with self._lock:
            version = self.load(p.path)
            etags.check(p.etag, version.etag, confine.shown(p.path))
            old = document.decode(version.data, p.encoding)
            text, replaced = old.text, 0
            for number, each in enumerate(p.edits):
                text, count = _edited(text, each, number, p.path)
                replaced += count
            return self._changed(p.path, version, old, text, replaced)

    def insert(self, p: t.InsertText) -> t.TextWritten:
        """Whole lines before a line."""
        with self._lock:
            version = self.load(p.path)
            etags.check(p.etag, version.etag, confine.shown(p.path))
            old = document.decode(version.data, p.encoding)
            return self._changed(p.path, version, old, edits.insert(old.text, p.line, p.content), 0)

    def patch(self, p: t.PatchText) -> t.PatchResult:
        """Every file of a diff."""
        if len(p.diff) > CALL_BYTES:
            raise SteadError("too_large", f"a diff has at most {CALL_BYTES} characters")
        if not 0 <= p.strip <= PATH_BYTES:
            raise SteadError("invalid", f"strip must be 0 to {PATH_BYTES}", field="strip")
        parts = patches.parse(p.diff, p.strip)
        with self._lock:
            changes = Changes(self._files, self._there, p.encoding)
            files = [changes.take(part, self._root.relative(p.path)) for part in parts]
            if not p.check:
                changes.commit()
                files = [each if each.change is t.Change.DELETED else self._marked(each) for each in files]
        return t.PatchResult(
            files=files,
            lines_added=sum(each.lines_added for each in files),
            lines_removed=sum(each.lines_removed for each in files),
        )

    def _marked(self, done: t.Patched) -> t.Patched:
        with contextlib.suppress(SteadError):
            return msgspec.structs.replace(done, etag=self._etag(done.path))
        return done

    def load(self, path: str) -> Version:
        """The bytes of a file."""
        descriptor = self._root.open(path, os.O_RDONLY | QUIET)
        try:
            with confine.errors(path):
                found = confine.regular(descriptor, path)
                if found.st_size > t.TEXT_BYTES:
                    raise SteadError("too_large", f"{found.st_size} bytes are not treated as text; read it as bytes")
                data = _read(descriptor, path)
                now = os.fstat(descriptor)
                return Version(data, etags.of(now), stat.S_IMODE(now.st_mode))
        finally:
            os.close(descriptor)

    def _there(self, path: str) -> Version | None:
        try:
            return self.load(path)
        except SteadError as error:
            if error.code != "not_found":
                raise
            return None

    def _changed(self, path: str, version: Version, old: Document, text: str, replaced: int) -> t.TextWritten:
        self._put(path, old.encode(text), version)
        return self._told(path, old.text, Document(text, old.encoding), replaced=replaced)

    def _put(
        self, path: str, data: bytes, version: Version | None, *, parents: bool = False, exclusive: bool = False
    ) -> None:
        with self._files.writer(path, parents=parents, exclusive=exclusive) as writer:
            writer.write(data)
            if version is not None:
                etags.check(version.etag, self._etag(path), confine.shown(path))
            writer.commit()

    def _etag(self, path: str) -> str:
        descriptor = self._root.open(path, os.O_RDONLY | QUIET)
        try:
            return etags.of(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _told(
        self, path: str, before: str, after: Document, *, created: bool = False, replaced: int = 0
    ) -> t.TextWritten:
        added, removed = document.line_changes(before, after.text)
        return t.TextWritten(
            path=self._root.relative(path),
            size=len(after.encode(after.text)),
            etag=self._etag(path),
            encoding=t.Encoding.UTF8 if after.encoding is t.Encoding.AUTO else after.encoding,
            newline=after.newline,
            lines_added=added,
            lines_removed=removed,
            total_lines=document.count_lines(after.text),
            created=created,
            replaced=replaced,
        )


def _read(descriptor: int, path: str) -> bytes:
    """To its end, also when that moves; not more than is treated as text."""
    parts: list[bytes] = []
    size = 0
    while piece := os.read(descriptor, _BLOCK):
        parts.append(piece)
        size += len(piece)
        if size > t.TEXT_BYTES:
            raise SteadError("too_large", f"{confine.shown(path)} grows while it is read")
    return b"".join(parts)


def _bounded(text: str, start: int, lines: int) -> tuple[str, int, bool]:
    """At most so many lines from there, as much as one answer carries; how many they are, and whether there were more."""
    if lines <= 0:
        return "", 0, False
    count = min(lines, t.READ_LINES)
    end = document.start_of(text, count + 1, start)
    limit = t.READ_CHARACTERS
    if end - start <= limit and len(msgspec.json.encode(text[start:end])) <= CALL_BYTES:
        return text[start:end], count, count < lines
    while len(msgspec.json.encode(text[start : start + limit])) > CALL_BYTES:
        limit //= 2
    cut = text.rfind("\n", start, start + limit) + 1
    if not cut:
        return text[start : start + limit], 1, True
    return text[start:cut], text.count("\n", start, cut), True


def _previous(data: bytes, encoding: t.Encoding) -> Document:
    """What is to be replaced; with an encoding named, whatever it is."""
    try:
        return document.decode(data)
    except SteadError:
        if encoding is t.Encoding.AUTO:
            raise
        return Document(data.decode("latin-1"), encoding)


def _written(p: t.WriteText, old: str, *, new: bool) -> str:
    """The content with the line ends that the file has or is to have."""
    if p.newline in {t.Newline.LF, t.Newline.CRLF}:
        return document.with_newlines(p.content, p.newline)
    if p.newline is t.Newline.MIXED or new or "\n" not in old:
        return p.content
    return document.with_newlines(p.content, document.main_newline(old))


def _edited(text: str, edit: t.Edit, number: int, path: str) -> tuple[str, int]:
    try:
        return edits.replace(text, edit)
    except SteadError as error:
        details = error.details | {"path": confine.shown(path), "edit": number}
        raise SteadError(error.code, f"{confine.shown(path)}: {error.message}", **details) from None
