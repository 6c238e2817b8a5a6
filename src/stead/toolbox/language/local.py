"""Language servers of this place: a question finds the server of its file's project, and its answer becomes one of ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.language import contract as t
from stead.toolbox.language import servers
from stead.toolbox.language.documents import Document, Problem, load
from stead.toolbox.language.pool import pool
from stead.toolbox.language.positions import Lines, Range, path_of
from stead.toolbox.language.running import Running, read
from stead.toolbox.operations import Work
from stead.toolbox.place import Place

T = TypeVar("T")

READ_BYTES = 32 << 20
"""Of the files in which one answer's places are."""
_SEVERITIES = {1: t.Severity.ERROR, 2: t.Severity.WARNING, 3: t.Severity.INFORMATION, 4: t.Severity.HINT}


class _Found(msgspec.Struct, rename="camel"):
    """A Location or a LocationLink."""

    uri: str = ""
    range: Range | None = None
    target_uri: str = ""
    target_selection_range: Range | None = None


class _Marked(msgspec.Struct):
    value: str
    kind: str = ""
    language: str = ""


class _Hovered(msgspec.Struct):
    contents: str | _Marked | list[str | _Marked]


class _Asked(NamedTuple):
    server: Running
    document: Document
    lines: Lines


def work(place: Place) -> Work:
    """What does each operation."""
    language = LocalLanguage(place)
    return {
        t.DIAGNOSTICS.name: language.diagnostics,
        t.DEFINITION.name: language.definition,
        t.REFERENCES.name: language.references,
        t.HOVER.name: language.hover,
        t.STATUS.name: language.status,
        t.STOP.name: language.stop,
    }


class LocalLanguage:
    """Questions about the code of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._root = place.root

    async def diagnostics(self, asked: t.Diagnose) -> t.Diagnostics:
        async with self._asking(asked.path, asked.text, checks=True) as (server, document, lines):
            problems = await server.problems(document)
            path = self._root.relative(asked.path)
            found, cut = _bounded(_diagnostic(path, each, lines) for each in problems)
            ordered = sorted(found, key=lambda each: (each.line, each.column))
            return t.Diagnostics(diagnostics=ordered, server=server.name, truncated=cut)

    async def definition(self, asked: t.AtPosition) -> t.CodePlaces:
        async with self._asking(asked.path) as on:
            return await self._places(on, "textDocument/definition", asked.line, asked.column, {})

    async def references(self, asked: t.FindReferences) -> t.CodePlaces:
        async with self._asking(asked.path) as on:
            context = {"context": {"includeDeclaration": asked.include_declaration}}
            return await self._places(on, "textDocument/references", asked.line, asked.column, context)

    async def hover(self, asked: t.AtPosition) -> t.Hover:
        async with self._asking(asked.path) as (server, document, lines):
            at = lines.theirs(asked.line, asked.column)
            params = {"textDocument": {"uri": document.uri}, "position": at}
            said = read(await server.ask("textDocument/hover", params), _Hovered | None)
            text, markdown = ("", False) if said is None else _shown(said.contents)
            cut = len(text) > t.HOVER_CHARACTERS
            return t.Hover(text=text[: t.HOVER_CHARACTERS], markdown=markdown, server=server.name, truncated=cut)

    async def status(self, asked: t.Nothing) -> t.LanguageServers:
        return t.LanguageServers(await pool(self._place).status())

    async def stop(self, asked: t.Nothing) -> t.StoppedServers:
        return t.StoppedServers(await pool(self._place).stop())

    @contextlib.asynccontextmanager
    async def _asking(self, path: str, text: str | None = None, *, checks: bool = False) -> AsyncIterator[_Asked]:
        """A server that knows the file, while the caller asks it."""
        language, named = servers.language_of(path)
        given = await self._place.in_thread(self._text, path, text)
        project = await self._place.in_thread(self._project, path, language)
        program = await self._place.in_thread(servers.find, self._place, project, language, everything=not checks)
        async with pool(self._place).serving(program, project) as server:
            if text is None:
                given = await self._place.in_thread(load, self._root, path)
            absolute = f"{self._root.path.rstrip('/')}/{self._root.relative(path)}"
            document = server.documents.show(absolute, named, given, again=checks and server.tells)
            try:
                yield _Asked(server, document, Lines(given, wide=server.wide))
            finally:
                if text is not None and not server.over:
                    server.documents.forget(absolute)

    def _text(self, path: str, text: str | None) -> str:
        """Where the text is given, the file need not be there yet, but its path leads nowhere else."""
        if text is None:
            return load(self._root, path)
        if len(text.encode()) > t.FILE_BYTES:
            raise SteadError("too_large", f"a language server is shown at most {t.FILE_BYTES} bytes", field="text")
        try:
            self._root.locate(path, follow=True, write=False).close()
        except SteadError as error:
            if error.code != "not_found":
                raise
        return text

    def _project(self, path: str, language: servers.Language) -> str:
        return servers.project_of(self._root, self._root.relative(path), language)

    async def _places(
        self, on: _Asked, method: str, line: int, column: int, more: Mapping[str, object]
    ) -> t.CodePlaces:
        params = {"textDocument": {"uri": on.document.uri}, "position": on.lines.theirs(line, column)}
        answer = read(await on.server.ask(method, params | dict(more)), _Found | list[_Found] | None)
        found = [] if answer is None else answer if isinstance(answer, list) else [answer]
        places, cut = await self._place.in_thread(self._located, found, on)
        return t.CodePlaces(places=places, server=on.server.name, truncated=cut)

    def _located(self, found: list[_Found], on: _Asked) -> tuple[list[t.CodePlace], bool]:
        files = _Files(self._place, on)
        return _bounded(
            files.place(each.uri or each.target_uri, each.range or each.target_selection_range) for each in found
        )


class _Files:
    """The files in which the places of one answer are, each read once."""

    def __init__(self, place: Place, on: _Asked) -> None:
        self._root = place.root
        self._wide = on.server.wide
        self._lines: dict[str, Lines | None] = {self._root.relative(path_of(on.document.uri) or "."): on.lines}
        self._left = READ_BYTES

    def place(self, uri: str, range: Range | None) -> t.CodePlace:
        if range is None:
            raise SteadError("lsp_failed", "the language server answered a place without a range")
        inside = self._inside(uri)
        lines = self._of(inside) if inside is not None else None
        start = lines.ours(range.start) if lines else (range.start.line + 1, range.start.character + 1)
        end = lines.ours(range.end) if lines else (range.end.line + 1, range.end.character + 1)
        return t.CodePlace(
            path=inside if inside is not None else (path_of(uri) or uri[:4096]),
            line=start[0],
            column=start[1],
            end_line=end[0],
            end_column=end[1],
            text=lines.text(start[0])[: t.TEXT_CHARACTERS] if lines else "",
            outside=inside is None,
        )

    def _inside(self, uri: str) -> str | None:
        """Relative to the workspace; None when it is somewhere else."""
        path = path_of(uri)
        if path is None:
            return None
        try:
            return self._root.relative(os.path.normpath(path))
        except SteadError:
            return None

    def _of(self, path: str) -> Lines | None:
        """None for what cannot be read, or is too much."""
        if path not in self._lines:
            self._lines[path] = None
            if self._left > 0:
                with contextlib.suppress(SteadError):
                    text = load(self._root, path)
                    self._left -= len(text)
                    self._lines[path] = Lines(text, wide=self._wide)
        return self._lines[path]


def _diagnostic(path: str, problem: Problem, lines: Lines) -> t.Diagnostic:
    line, column = lines.ours(problem.range.start)
    end_line, end_column = lines.ours(problem.range.end)
    return t.Diagnostic(
        path=path,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        severity=_SEVERITIES.get(problem.severity or 1, t.Severity.ERROR),
        message=problem.message[: t.MESSAGE_CHARACTERS],
        code="" if problem.code is None else str(problem.code)[:200],
        source=(problem.source or "")[:200],
    )


def _bounded(items: Iterable[T]) -> tuple[list[T], bool]:
    """As many as one answer carries, and whether there were more."""
    kept: list[T] = []
    size = 0
    for item in items:
        size += len(msgspec.json.encode(item)) + 1
        if len(kept) == t.RESULTS or size > CALL_BYTES:
            return kept, True
        kept.append(item)
    return kept, False


def _shown(contents: str | _Marked | list[str | _Marked]) -> tuple[str, bool]:
    """The text, and whether it is Markdown; marked strings are."""
    if isinstance(contents, _Marked) and contents.kind:
        return contents.value, contents.kind == "markdown"
    parts = contents if isinstance(contents, list) else [contents]
    return "\n\n".join(_marked(part) for part in parts), True


def _marked(part: str | _Marked) -> str:
    if isinstance(part, str):
        return part
    return f"```{part.language}\n{part.value}\n```" if part.language else part.value
