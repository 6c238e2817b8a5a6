"""What can be asked about text files.

Contract: `Text` is the face. Lines count from 1, ranges include their last line. A file keeps its encoding (UTF-8, UTF-8 with
a mark, UTF-16 with a mark; Latin-1 only when asked), its line ends, its mode, and a last line without an end. What is not
text is "not_text", never mangled. `etag`, from an earlier answer, makes a change of something else "precondition_failed".
Every change is whole or did not happen, and changes through this area happen one after the other. What is to be replaced and
is not there once is "text_not_found" or "text_not_unique"; "empty_old_string" and "identical_strings" ask for nothing; a patch
that does not fit is "patch_rejected", with file and hunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from stead.toolbox.contract import CALL_BYTES, Params, Result
from stead.toolbox.operations import Asking, Operation, by_name

TEXT_BYTES = 64 << 20
"""The largest file that is treated as text."""
READ_CHARACTERS = 1 << 19
"""The most text that one answer carries."""
READ_LINES = 10_000
"""The most lines that one answer carries."""
EDITS = 1000
"""The most edits of one call."""
PATCH_FILES = 200
"""The most files that one patch changes."""


class Encoding(StrEnum):
    """How text is written as bytes; those with a mark begin with one."""

    AUTO = "auto"
    UTF8 = "utf-8"
    UTF8_MARK = "utf-8-sig"
    UTF16_LE = "utf-16-le"
    UTF16_BE = "utf-16-be"
    LATIN1 = "latin-1"


class Newline(StrEnum):
    """How lines end; `none` when there is no end of a line."""

    LF = "lf"
    CRLF = "crlf"
    MIXED = "mixed"
    NONE = "none"


class ReadText(Params):
    """text.read: lines `first` to `last`, to the end when that is 0."""

    path: str
    first: int = 1
    last: int = 0
    encoding: Encoding = Encoding.AUTO


class WriteText(Params):
    """text.write: the whole file. What is there keeps its encoding and line ends unless others are named; lines of the
    content end with a line feed."""

    path: str
    content: str
    encoding: Encoding = Encoding.AUTO
    newline: Newline = Newline.NONE
    parents: bool = False
    exclusive: bool = False
    etag: str = ""


class Edit(Params):
    """One replacement: `old` must be there exactly once, or at least once with `every`."""

    old: str
    new: str
    every: bool = False


class EditText(Params):
    """text.edit: one after the other, each on what the one before made; all or none."""

    path: str
    edits: list[Edit]
    encoding: Encoding = Encoding.AUTO
    etag: str = ""


class InsertText(Params):
    """text.insert: whole lines before `line`; the number of lines and one more is the end."""

    path: str
    line: int
    content: str
    encoding: Encoding = Encoding.AUTO
    etag: str = ""


class PatchText(Params):
    """text.patch: a unified diff, also as git writes it. Its names have `strip` leading names removed and lie in `path`."""

    diff: str
    path: str = "."
    strip: int = 1
    encoding: Encoding = Encoding.AUTO
    check: bool = False
    """Only whether it would apply."""


class TextContent(Result, frozen=True):
    """Lines `first` to `last` of `total_lines`, with line feeds; `truncated` when more was asked than one answer carries."""

    path: str
    content: str
    first: int
    last: int
    total_lines: int
    size: int
    etag: str
    encoding: Encoding
    newline: Newline
    final_newline: bool = True
    truncated: bool = False


class TextWritten(Result, frozen=True):
    """A changed file; `replaced` counts the places that an edit changed."""

    path: str
    size: int
    etag: str
    encoding: Encoding
    newline: Newline
    lines_added: int
    lines_removed: int
    total_lines: int
    created: bool = False
    replaced: int = 0


class Change(StrEnum):
    """What a patch did to a file."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"


class Patched(Result, frozen=True):
    """One file of a patch. `offsets`: how many lines further down than it says each hunk was applied."""

    path: str
    change: Change
    lines_added: int
    lines_removed: int
    source: str = ""
    etag: str = ""
    offsets: list[int] = []


class PatchResult(Result, frozen=True):
    """Every file of a patch, in its order."""

    files: list[Patched]
    lines_added: int
    lines_removed: int


READ = Operation("text.read", ReadText, TextContent)
WRITE = Operation("text.write", WriteText, TextWritten)
EDIT = Operation("text.edit", EditText, TextWritten)
INSERT = Operation("text.insert", InsertText, TextWritten)
PATCH = Operation("text.patch", PatchText, PatchResult)

OPERATIONS = by_name((READ, WRITE, EDIT, INSERT, PATCH))

assert READ_CHARACTERS * 3 < CALL_BYTES * 2


class Text:
    """`toolbox.text`."""

    def __init__(self, toolbox: Asking) -> None:
        self._toolbox = toolbox

    async def read(
        self, path: str, first: int = 1, last: int = 0, *, encoding: Encoding | str = Encoding.AUTO
    ) -> TextContent:
        """Lines `first` to `last`, the last one included; to the end when it is 0."""
        params = ReadText(path=path, first=first, last=last, encoding=Encoding(encoding))
        return await self._toolbox.ask(READ, params)

    async def write(
        self,
        path: str,
        content: str,
        *,
        encoding: Encoding | str = Encoding.AUTO,
        newline: Newline | str = Newline.NONE,
        parents: bool = False,
        exclusive: bool = False,
        etag: str = "",
    ) -> TextWritten:
        """The whole file."""
        params = WriteText(
            path=path,
            content=content,
            encoding=Encoding(encoding),
            newline=Newline(newline),
            parents=parents,
            exclusive=exclusive,
            etag=etag,
        )
        return await self._toolbox.ask(WRITE, params)

    async def replace(
        self,
        path: str,
        old: str,
        new: str,
        *,
        every: bool = False,
        encoding: Encoding | str = Encoding.AUTO,
        etag: str = "",
    ) -> TextWritten:
        """Text that is there exactly once (or, with `every`, wherever it is) by other text."""
        return await self.edit(path, [Edit(old=old, new=new, every=every)], encoding=encoding, etag=etag)

    async def edit(
        self, path: str, edits: Sequence[Edit], *, encoding: Encoding | str = Encoding.AUTO, etag: str = ""
    ) -> TextWritten:
        """Several replacements, all or none."""
        params = EditText(path=path, edits=[*edits], encoding=Encoding(encoding), etag=etag)
        return await self._toolbox.ask(EDIT, params)

    async def insert(
        self, path: str, line: int, content: str, *, encoding: Encoding | str = Encoding.AUTO, etag: str = ""
    ) -> TextWritten:
        """Whole lines before the line."""
        params = InsertText(path=path, line=line, content=content, encoding=Encoding(encoding), etag=etag)
        return await self._toolbox.ask(INSERT, params)

    async def patch(
        self,
        diff: str,
        *,
        path: str = ".",
        strip: int = 1,
        encoding: Encoding | str = Encoding.AUTO,
        check: bool = False,
    ) -> PatchResult:
        """A unified diff: every file of it, or none."""
        params = PatchText(diff=diff, path=path, strip=strip, encoding=Encoding(encoding), check=check)
        return await self._toolbox.ask(PATCH, params)
