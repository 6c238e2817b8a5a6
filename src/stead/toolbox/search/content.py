"""Content search: ripgrep's findings as they come, put in order, ended as soon as there are enough.

Contract: `ContentSearch.find`. Matches are those found first, sorted by path; without `truncated` they are all. An
expression or glob that ripgrep refuses is "invalid" with its words.
"""

from __future__ import annotations

import base64
from asyncio import StreamReader
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox.place import Place
from stead.toolbox.search import contract as c
from stead.toolbox.search import ripgrep

LINE_BYTES = 8 << 20
"""A finding with more than this is told, not shown."""
_PIECE = 1 << 17
_CASES = {"sensitive": "--case-sensitive", "insensitive": "--ignore-case", "smart": "--smart-case"}


class ContentSearch:
    """search.content at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def find(self, asked: c.FindContent) -> c.Content:
        _check(asked)
        gathered = Gathered(asked, ripgrep.checked(asked))
        async with ripgrep.started(self._place, _options(asked), asked) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            async with ripgrep.complaints(process.stderr) as complaints:
                await _gather(process.stdout, gathered)
                if not gathered.full:
                    _judge(gathered, await process.wait(), await complaints)
        return gathered.answer()


class Gathered:
    """What was found so far."""

    def __init__(self, asked: c.FindContent, wanted: Callable[[str], bool]) -> None:
        self.full = False
        self.complete = False
        self.problems: list[str] = []
        self._asked = asked
        self._wanted = wanted
        self._more = False
        self._files: list[File] = []
        self._file: File | None = None
        self._left = asked.limit
        self._bytes = c.ANSWER_BYTES

    def take(self, line: bytes) -> None:
        """One line of ripgrep."""
        message = _DECODER.decode(line)
        data = message.data
        if message.type == "begin":
            path = ripgrep.within(_raw(data.path))
            self._file = File(path, self._asked) if self._wanted(path) else None
        elif message.type == "summary":
            self.complete = True
        elif self._file is not None:
            if message.type == "match":
                self._match(self._file, data)
            elif message.type == "context":
                self._spend(self._file.context(data))
            elif self._file.matches:
                self._files.append(self._file)
                self._file = None
            if self._more and (self._file is None or not self._file.awaits(data)):
                self._stop()

    def too_long(self) -> None:
        """A finding was longer than can be shown."""
        if self._file is not None and len(self.problems) < c.PROBLEMS:
            self.problems.append(f"{self._file.path}: a line that is too long has a match")

    def _match(self, file: File, data: _Data) -> None:
        """One beyond a limit is still a line after those before it."""
        file.cut = file.cut or 0 < self._asked.per_file <= len(file.matches)
        self._more = self._more or (not file.cut and self._left == 0)
        if file.cut or self._more:
            self._spend(file.context(data))
        else:
            self._left -= 1
            self._spend(file.match(data))

    def _spend(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            self._stop()

    def _stop(self) -> None:
        if self.full:
            return
        self.full = True
        if self._file is not None and self._file.matches:
            self._files.append(self._file)

    def answer(self) -> c.Content:
        files = sorted(self._files, key=lambda file: file.path)
        cut = [file.path for file in files if file.cut]
        return c.Content(
            matches=[match for file in files for match in file.matches],
            files=len(files),
            truncated=self.full or self._more or bool(cut),
            cut=cut,
            problems=self.problems,
        )


class File:
    """The findings in one file; lines around a match are kept with it, whether they match themselves or not."""

    def __init__(self, path: str, asked: c.FindContent) -> None:
        self.path = path
        self.matches: list[c.Match] = []
        self.cut = False
        self._asked = asked
        self._recent: deque[c.Line] = deque(maxlen=asked.before)

    def match(self, data: _Data) -> int:
        """Adds it; how much it takes of the answer."""
        raw = _raw(data.lines)
        text = _ended(raw.decode(errors="replace"))
        spans = _spans(raw, data.submatches, ascii=text.isascii())
        skipped = _skipped(spans, self._asked.characters)
        shown = text[skipped : skipped + self._asked.characters]
        number = data.line_number or 0
        found = c.Match(
            path=self.path,
            line=number,
            text=shown,
            spans=spans,
            offset=data.absolute_offset,
            lines=text.count("\n") + 1,
            skipped=skipped,
            clipped=skipped + len(shown) < len(text),
            before=[line for line in self._recent if line.line >= number - self._asked.before],
            after=[],
        )
        size = self.context(data)
        self.matches.append(found)
        return size + len(msgspec.json.encode(found))

    def context(self, data: _Data) -> int:
        """A line, or the lines of a match, as what is around other matches."""
        if not self._asked.before and not self._asked.after:
            return 0
        taken = 0
        for number, text in enumerate(
            _ended(_raw(data.lines).decode(errors="replace")).split("\n"), data.line_number or 0
        ):
            shown = text.removesuffix("\r")[: self._asked.characters]
            line = c.Line(line=number, text=shown, clipped=len(shown) < len(text.removesuffix("\r")))
            self._recent.append(line)
            taken += self._after(line)
        return taken

    def awaits(self, data: _Data) -> bool:
        """Whether more lines after this one belong to what was found."""
        if not self.matches:
            return False
        last = self.matches[-1]
        return (data.line_number or 0) < last.line + last.lines - 1 + self._asked.after

    def _after(self, line: c.Line) -> int:
        """Gives it to the matches that it follows."""
        taken = 0
        for match in reversed(self.matches):
            if line.line - (match.line + match.lines - 1) > self._asked.after:
                break
            match.after.append(line)
            taken += len(msgspec.json.encode(line))
        return taken


class _Text(msgspec.Struct):
    text: str | None = None
    bytes: str = ""


class _Place(msgspec.Struct):
    start: int
    end: int


class _Data(msgspec.Struct):
    path: _Text | None = None
    lines: _Text | None = None
    line_number: int | None = None
    absolute_offset: int = 0
    submatches: list[_Place] = []


class _Message(msgspec.Struct):
    type: str
    data: _Data


_DECODER = msgspec.json.Decoder(_Message)


def _raw(text: _Text | None) -> bytes:
    if text is None:
        return b""
    return base64.b64decode(text.bytes) if text.text is None else text.text.encode()


def _ended(text: str) -> str:
    """Without the end of its last line."""
    return text.removesuffix("\n").removesuffix("\r")


def _spans(raw: bytes, places: list[_Place], *, ascii: bool) -> list[c.Span]:
    return [
        c.Span(
            start=place.start,
            end=place.end,
            column=1 + (place.start if ascii else len(raw[: place.start].decode(errors="replace"))),
            end_column=1 + (place.end if ascii else len(raw[: place.end].decode(errors="replace"))),
        )
        for place in places[: c.SPANS]
    ]


def _skipped(spans: list[c.Span], characters: int) -> int:
    """How much of a long line is left out, so that the first place is shown."""
    if not spans or spans[0].end_column - 1 <= characters:
        return 0
    return max(0, spans[0].column - 1 - characters // 4)


def _check(asked: c.FindContent) -> None:
    if not asked.query or "\0" in asked.query or len(asked.query) > c.QUERY_CHARACTERS:
        raise SteadError("invalid", f"a query has 1 to {c.QUERY_CHARACTERS} characters and no NUL", field="query")
    ranges = {
        "before": (asked.before, 0, c.CONTEXT),
        "after": (asked.after, 0, c.CONTEXT),
        "limit": (asked.limit, 1, c.MOST),
        "per_file": (asked.per_file, 0, c.MOST),
        "characters": (asked.characters, 1, c.LONGEST),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise SteadError("invalid", f"{name} must be from {least} to {most}", field=name)
    if asked.case not in _CASES:
        raise SteadError("invalid", f"case: one of {', '.join(_CASES)}", field="case")


def _options(asked: c.FindContent) -> list[str]:
    found = ["--json", f"--regexp={asked.query}"]
    found.append(_CASES[asked.case])
    for chosen, option in ((asked.literal, "--fixed-strings"), (asked.word, "--word-regexp"), (asked.multiline, "-U")):
        if chosen:
            found.append(option)
    if asked.before:
        found.append(f"--before-context={asked.before}")
    if asked.after:
        found.append(f"--after-context={asked.after}")
    if asked.per_file:
        found.append(f"--max-count={asked.per_file + 1}")
    return found


async def _gather(reader: StreamReader, gathered: Gathered) -> None:
    async for line in _lines(reader):
        if line is None:
            gathered.too_long()
        else:
            gathered.take(line)
        if gathered.full:
            return


async def _lines(reader: StreamReader) -> AsyncIterator[bytes | None]:
    """Every line; None for one that is too long."""
    rest = bytearray()
    dropping = False
    while piece := await reader.read(_PIECE):
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield None if dropping else bytes(rest) + line
            rest.clear()
            dropping = False
        if not dropping:
            rest += last
        if len(rest) > LINE_BYTES:
            rest.clear()
            dropping = True


def _judge(gathered: Gathered, code: int, complaints: str) -> None:
    """An end without a summary is a failure; complaints about files are told."""
    if not gathered.complete:
        words = complaints.strip().removeprefix("rg: ") or f"ripgrep ended with {code}"
        raise SteadError("invalid" if code == 2 else "program_failed", words, field="query")
    for line in complaints.splitlines():
        if line.startswith("rg: ./") and len(gathered.problems) < c.PROBLEMS:
            gathered.problems.append(line.removeprefix("rg: ./"))
