"""The records of execs on disk: one journal of claims and ends, and beside it each exec's log, made with its first output.

Contract: `claim` records an exec before it starts (once; an id that was claimed before is refused, also some time after the
exec was forgotten), `finish` its end, `forget` removes it. `kept` finds what an earlier holder left (an exec without an end
there is `unknown`), `logs` the output of it. The journal is rewritten when most of it is of no more use, so it stays small.
Making a file or a directory costs more than starting a process on some disks: hence one journal and not a directory for each
exec.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any, NamedTuple

from stead.toolbox.holding.line import line as as_line
from stead.toolbox.holding.log import file_of

Status = dict[str, Any]
"""The fields of `contract.ExecStatus`."""

REMEMBERED = 4096
"""Ids of forgotten execs that are still known to have been used."""
COMPACT_LINES = 2048
"""The journal is rewritten when it has so many lines, and four for each exec kept."""


class Kept(NamedTuple):
    """The output of an exec that is over: where its files begin, and where it ends."""

    starts: list[int]
    size: int

    @property
    def bytes(self) -> int:
        """So much is on the disk."""
        return self.size - self.starts[0]


class Shelf:
    """One directory of records."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._path = f"{directory}/journal"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._journal = os.open(self._path, flags, 0o600)
        self._known: dict[str, Status] = {}
        self._forgotten: dict[str, None] = {}
        self._size = 0
        self._lines = 0
        self._load()
        self._remove_pipes()

    def claim(self, exec_id: str, request: Status) -> bool:
        """False when the id was claimed before. OSError when it cannot be recorded."""
        if exec_id in self._known or exec_id in self._forgotten:
            return False
        self._append(request)
        self._known[exec_id] = request
        return True

    def finish(self, exec_id: str, status: Status) -> None:
        """Records the end; where the disk is full, it is recorded when the journal is next rewritten."""
        self._known[exec_id] = status
        with contextlib.suppress(OSError):
            self._append(status)
            if self._lines > COMPACT_LINES and self._lines > 4 * len(self._known):
                self._compact()

    def forget(self, exec_id: str, starts: list[int]) -> None:
        """Removes an exec and the files of its log."""
        if self._known.pop(exec_id, {}).get("output_bytes", 1):
            for start in starts:
                with contextlib.suppress(OSError):
                    os.unlink(file_of(self.log(exec_id), start))
        self._remember(exec_id)
        with contextlib.suppress(OSError):
            self._append({"forgotten": [exec_id]})

    def kept(self) -> list[Status]:
        """What there is, in the order in which it ended."""
        return list(self._known.values())

    def log(self, exec_id: str) -> str:
        """Where the output goes."""
        return f"{self.directory}/{exec_id}.log"

    def stdin(self, exec_id: str) -> str:
        """The named pipe to its stdin."""
        return f"{self.directory}/{exec_id}.stdin"

    def logs(self) -> dict[str, Kept]:
        """The output of every exec in `kept`."""
        starts: dict[str, list[int]] = {exec_id: [] for exec_id in self._known}
        for name in os.listdir(self.directory):
            exec_id, log, start = name.partition(".log")
            if log and exec_id in starts and (number := _start(start)) is not None:
                starts[exec_id].append(number)
        return {exec_id: self._log(exec_id, sorted(found) or [0]) for exec_id, found in starts.items()}

    def _log(self, exec_id: str, starts: list[int]) -> Kept:
        try:
            last = os.stat(file_of(self.log(exec_id), starts[-1])).st_size
        except FileNotFoundError:
            last = 0
        return Kept(starts, starts[-1] + last)

    def close(self) -> None:
        """Lets go of the journal."""
        os.close(self._journal)

    def _remember(self, exec_id: str) -> None:
        self._forgotten[exec_id] = None
        while len(self._forgotten) > REMEMBERED:
            del self._forgotten[next(iter(self._forgotten))]

    def _append(self, line: Status) -> None:
        """Whole or not at all."""
        data = as_line(line)
        done = os.pwrite(self._journal, data, self._size)
        if done < len(data):
            os.ftruncate(self._journal, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += done
        self._lines += 1

    def _load(self) -> None:
        content = os.pread(self._journal, os.fstat(self._journal).st_size, 0)
        for line in content.splitlines():
            self._lines += 1
            self._take(_parsed(line))
        self._known = {exec_id: _ended(status) for exec_id, status in self._known.items()}
        self._size = len(content)
        if content and not content.endswith(b"\n"):
            self._mend(content.rfind(b"\n") + 1)

    def _remove_pipes(self) -> None:
        """Those to the stdin of execs whose holder was killed."""
        for name in os.listdir(self.directory):
            if name.endswith(".stdin"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{self.directory}/{name}")

    def _mend(self, whole: int) -> None:
        """The last line is not whole: all is written anew, or where that cannot be, the line goes."""
        try:
            self._compact()
        except OSError:
            os.ftruncate(self._journal, whole)
            self._size = whole

    def _take(self, line: Status) -> None:
        forgotten = line.get("forgotten")
        if isinstance(forgotten, list):
            for exec_id in filter(lambda each: isinstance(each, str), forgotten):
                self._known.pop(exec_id, None)
                self._remember(exec_id)
        elif isinstance(line.get("exec_id"), str) and isinstance(line.get("started"), float):
            self._known.pop(line["exec_id"], None)
            self._known[line["exec_id"]] = line

    def _compact(self) -> None:
        lines: list[Status] = [{"forgotten": list(self._forgotten)}, *self._known.values()]
        data = b"".join(map(as_line, lines))
        part = f"{self._path}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fresh = os.open(part, flags, 0o600)
        try:
            if os.write(fresh, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(part, self._path)
        except OSError:
            os.close(fresh)
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        os.close(self._journal)
        self._journal, self._size, self._lines = fresh, len(data), data.count(b"\n")


def _start(ending: str) -> int | None:
    """Where a file of a log begins, by the end of its name; None when it is none."""
    number = ending[1:]
    if not ending:
        return 0
    return int(number) if ending[0] == "." and number.isascii() and number.isdecimal() and len(number) < 20 else None


def _parsed(line: bytes) -> Status:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ended(status: Status) -> Status:
    if status.get("state") != "running":
        return status
    return {**status, "state": "unknown", "error": "its holder ended before it did"}
