"""The files that a server has been shown, in which version (no two have the same), and what it said of them.

Contract: `Documents.show(path, language, text)` opens a file or tells its new text, and gives its `Document`; the one not used
for longest is closed when there are too many. `forget` closes one. `published` takes what a server tells by itself. `load`
reads a file's text.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, Root, regular, shown
from stead.toolbox.language.contract import FILE_BYTES
from stead.toolbox.language.positions import Range, address, path_of
from stead.toolbox.text import document

OPEN = 64
"""Files that a server has open at once."""
MOST_PUBLISHED = 10_000
"""Diagnostics of one file that are kept."""


class Problem(msgspec.Struct, frozen=True):
    """A diagnostic as the protocol has it."""

    range: Range
    message: str
    severity: int | None = None
    code: int | str | None = None
    source: str | None = None


class _Published(msgspec.Struct):
    uri: str
    diagnostics: list[Problem]
    version: int | None = None


class Document:
    """One file that is open."""

    def __init__(self, uri: str, text: str, version: int) -> None:
        self.uri = uri
        self.text = text
        self.version = version
        self.problems: list[Problem] = []
        self.heard = asyncio.Event()


class Documents:
    """Those of one server; `tell` notifies it. `bare`: it wants addresses with few escapes."""

    def __init__(self, tell: Callable[[str, object], None], *, bare: bool = False) -> None:
        self._tell = tell
        self._bare = bare
        self._versions = itertools.count(1)
        self._told_version = False
        self._open: OrderedDict[str, Document] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def show(self, path: str, language: str, text: str, *, again: bool = False) -> Document:
        """The server knows this text from now on. `again`: it is to look anew also when nothing is different."""
        found = self._open.get(path)
        if found is None:
            return self._begin(path, language, text)
        self._open.move_to_end(path)
        if again or found.text != text:
            found.text, found.version, found.problems = text, next(self._versions), []
            found.heard.clear()
            named = {"uri": found.uri, "version": found.version}
            self._tell("textDocument/didChange", {"textDocument": named, "contentChanges": [{"text": text}]})
        return found

    def forget(self, path: str) -> None:
        """The server is to read it from the disk again."""
        found = self._open.pop(path, None)
        if found is not None:
            self._tell("textDocument/didClose", {"textDocument": {"uri": found.uri}})

    def published(self, params: msgspec.Raw) -> None:
        """What the server says of a file; of an older text it does not count. One that tells versions says without one
        only that a file was closed, perhaps after it was opened again."""
        try:
            said = msgspec.json.decode(params, type=_Published)
        except msgspec.DecodeError:
            return
        self._told_version = self._told_version or said.version is not None
        found = self._open.get(path_of(said.uri) or "")
        if found is not None and said.version == (found.version if self._told_version else None):
            found.problems = said.diagnostics[:MOST_PUBLISHED]
            found.heard.set()

    def _begin(self, path: str, language: str, text: str) -> Document:
        while len(self._open) >= OPEN:
            self.forget(next(iter(self._open)))
        self._open[path] = begun = Document(address(path, bare=self._bare), text, next(self._versions))
        shown = {"uri": begun.uri, "languageId": language, "version": begun.version, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": shown})
        return begun


def load(root: Root, path: str) -> str:
    """A file's text, or why it cannot be shown to a server."""
    descriptor = root.open(path, os.O_RDONLY | QUIET)
    try:
        regular(descriptor, path)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > FILE_BYTES:
        raise SteadError("too_large", f"{shown(path)}: a language server is shown files of at most {FILE_BYTES} bytes")
    return document.decode(data).text
