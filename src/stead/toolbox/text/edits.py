"""Replacing text in text, exactly.

Contract: `replace(text, edit)` gives the new text and how many places changed. `old` is found literally; an end of a line in
it fits LF and CRLF, and what is put in ends its lines as those it replaces. The refusals: "empty_old_string",
"identical_strings", "text_not_found", and "text_not_unique" with the count and the first lines where it is.
"""

from __future__ import annotations

import io
import itertools
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from stead.protocol.errors import SteadError
from stead.toolbox.text.contract import TEXT_BYTES, Edit, Newline
from stead.toolbox.text.document import count_lines, main_newline, newline_of, start_of, with_newlines

PLACES_TOLD = 20
"""How many line numbers a refusal tells."""
_COUNTED = 100_000


def replace(text: str, edit: Edit) -> tuple[str, int]:
    """The text after one edit."""
    old = edit.old.replace("\r\n", "\n")
    if not old:
        raise SteadError("empty_old_string", "the text to be replaced is empty")
    if old == edit.new.replace("\r\n", "\n"):
        raise SteadError("identical_strings", "the text to be replaced and the new text are the same")
    plain = text.replace("\r\n", "\n")
    first = plain.find(old)
    if first < 0:
        raise SteadError("text_not_found", f"{_shown(old)} is not in the file")
    if not edit.every and plain.find(old, first + 1) >= 0:
        raise _not_unique(plain, old)
    count = plain.count(old) if edit.every else 1
    _check_size(len(text) + count * (len(edit.new) - len(old)))
    newline = main_newline(text)
    if newline_of(text) is Newline.MIXED or "\r" in old:
        return _each(text, plain, old, edit.new, count), count
    return text.replace(with_newlines(old, newline), with_newlines(edit.new, newline), count), count


def _each(text: str, plain: str, old: str, new: str, count: int) -> str:
    """Replaces place by place, as the lines end there. `plain`: the text with LF alone, in which they are found."""
    windows = array("q", (found.start() - number for number, found in enumerate(re.finditer("\r\n", text))))
    fallback = main_newline(text)
    made = io.StringIO(newline="")
    place = done = 0
    for _ in range(count):
        start = plain.find(old, place)
        place = start + len(old)
        begin, end = (each + bisect_left(windows, each) for each in (start, place))
        made.write(text[done:begin])
        made.write(_fitting(new, text[begin:end], fallback))
        done = end
    made.write(text[done:])
    return made.getvalue()


def _check_size(characters: int) -> None:
    """Before memory is taken for what no file of text may be."""
    if characters > TEXT_BYTES:
        raise SteadError("too_large", f"the file would be larger than the {TEXT_BYTES} bytes that are treated as text")


def insert(text: str, line: int, content: str) -> str:
    """Whole lines before a line; at the end of a file without a last line end, that stays so."""
    total = count_lines(text)
    if not 1 <= line <= total + 1:
        raise SteadError("invalid", f"line must be 1 to {total + 1}", field="line")
    newline = main_newline(text)
    end = "\r\n" if newline is Newline.CRLF else "\n"
    added = with_newlines(content, newline)
    if line == total + 1 and text and not text.endswith("\n"):
        return text + end + added.removesuffix(end)
    at = start_of(text, line)
    return text[:at] + added + ("" if added.endswith("\n") or not added else end) + text[at:]


def _fitting(new: str, found: str, fallback: Newline) -> str:
    if "\n" in found:
        fallback = Newline.CRLF if found[found.index("\n") - 1 : found.index("\n")] == "\r" else Newline.LF
    return with_newlines(new, fallback)


def _not_unique(plain: str, old: str) -> SteadError:
    starts = list(itertools.islice(_starts(plain, old), _COUNTED))
    lines = [plain.count("\n", 0, start) + 1 for start in starts[:PLACES_TOLD]]
    return SteadError(
        "text_not_unique", f"{_shown(old)} is in the file {len(starts)} times", count=len(starts), lines=lines
    )


def _starts(plain: str, old: str) -> Iterator[int]:
    """Where it begins, places that overlap included."""
    at = plain.find(old)
    while at >= 0:
        yield at
        at = plain.find(old, at + 1)


def _shown(old: str) -> str:
    return repr(old if len(old) <= 80 else old[:80] + "...")
