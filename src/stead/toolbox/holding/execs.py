"""The execs that run and those that are kept: start, output, time limits, ends.

Contract: an exec's end is the end of its main process; whoever else holds its pipes is not waited for. What is in the pipes at
that moment is kept; what comes later is read and dropped, so that processes left behind do not fail when they print.
While the tree is being ended (time limit, kill, cancel) the end is told only when the tree is gone.
An exec whose log is held waits, as at a full pipe, while its log has no room; `read` makes room, `let_go` ends that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import signal as signals
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

from stead.toolbox.holding import spawn, tree
from stead.toolbox.holding.ending import Ending
from stead.toolbox.holding.log import Log
from stead.toolbox.holding.loop import Loop, Timer
from stead.toolbox.holding.settings import WORKSPACE_MARK, Settings
from stead.toolbox.holding.shelf import Kept, Shelf, Status
from stead.toolbox.observer import NOBODY, Observer
from stead.toolbox.records import DATA_BYTES, STDERR, STDOUT

Told = Callable[[Status], None]

_PIPE_BYTES = 1 << 18
_LISTEN_LATER = 0.01
"""An exec that is waited for is listened to from then on: most are over before, and a pipe holds what they print."""
_SINKS = 256
"""How many pipes of ended execs are still read (and dropped); then the oldest is closed."""
_IN_USE = 64
"""So many ended execs, of those whose log has several files, are not forgotten while somebody follows them."""
_PENDING = getattr(termios, "FIONREAD", 0x541B)


class RefusedError(Exception):
    """A request that cannot be done; `code` is one of the table of errors."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Held:
    """One running exec."""

    def __init__(self, status: Status, log: Log, request: dict[str, Any]) -> None:
        self.status = status
        self.log = log
        self.request = request
        self.exec_id: str = status["exec_id"]
        self.pid = 0
        self.over = False
        self.cause = ""
        self.pipes: dict[int, int] = {}
        self.stalled = False
        self.stdin = -1
        self.limit: Timer | None = None
        self.listening: Timer | None = None
        self.ending: Ending | None = None
        self.waiting: list[Told] = []

    def close_stdin(self) -> None:
        """The holder's own end; the exec sees the end once the writers' are closed too."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1


class Execs:
    """All of one workspace. `dirty` names those with new output; `ended` is told every end; `in_use` is asked whether
    somebody still follows an ended one."""

    def __init__(self, loop: Loop, settings: Settings, observer: Observer = NOBODY) -> None:
        self._loop = loop
        self._observer = observer
        self._settings = settings
        self._shelf = Shelf(f"{settings.run}/execs")
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.running: dict[str, Held] = {}
        self.finished: dict[str, Status] = {}
        self.dirty: set[str] = set()
        self.ended: Told = lambda status: None
        self.in_use: Callable[[str], bool] = lambda exec_id: False
        self._by_pid: dict[int, Held] = {}
        self._sinks: dict[int, None] = {}
        self._leftovers: dict[str, Ending] = {}
        self._logs = self._shelf.logs()
        for status in self._shelf.kept():
            self.finished[status["exec_id"]] = status | _place(self._logs[status["exec_id"]])
        self._several = {exec_id: None for exec_id, log in self._logs.items() if len(log.starts) > 1}
        self._total = sum(log.bytes for log in self._logs.values())
        self._forget_oldest()

    # --- what is asked -----------------------------------------------------------------------------------------------

    def start(self, request: dict[str, Any]) -> tuple[bool, Status]:
        """Starts it, or answers the status of the exec that has this id already."""
        exec_id: str = request["exec_id"]
        known = self._status(exec_id)
        if known is not None:
            return False, known
        if len(self.running) >= self._settings.running:
            raise RefusedError("too_many", f"{len(self.running)} execs run here; no more are allowed at once")
        status = _begun(request)
        try:
            if not self._shelf.claim(exec_id, status):
                raise RefusedError("conflict", "this exec id was used before and is forgotten")
        except OSError as error:
            raise unrecorded(error) from error
        self._observer.at("exec.claimed", exec_id)
        log = Log(self._shelf.log(exec_id), request["log_bytes"], held=bool(request.get("hold")))
        held = Held(status, log, request)
        self._begin(held)
        return True, held.status

    def show(self, exec_id: str) -> tuple[Status, int]:
        """The status and how much of the log there is."""
        status = self._status(exec_id)
        if status is None:
            raise RefusedError("exec_unknown", "no such exec here")
        return status, self.log_bytes(exec_id)

    def log_bytes(self, exec_id: str) -> int:
        """Up to where the log may be read."""
        held = self.running.get(exec_id)
        if held is not None:
            return held.log.size
        return self._logs[exec_id].size if exec_id in self._logs else 0

    def held(self, exec_id: str) -> int:
        """How much it may print before its reader has to read; 0 when it waits for nobody."""
        held = self.running.get(exec_id)
        return held.log.cap if held is not None and held.log.held else 0

    def in_several_files(self, exec_id: str) -> bool:
        """Whether an ended exec's log is one that a reader cannot read to its end once it is forgotten."""
        return exec_id in self._several

    def listed(self) -> list[Status]:
        """All, newest first."""
        every = [*self.finished.values(), *(self._now(held) for held in self.running.values())]
        return sorted(every, key=lambda status: (status["started"], status["exec_id"]), reverse=True)

    def signal(self, exec_id: str, number: int, grace: float, told: Told) -> None:
        """TERM and KILL end the tree and answer when it is gone; any other signal is sent and answered at once."""
        held = self.running.get(exec_id)
        if held is None:
            self._end_leftovers(exec_id, told)
        elif number in {signals.SIGTERM, signals.SIGKILL}:
            self.end(held, number, grace, told)
        else:
            for pid in self._members(held):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told(self._now(held))

    def cancel(self, exec_id: str, told: Told) -> None:
        """Ends it, and the status says that it was cancelled."""
        held = self.running.get(exec_id)
        if held is None:
            told(self.show(exec_id)[0])
            return
        held.cause = held.cause or "cancelled"
        self.end(held, signals.SIGTERM, held.request["grace"], told)

    def read(self, exec_id: str, cursor: int) -> None:
        """Its reader has taken all before the cursor."""
        held = self.running.get(exec_id)
        if held is not None:
            held.log.read(cursor)
            self._go_on(held)

    def let_go(self, exec_id: str) -> None:
        """It waits for no reader any more."""
        held = self.running.get(exec_id)
        if held is not None:
            held.log.let_go()
            self._go_on(held)

    def end_stdin(self, exec_id: str) -> None:
        """No more input comes."""
        held = self.running.get(exec_id)
        if held is not None:
            held.close_stdin()

    def end(self, held: Held, number: int, grace: float, told: Told | None = None) -> None:
        """Ends the tree; a second call with KILL hastens the first."""
        self._observer.at("exec.ending", held.exec_id)
        if told is not None:
            held.waiting.append(told)
        if held.ending is None:
            held.ending = Ending(
                self._loop, lambda: self._members(held), number, grace, lambda left: self._gone(held, left)
            )
        elif number == signals.SIGKILL:
            held.ending.hasten()

    # --- what happens ------------------------------------------------------------------------------------------------

    def reaped(self, pid: int, wait_status: int) -> bool:
        """A child of the holder ended. True when it was an exec's main process."""
        for ending in [held.ending for held in self.running.values() if held.ending] + list(self._leftovers.values()):
            ending.wake()
        held = self._by_pid.pop(pid, None)
        if held is None:
            return False
        held.over = True
        self._observer.at("exec.over", held.exec_id)
        code = os.waitstatus_to_exitcode(wait_status)
        held.status["exit_code" if code >= 0 else "signal"] = abs(code)
        if held.ending is None:
            self._finish(held)
        return True

    def _begin(self, held: Held) -> None:
        request = held.request
        try:
            if request.get("error"):
                raise spawn.CannotStartError(spawn.CANNOT_RUN, request["error"])
            held.pid = self._spawn(held)
            self._observer.at("exec.spawned", held.exec_id)
        except spawn.CannotStartError as error:
            self._failed(held, error.exit_code, error.message)
            return
        except OSError as error:
            self._failed(held, spawn.CANNOT_RUN, f"cannot be started: {error.strerror}")
            return
        self.running[held.exec_id] = self._by_pid[held.pid] = held
        if request.get("wait"):
            held.listening = self._loop.after(_LISTEN_LATER, lambda: self._listen(held))
        else:
            self._listen(held)
        if request["timeout"] > 0:
            held.limit = self._loop.after(request["timeout"], lambda: self._time_out(held))

    def _failed(self, held: Held, exit_code: int, why: str) -> None:
        held.status |= {"state": "failed", "exit_code": exit_code, "error": why}
        self._finish(held)

    def _spawn(self, held: Held) -> int:
        request = held.request
        marks = {tree.MARK: held.exec_id, WORKSPACE_MARK: self._settings.workspace_id}
        environment = {**self._settings.environment, **request["environment"], **marks}
        stdin, (out, out_w) = -1, os.pipe()
        try:
            err, err_w = os.pipe()
        except BaseException:
            os.close(out)
            os.close(out_w)
            raise
        try:
            stdin = self._open_stdin(held) if request["stdin"] else self._null
            cwd = os.path.join(self._settings.root, request["cwd"])
            pid = spawn.spawn(request["argv"], environment, cwd, stdin, out_w, err_w)
        except BaseException:
            os.close(out)
            os.close(err)
            raise
        finally:
            os.close(out_w)
            os.close(err_w)
            if stdin not in {-1, self._null}:
                os.close(stdin)
        for pipe, channel in ((out, STDOUT), (err, STDERR)):
            os.set_blocking(pipe, False)
            held.pipes[pipe] = channel
        return pid

    def _open_stdin(self, held: Held) -> int:
        path = self._shelf.stdin(held.exec_id)
        os.mkfifo(path, 0o600)
        stdin = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        held.stdin = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(stdin, True)
        return stdin

    def _listen(self, held: Held) -> None:
        """Takes what it prints, from now on."""
        for pipe in held.pipes:
            self._loop.watch(pipe, functools.partial(self._output, held, pipe))

    def _output(self, held: Held, pipe: int) -> None:
        room = held.log.room
        if not room:
            self._stall(held)
            return
        data = _read(pipe, room)
        if data is None:
            return
        if data:
            if len(data) == DATA_BYTES and held.log.size < DATA_BYTES:
                _widen(pipe)
            self._keep(held, held.pipes[pipe], data)
            self.dirty.add(held.exec_id)
        else:
            del held.pipes[pipe]
            self._let_go(pipe)

    def _keep(self, held: Held, channel: int, data: bytes) -> None:
        held.log.append(channel, data)
        self._observer.at("exec.logged", held.exec_id)

    def _stall(self, held: Held) -> None:
        """What it prints stays in its pipes, and once these are full it waits."""
        held.stalled = True
        self._observer.at("exec.held", held.exec_id)
        for pipe in held.pipes:
            self._loop.unwatch(pipe)

    def _go_on(self, held: Held) -> None:
        if held.stalled and held.log.room:
            held.stalled = False
            self._listen(held)

    def _drain(self, held: Held) -> None:
        """Takes what is in the pipes now, and reads them into nothing from then on."""
        for pipe, channel in held.pipes.items():
            left = struct.unpack("i", fcntl.ioctl(pipe, _PENDING, b"\0\0\0\0"))[0]
            while data := _read(pipe):
                self._keep(held, channel, data)
                left -= len(data)
                if left < 0:
                    break
            if data == b"":
                self._let_go(pipe)
                continue
            self._sinks[pipe] = None
            self._loop.watch(pipe, functools.partial(self._sink, pipe))
        held.pipes.clear()
        while len(self._sinks) > _SINKS:
            self._let_go(next(iter(self._sinks)))

    def _sink(self, pipe: int) -> None:
        if _read(pipe) == b"":
            self._let_go(pipe)

    def _let_go(self, pipe: int) -> None:
        self._sinks.pop(pipe, None)
        self._loop.unwatch(pipe)
        os.close(pipe)

    def _time_out(self, held: Held) -> None:
        if not held.over:
            held.cause = held.cause or "timed_out"
            self.end(held, signals.SIGTERM, held.request["grace"])

    def _gone(self, held: Held, left: list[int]) -> None:
        if left:
            held.status["error"] = f"{len(left)} processes could not be ended"
        self._finish(held)

    def _finish(self, held: Held) -> None:
        self._drain(held)
        self._observer.at("exec.drained", held.exec_id)
        for timer in (held.limit, held.listening):
            if timer is not None:
                timer.cancel()
        held.close_stdin()
        held.log.close()
        status = self._now(held)
        if status["state"] == "running":
            status["state"] = held.cause or ("signalled" if "signal" in status else "exited")
        status["ended"] = time.time()
        self.running.pop(held.exec_id, None)
        self._logs[held.exec_id] = log = Kept(held.log.starts, held.log.size)
        self._total += log.bytes
        if len(log.starts) > 1:
            self._several[held.exec_id] = None
        self._shelf.finish(held.exec_id, status)
        self._observer.at("exec.recorded", held.exec_id)
        if held.request["stdin"]:
            with contextlib.suppress(OSError):
                os.unlink(self._shelf.stdin(held.exec_id))
        self.finished[held.exec_id] = status
        self.dirty.discard(held.exec_id)
        self.ended(status)
        self._observer.at("exec.told", held.exec_id)
        for told in held.waiting:
            told(status)
        if self._too_many():
            self._loop.after(0.0, self._forget_oldest)

    def _end_leftovers(self, exec_id: str, told: Told) -> None:
        """An ended exec may have left processes behind: these go at once."""
        status, _ = self.show(exec_id)
        if exec_id in self._leftovers:
            told(status)
            return

        def gone(left: list[int]) -> None:
            del self._leftovers[exec_id]
            told(status)

        find = lambda: tree.members(-1, exec_id)  # noqa: E731
        self._leftovers[exec_id] = Ending(self._loop, find, signals.SIGKILL, 0.0, gone)

    # --- what is known -----------------------------------------------------------------------------------------------

    def _members(self, held: Held) -> list[int]:
        """A main process that is over has given its number back; somebody else's exec may have it now."""
        taken = held.over and held.pid in self._by_pid
        return tree.members(-1 if taken else held.pid, held.exec_id)

    def _status(self, exec_id: str) -> Status | None:
        held = self.running.get(exec_id)
        return self._now(held) if held else self.finished.get(exec_id)

    def _now(self, held: Held) -> Status:
        held.status["output_bytes"] = held.log.output_bytes
        held.status["truncated"] = held.log.truncated
        if held.log.failure:
            held.status.setdefault("error", f"the output cannot be kept: {held.log.failure}")
        held.status |= _place(Kept(held.log.starts, held.log.size))
        return held.status

    def _forget_oldest(self) -> None:
        """Only so many are kept, and only so much of their output; what somebody still follows may wait for that."""
        while self._too_many():
            waits = [exec_id for exec_id in self._several if self.in_use(exec_id)][-_IN_USE:]
            oldest = next((exec_id for exec_id in self.finished if exec_id not in waits), None)
            if oldest is None:
                return
            del self.finished[oldest]
            self._several.pop(oldest, None)
            log = self._logs.pop(oldest)
            self._total -= log.bytes
            self._shelf.forget(oldest, log.starts)

    def _too_many(self) -> bool:
        over = self._total > self._settings.total_log_bytes and len(self.finished) > 1
        return over or len(self.finished) > self._settings.kept


def unrecorded(error: OSError) -> RefusedError:
    """What is said of an exec that cannot be recorded, and so does not begin."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return RefusedError("disk_full" if full else "unavailable", f"the exec cannot be recorded: {error.strerror}")


def _place(log: Kept) -> Status:
    """Where output is there."""
    return {"first_cursor": log.starts[0], "last_cursor": log.size}


def _begun(request: dict[str, Any]) -> Status:
    return {
        "exec_id": request["exec_id"],
        "state": "running",
        "argv": request["shown"],
        "started": time.time(),
        "background": request["background"],
    }


def _widen(pipe: int) -> None:
    """Who writes much finds more room."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _read(pipe: int, most: int = DATA_BYTES) -> bytes | None:
    """What is there, at most a record; empty at the end, None when there is nothing now."""
    try:
        return os.read(pipe, most)
    except BlockingIOError:
        return None
