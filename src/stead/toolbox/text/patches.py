"""Unified diffs, as `diff -u` and git write them: read, and applied to text.

Contract: `parse(diff, strip)` gives the files of a diff, their names without `strip` leading ones, or "invalid" with the line.
`apply(text, part)` gives the new text and how far from its place each hunk was found, or "patch_rejected" with the hunk. Every
line of a hunk must be there, nothing is guessed; only the place may differ. Whether a line ends with LF or CRLF does not
matter for finding it, and the file's own end is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.text.contract import PATCH_FILES, Change, Newline
from stead.toolbox.text.document import lines_of, main_newline

OFFSET_LINES = 10_000
"""How far from its place a hunk is looked for."""
_HUNK = re.compile(r"@@ -([0-9]{1,15})(?:,([0-9]{1,15}))? \+([0-9]{1,15})(?:,([0-9]{1,15}))? @@")
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LINK = 0o120000
_NOTHING = "/dev/null"


class Line(NamedTuple):
    """One line of a hunk: `kind` is a blank, `-` or `+`; `open` when it has no end."""

    kind: str
    text: str
    open: bool = False


class Hunk(NamedTuple):
    """A place and its lines; `old` is the number of the first line there (of the one before, when there is none)."""

    old: int
    lines: list[Line]

    @property
    def before(self) -> list[Line]:
        return [line for line in self.lines if line.kind != "+"]


class Part(NamedTuple):
    """What a diff does to one file. `source` is where its old text is, `target` where its new text will be."""

    change: Change
    source: str
    target: str
    mode: int | None
    hunks: list[Hunk]


def parse(diff: str, strip: int = 1) -> list[Part]:
    """The files of a diff, in its order."""
    reader = _Reader(diff.split("\n"), strip)
    parts = list(reader.parts())
    if not parts:
        raise SteadError("invalid", "there is no diff in the text", field="diff")
    if len(parts) > PATCH_FILES:
        raise SteadError("too_large", f"one patch changes at most {PATCH_FILES} files")
    return parts


class _Header:
    """What stands before the hunks of a file."""

    def __init__(self) -> None:
        self.git: tuple[str, str] | None = None
        self.old: str | None = None
        self.new: str | None = None
        self.change: Change | None = None
        self.mode: int | None = None
        self.source = ""
        self.target = ""

    def part(self, hunks: list[Hunk], number: int) -> Part:
        old, new = self.names(number)
        change = self.change or Change.MODIFIED
        if self.old == _NOTHING:
            change = Change.CREATED
        elif self.new == _NOTHING:
            change = Change.DELETED
        if change in {Change.RENAMED, Change.COPIED}:
            old, new = self.source, self.target
        elif change is Change.CREATED:
            old = new
        elif change is Change.DELETED:
            new = old
        return Part(change, old, new if new != _NOTHING else old, self.mode, hunks)

    def names(self, number: int) -> tuple[str, str]:
        if self.old is not None and self.new is not None:
            return self.old, self.new
        if self.git is not None:
            return self.git
        if self.source and self.target:
            return self.source, self.target
        raise _bad(number, "the names of the file are missing")


class _Reader:
    """Goes through the lines once."""

    def __init__(self, lines: Sequence[str], strip: int) -> None:
        self._lines = lines
        self._strip = strip
        self._at = 0

    def parts(self) -> Iterator[Part]:
        while self._at < len(self._lines):
            line = self._line()
            if line.startswith("diff --git ") or self._begins():
                yield self._part()
            elif _HUNK.match(line):
                raise _bad(self._at, "a hunk has no file")
            else:
                self._at += 1

    def _line(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._lines[at].removesuffix("\r") if at < len(self._lines) else ""

    def _part(self) -> Part:
        header = _Header()
        began = self._at
        if self._line().startswith("diff --git "):
            names = _git_names(self._line()[len("diff --git ") :])
            header.git = names and (self._stripped(names[0]), self._stripped(names[1]))
            self._at += 1
            self._extended(header)
        if self._begins():
            header.old, header.new = (self._stripped(_name(self._line(ahead)[4:])) for ahead in (0, 1))
            self._at += 2
        hunks: list[Hunk] = []
        while found := _HUNK.match(self._line()):
            hunks.append(self._hunk(found))
        self._check_end()
        if not hunks and not self._lines[began].startswith("diff --git "):
            raise _bad(self._at, "a hunk is missing")
        return header.part(hunks, began)

    def _check_end(self) -> None:
        """What follows the last hunk of a file is no line of a hunk, such as one more than the hunk says."""
        left = len(self._lines) - self._at
        ahead = next((ahead for ahead in range(left) if self._line(ahead).strip()), left)
        line = self._line(ahead)
        marks = ("+", "-", "@@") if ahead else ("+", "-", "@@", " ")
        if line.startswith(marks) and line.rstrip() != "--" and not self._begins(ahead):
            words = "this belongs to no hunk: a hunk has more lines than it says, or its header cannot be read"
            raise _bad(self._at + ahead, words)

    def _begins(self, ahead: int = 0) -> bool:
        """Whether the two names of a file stand here."""
        return self._line(ahead).startswith("--- ") and self._line(ahead + 1).startswith("+++ ")

    def _extended(self, header: _Header) -> None:
        """The lines with which git tells modes, renames and copies."""
        while line := self._line():
            if line.startswith(("--- ", "@@ ", "diff --git ")):
                return
            if line.startswith(("GIT binary patch", "Binary files ")):
                raise SteadError("not_text", f"line {self._at + 1}: the diff of a binary file cannot be applied")
            self._extension(header, line)
            self._at += 1

    def _extension(self, header: _Header, line: str) -> None:
        words, _, rest = line.rpartition(" ")
        if words in {"new file mode", "deleted file mode", "new mode", "old mode"}:
            mode = int(rest, 8) if re.fullmatch(r"[0-7]{3,6}", rest) else -1
            if mode < 0 or mode & ~0o7777 == _LINK:
                raise _bad(self._at, "only files are patched, no links")
            if words.startswith("new"):
                header.mode = mode & 0o777
        if line.startswith("new file mode"):
            header.change = Change.CREATED
        elif line.startswith("deleted file mode"):
            header.change = Change.DELETED
        for word, change in (("rename", Change.RENAMED), ("copy", Change.COPIED)):
            if line.startswith(f"{word} from "):
                header.change, header.source = change, self._bare(line[len(word) + 6 :])
            elif line.startswith(f"{word} to "):
                header.target = self._bare(line[len(word) + 4 :])

    def _stripped(self, name: str) -> str:
        return name if name == _NOTHING else _without(name, self._strip, self._at)

    def _bare(self, text: str) -> str:
        """A name of a rename, which has no `a/` in front."""
        return _without(_name(text), max(0, self._strip - 1), self._at)

    def _hunk(self, found: re.Match[str]) -> Hunk:
        began = self._at
        left = int(found[2] or 1)
        right = int(found[4] or 1)
        lines: list[Line] = []
        self._at += 1
        while left > 0 or right > 0:
            line = self._hunk_line(began)
            lines.append(line)
            left -= line.kind != "+"
            right -= line.kind != "-"
        if left or right:
            raise _bad(began, "the hunk has other lines than it says")
        return Hunk(int(found[1]), lines)

    def _hunk_line(self, began: int) -> Line:
        if self._at >= len(self._lines):
            raise _bad(began, "the hunk ends before it is complete")
        raw = self._lines[self._at]
        self._at += 1
        kind, text = raw[:1], raw[1:]
        if kind in {"", "\r"}:
            kind, text = " ", raw
        if kind not in {" ", "-", "+"}:
            raise _bad(self._at - 1, "a line of a hunk begins with a blank, - or +")
        is_open = self._at < len(self._lines) and self._lines[self._at].startswith("\\")
        self._at += is_open
        return Line(kind, text, is_open)


def apply(text: str, part: Part) -> tuple[str, list[int]]:
    """The text after the hunks, and their offsets."""
    lines = lines_of(text)
    ends = "\r\n" if main_newline(text) is Newline.CRLF else "\n"
    bare = [line.rstrip("\n").removesuffix("\r") for line in lines]
    made: list[str] = []
    offsets: list[int] = []
    at = shift = 0
    for number, hunk in enumerate(part.hunks):
        stated = hunk.old - 1 if hunk.before else hunk.old
        found = _place(bare, hunk, stated + shift, at)
        if found is None:
            raise _rejected(part, number, hunk)
        shift = found - stated
        offsets.append(shift)
        made += lines[at:found]
        at = found + len(hunk.before)
        made += _merged(lines[found:at], hunk, ends)
    made += lines[at:]
    return _joined(made, ends), offsets


def _place(bare: list[str], hunk: Hunk, stated: int, least: int) -> int | None:
    """Where the lines of the hunk are, nearest to where it says."""
    wanted = [line.text.removesuffix("\r") for line in hunk.before]
    most = len(bare) - len(wanted)
    if not wanted:
        return stated if least <= stated <= most else None
    for distance in range(OFFSET_LINES + 1):
        for place in dict.fromkeys((stated + distance, stated - distance)):
            if least <= place <= most and bare[place : place + len(wanted)] == wanted:
                return place
        if stated + distance > most and stated - distance < least:
            return None
    return None


def _merged(there: list[str], hunk: Hunk, ends: str) -> list[str]:
    """The lines that the hunk leaves: those of the file where it keeps them, its own where it adds."""
    windows = any(line.text.endswith("\r") for line in hunk.before)
    made: list[str] = []
    at = 0
    for line in hunk.lines:
        if line.kind == "+":
            own = "\r\n" if line.text.endswith("\r") else "\n" if windows else ends
            made.append(line.text.removesuffix("\r") + ("" if line.open else own))
            continue
        if line.kind == " ":
            made.append(there[at])
        at += 1
    last = hunk.before[-1:]
    if made and there and not there[-1].endswith("\n") and not (last and last[0].open) and hunk.lines[-1].kind == "+":
        made[-1] = made[-1].removesuffix("\n").removesuffix("\r")
    return made


def _joined(made: list[str], ends: str) -> str:
    """A line that is no longer the last one gets an end."""
    for number, line in enumerate(made[:-1]):
        if not line.endswith("\n"):
            made[number] = line + ends
    return "".join(made)


def _rejected(part: Part, number: int, hunk: Hunk) -> SteadError:
    return SteadError(
        "patch_rejected",
        f"{part.source}: hunk {number + 1} (line {hunk.old}) does not fit the file",
        path=part.source,
        hunk=number + 1,
        line=hunk.old,
        expected=[line.text for line in hunk.before][:5],
    )


def _bad(number: int, words: str) -> SteadError:
    return SteadError("invalid", f"line {number + 1} of the diff: {words}", field="diff", line=number + 1)


def _git_names(text: str) -> tuple[str, str] | None:
    """The two names behind `diff --git` where they are certain."""
    if text.startswith('"'):
        end = re.match(r'"(?:[^"\\]|\\.)*"', text)
        return (_name(end[0]), _name(text[end.end() + 1 :])) if end else None
    half = len(text) // 2
    left, right = text[:half], text[half + 1 :]
    if text[half : half + 1] == " " and left.partition("/")[2] == right.partition("/")[2]:
        return left, right
    old, blank, new = text.partition(" ")
    return (old, _name(new)) if blank and " " not in new else None


def _without(name: str, strip: int, number: int) -> str:
    """A name below the first ones; it stays below."""
    names = [part for part in name.split("/") if part not in {"", "."}][strip:]
    if not names:
        raise _bad(number, f"the name {name[:200]!r} has nothing left when {strip} leading names are removed")
    if ".." in names:
        raise SteadError("path_outside", f"line {number + 1} of the diff: the name leads out of its directory")
    return "/".join(names)


def _name(text: str) -> str:
    """A name, unquoted, without the time that may follow."""
    if not text.startswith('"'):
        return text.partition("\t")[0]
    body = text[1:].rpartition('"')[0].encode(errors="surrogatepass")
    return _ESCAPE.sub(_escaped, body).decode(errors="surrogateescape")


def _escaped(found: re.Match[bytes]) -> bytes:
    code = found[1].decode("latin-1")
    return bytes([int(code, 8) & 255]) if len(code) == 3 else bytes([_ESCAPES.get(code, ord(code))])
