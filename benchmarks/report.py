"""One measured thing is a `Row`; a run of all rows becomes docs/benchmarks.md.

Contract: `write` puts down what there is at any time of a run; the page names what is not measured yet.
"""

import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

TARGET = Path(__file__).parent.parent / "docs" / "benchmarks.md"
REASON = 200


class MissingError(Exception):
    """This machine lacks something that the measurement needs; the words say what."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured, ours, the aim, and the peer's figure where there is a peer. `met` is None without an aim."""

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None

    def line(self) -> str:
        """The row of the table."""
        verdict = {True: "yes", False: "**no**", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.ours} | {self.peer} | {ratio} | {self.aim} | {verdict} |"


def absent(name: str, error: Exception) -> Row:
    """The row of a measurement that is skipped or broke: in the table, with the reason, and a miss when it broke."""
    words = " ".join(f"{error}".split()).replace("|", "/")[:REASON]
    if isinstance(error, MissingError):
        return Row(what=f"({name})", ours=f"skipped: {words}")
    return Row(what=f"({name})", ours=f"failed: {type(error).__name__}{': ' * bool(words)}{words}", met=False)


async def timed(work: Callable[[], Awaitable[object]], times: int, warm: int = 3) -> list[float]:
    """Seconds that each of `times` runs took, after some that do not count."""
    for _ in range(warm):
        await work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - start)
    return seconds


def median(seconds: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(seconds)


def p95(seconds: Sequence[float]) -> float:
    """What one in twenty is above."""
    return sorted(seconds)[int(len(seconds) * 0.95)]


def ms(seconds: float) -> str:
    """Milliseconds for people."""
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def mib(size: float) -> str:
    """Mebibytes for people."""
    return f"{size / 2**20:.1f} MiB"


def write(rows: Sequence[Row], missing: Sequence[str], load: float) -> str:
    """Writes docs/benchmarks.md whole and answers its text; `missing` are measurements that did not begin."""
    misses = [row.what for row in rows if row.met is False]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Ours and the peer's figures come from the same run, so what counts is",
        "the ratio (time of ours / time of the peer); absolute times move with the machine.",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {platform.system()} {platform.release()}.",
        f"Load average when it began: {load:.1f}"
        + (": other programs were at work, all times are too high." * (load > 1)),
        "",
        "| what | Stead | peer | ratio | aim | met |",
        "|---|---|---|---|---|---|",
        *(row.line() for row in rows),
        "",
        "## Misses",
        "",
        *([f"- {what}" for what in misses] or ["None."]),
        *[f"- not measured: {name}" for name in missing],
        "",
        "## How to repeat",
        "",
        "`make engines` once (root on Debian; brings sshd, PostgreSQL, QEMU, a kernel), then `make bench`: ten minutes.",
        'Rows by name, such as `make bench ARGS="exec files"`, are measured without writing this page. Nothing else should',
        "run beside it.",
        "",
    ]
    text = "\n".join(lines)
    draft = TARGET.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(TARGET)
    return text
