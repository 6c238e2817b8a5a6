"""Replacing text in text, exactly.

Contract: `replace(text, edit)` gives the new text and how many places changed. `old` is found literally; an end of a line in
it fits LF and CRLF, and what is put in ends its lines as those it replaces. The refusals: "empty_old_string",
"identical_strings", "text_not_found", and "text_not_unique" with the count and the first lines where it is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from stead.protocol.errors import SteadError
from stead.toolbox.text.contract import TEXT_BYTES, Edit, Newline
from stead.toolbox.text.document import count_lines, main_newline, start_of, with_newlines

PLACES_TOLD = 20
"""How many line numbers a refusal tells."""
_COUNTED = 100_000
_END = r"(?:\r\n|(?<!\r)\n)"
"""The end of a line, whole: what begins with one is not found again in the middle of CRLF."""


def replace(text: str, edit: Edit) -> tuple[str, int]:
    """The text after one edit."""
    old = edit.old.replace("\r\n", "\n")
    if not old:
        raise SteadError("empty_old_string", "the text to be replaced is empty")
    if old == edit.new.replace("\r\n", "\n"):
        raise SteadError("identical_strings", "the text to be replaced and the new text are the same")
    pattern = re.compile(_END.join(re.escape(part) for part in old.split("\n")))
    first = pattern.search(text)
    if first is None:
        raise SteadError("text_not_found", f"{_shown(old)} is not in the file")
    if not edit.every and pattern.search(text, first.start() + 1):
        raise _not_unique(text, pattern, old)
    if edit.every:
        _check_size(len(text) + sum(1 for _ in pattern.finditer(text)) * (len(edit.new) - len(old)))
    fallback = main_newline(text)
    return pattern.subn(lambda found: _fitting(edit.new, found[0], fallback), text, count=0 if edit.every else 1)


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


def _not_unique(text: str, pattern: re.Pattern[str], old: str) -> SteadError:
    starts = list(itertools.islice(_starts(text, pattern), _COUNTED))
    lines = [text.count("\n", 0, start) + 1 for start in starts[:PLACES_TOLD]]
    return SteadError(
        "text_not_unique", f"{_shown(old)} is in the file {len(starts)} times", count=len(starts), lines=lines
    )


def _starts(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    """Where it begins, places that overlap included."""
    at = -1
    while found := pattern.search(text, at + 1):
        at = found.start()
        yield at


def _shown(old: str) -> str:
    return repr(old if len(old) <= 80 else old[:80] + "...")
