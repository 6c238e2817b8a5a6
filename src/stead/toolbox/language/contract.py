"""What can be asked about code, answered by a language server of the workspace.

Lines and columns count from 1, columns in characters; an end is after the last character. A server is started when it is
first wanted, one for each project (the nearest directory with `pyproject.toml`, `tsconfig.json`, `package.json`, `.git`, ...),
and ends when nobody has asked it for a while. It is told what changed on disk before each question. None is there:
"lsp_not_found" says what to install. It crashed, or answers nonsense: "lsp_failed"; the next question starts it anew, a few
times. A server runs the project's code and configuration, so asking needs the right to execute. No such line or column is
"invalid", a file of more than `FILE_BYTES` "too_large", one that is no text "not_text".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from stead.toolbox.contract import Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

SECONDS = 100.0
"""A question with the start of a server, at most."""
RESULTS = 1000
"""The most places or diagnostics of one answer."""
FILE_BYTES = 2 << 20
"""The largest file that a server is shown."""
TEXT_CHARACTERS = 300
"""Of a place's line."""
MESSAGE_CHARACTERS = 4000
"""Of a diagnostic."""
HOVER_CHARACTERS = 1 << 16


Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and how many; a workspace may bring its own as JSON in the variable `STEAD_LANGUAGE` of its environment."""

    idle_seconds: Seconds = 300.0
    """A server that nobody asked for so long is ended."""
    servers: Count = 4
    """At once; the one not used for longest makes room."""
    start_seconds: Seconds = 45.0
    answer_seconds: Seconds = 40.0
    crashes: Count = 5
    """So many within `crash_seconds`, and it is not started again until one of them is longer ago."""
    crash_seconds: Seconds = 600.0


VARIABLE = "STEAD_LANGUAGE"


class Diagnose(Params):
    """language.diagnostics; with `text`, as if the file had this content."""

    path: str
    text: str | None = None


class AtPosition(Params):
    """language.definition, language.hover."""

    path: str
    line: int
    column: int


class FindReferences(Params):
    """language.references."""

    path: str
    line: int
    column: int
    include_declaration: bool = True


class Nothing(Params):
    """No params: language.status, language.stop."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"
    HINT = "hint"


class Diagnostic(Result, frozen=True):
    """What a server finds wrong, and where."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    severity: Severity
    message: str
    code: str = ""
    source: str = ""


class Diagnostics(Result, frozen=True):
    """Of one file, in order."""

    diagnostics: list[Diagnostic]
    server: str
    truncated: bool = False


class CodePlace(Result, frozen=True):
    """A place in a file, with its line. `outside`: the file is not in the workspace, its path is absolute (or an address of the
    server's own), its line is not read, and its columns are as the server counts them."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str = ""
    outside: bool = False


class CodePlaces(Result, frozen=True):
    """As the server orders them."""

    places: list[CodePlace]
    server: str
    truncated: bool = False


class Hover(Result, frozen=True):
    """What is known about what is there; empty when nothing is."""

    text: str
    markdown: bool
    server: str
    truncated: bool = False


class LanguageServer(Result, frozen=True):
    """One that runs. `memory` in bytes, with its children; `restarts` after crashes; `idle` seconds since it was last asked."""

    name: str
    root: str
    pid: int
    memory: int
    documents: int
    restarts: int
    idle: float


class LanguageServers(Result, frozen=True):
    """Those of a workspace, the last used first."""

    servers: list[LanguageServer]


class StoppedServers(Result, frozen=True):
    """How many ran."""

    stopped: int


DIAGNOSTICS = Operation("language.diagnostics", Diagnose, Diagnostics, seconds=SECONDS)
DEFINITION = Operation("language.definition", AtPosition, CodePlaces, seconds=SECONDS)
REFERENCES = Operation("language.references", FindReferences, CodePlaces, seconds=SECONDS)
HOVER = Operation("language.hover", AtPosition, Hover, seconds=SECONDS)
STATUS = Operation("language.status", Nothing, LanguageServers)
STOP = Operation("language.stop", Nothing, StoppedServers)

OPERATIONS = by_name((DIAGNOSTICS, DEFINITION, REFERENCES, HOVER, STATUS, STOP))


class Language:
    """Language servers of one toolbox."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    async def diagnostics(self, path: str, text: str | None = None) -> Diagnostics:
        """What is wrong in a file, or would be if it had this text."""
        return await self._toolbox.ask(DIAGNOSTICS, Diagnose(path=path, text=text))

    async def definition(self, path: str, line: int, column: int) -> CodePlaces:
        """Where what is there is defined."""
        return await self._toolbox.ask(DEFINITION, AtPosition(path=path, line=line, column=column))

    async def references(self, path: str, line: int, column: int, *, include_declaration: bool = True) -> CodePlaces:
        """Where what is there is used."""
        asked = FindReferences(path=path, line=line, column=column, include_declaration=include_declaration)
        return await self._toolbox.ask(REFERENCES, asked)

    async def hover(self, path: str, line: int, column: int) -> Hover:
        """What an editor would show there: its type, signature, documentation."""
        return await self._toolbox.ask(HOVER, AtPosition(path=path, line=line, column=column))

    async def status(self) -> LanguageServers:
        """Which servers run."""
        return await self._toolbox.ask(STATUS, Nothing())

    async def stop(self) -> StoppedServers:
        """Ends them all; the next question starts what it needs."""
        return await self._toolbox.ask(STOP, Nothing())
