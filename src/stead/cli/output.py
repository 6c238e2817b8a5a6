"""What is printed: tables and facts for people, JSON for programs, raw lines for pipes.

Contract: stdout carries the answer and nothing else; notes and progress go to stderr. On a terminal tables are drawn by
rich; where they would not fit they become one block a row, so that nothing is ever cut off. In a pipe they are plain
aligned columns. What came from elsewhere cannot move the cursor: control characters are shown, not sent.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURS = {
    "running": "green",
    "online": "green",
    "completed": "green",
    "ok": "green",
    "failed": "red",
    "offline": "red",
    "unknown": "red",
    "expired": "red",
    "missing": "red",
    "pending": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "draining": "yellow",
    "stopped": "dim",
    "deleted": "dim",
}


LEAST = 20
"""A column that is narrower is of no use."""


class Output:
    """How this invocation prints."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    @property
    def fancy(self) -> bool:
        """Whether a person looks at it on a terminal that can draw."""
        return not self.json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def value(self, value: Any) -> None:
        """One thing as JSON."""
        write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def row(self, value: Any) -> None:
        """One thing as one line of JSON, for what is endless."""
        write(msgspec.json.encode(value).decode() + "\n")

    def gone(self, id: str, name: str) -> None:
        """One thing that is no more: its name, or a line of JSON."""
        if self.json:
            self.row({"id": id, "name": name})
        else:
            self.line(name)

    def line(self, text: str = "") -> None:
        write(safe(text) + "\n")

    def note(self, text: str) -> None:
        """To stderr: for the person, not for the pipe."""
        sys.stderr.write(safe(text) + "\n")
        sys.stderr.flush()

    def items(self, items: Sequence[Any], columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A list: JSON `{"items": [...]}`, or a table."""
        if self.json:
            self.value({"items": items})
        else:
            self.table(columns, [[safe(cell) for cell in row] for row in rows])

    def fitted(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
        """On a terminal the last column is cut to what there is room for, if that is enough to be of use."""
        if not self.fancy:
            return rows
        others = natural_width(columns[:-1], [row[:-1] for row in rows])
        room = shutil.get_terminal_size().columns - others - 2
        return [(*row[:-1], shortened(row[-1], room)) for row in rows] if room >= LEAST else rows

    def facts(self, value: Any, facts: Mapping[str, str]) -> None:
        """One thing: JSON, or its facts one a line; empty ones are left out."""
        if self.json:
            self.value(value)
            return
        width = max(map(len, facts), default=0)
        for name, text in facts.items():
            if text:
                self.line(f"{name:<{width}}  " + text.replace("\n", "\n" + " " * (width + 2)))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if not self.fancy:
            write(plain_table(columns, rows))
        elif natural_width(columns, rows) > shutil.get_terminal_size().columns:
            write(blocks(columns, rows))
        else:
            draw(columns, rows)


def write(text: str) -> None:
    """To stdout at once, so that a reader that went away is noticed here."""
    sys.stdout.write(text)
    sys.stdout.flush()


def shortened(text: str, most: int) -> str:
    """One that says so where it is not whole."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def write_all(descriptor: int, data: bytes) -> None:
    """As often as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def safe(text: str) -> str:
    """Control characters as they are written, not as they act; line breaks and tabs stay."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def natural_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(_widths(columns, rows)) + 2 * len(columns)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the last is not padded."""
    widths = _widths(columns, rows)
    lines = [[column.upper() for column in columns], *rows]
    return "".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One block a row, for narrow terminals."""
    width = max(map(len, columns))
    return "\n".join(
        "".join(f"{column:<{width}}  {cell}\n" for column, cell in zip(columns, row, strict=True) if cell)
        for row in rows
    )


def draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table by rich; colours follow NO_COLOR and the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.upper(), no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    Console(file=sys.stdout, highlight=False, soft_wrap=False).print(table)


def age(at: float | None, now: float | None = None) -> str:
    """How long ago: 5s, 12m, 3h, 2d."""
    if not at:
        return "-"
    passed = max(0.0, (time.time() if now is None else now) - at)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if passed >= length:
            return f"{int(passed // length)}{unit}"
    return f"{int(passed)}s"


def moment(at: float | None) -> str:
    """A local time to the second, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at)) if at else ""


def amount(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(column), *(len(row[n]) for row in rows)]) for n, column in enumerate(columns)]
