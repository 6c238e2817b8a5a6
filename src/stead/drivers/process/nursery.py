"""The nursery: a process of ours that has loaded what holders need and forks them, so that none has to start Python.

Contract: `Nursery.ask` sends a request, to a new one where there is none; `get_ready` only starts it; `end` lets it go. What
becomes of a request is told on the request's own pipe: `Told`. Nothing depends on a nursery: what has failed may be done
without it, and after `FAILURES` in a row `trouble` says why it is not asked any more. `stead.guest.nursery` is the program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from stead.drivers.process.identity import Identity, identify, send
from stead.drivers.process.launch import Children

VERSION = 1
FAILURES = 3
SEND_SECONDS = 30.0
_LINES = 1 << 14
_LOG_BYTES = 600


class Request(msgspec.Struct, kw_only=True):
    """What `stead.guest.nursery.Request` says of each field."""

    version: int = VERSION
    command: list[str]
    environment: dict[str, str]
    directory: str
    sandbox: list[str]
    user: list[int]


class _Hello(msgspec.Struct):
    """What a nursery says first."""

    version: int
    pid: int


class NurseryError(Exception):
    """No holder was made this way."""


class Told:
    """The pipe on which is told what becomes of one request. `writer` goes to the nursery and must be closed here."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._text = b""

    async def until(self, word: str) -> str:
        """What follows the word on its line. NurseryError with the reason when that line never comes."""
        while (said := self._line(word)) is None:
            await anyio.wait_readable(self._reader)
            piece = os.read(self._reader, _LINES)
            self._text += piece
            if not piece:
                raise NurseryError(self._line("failed") or "it ended")
        return said

    def close(self) -> None:
        """Nothing more is heard. May be called twice."""
        self.let_go()
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def let_go(self) -> None:
        """Closes our copy of the writing end, so that the end of all others is seen."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def _line(self, word: str) -> str | None:
        for line in self._text.decode(errors="replace").split("\n")[:-1]:
            first, _, rest = line.partition(" ")
            if first == word:
                return rest
        return None


class Nursery:
    """One nursery. `command` makes its argument vector from the number of its socket."""

    def __init__(
        self, children: Children, command: Callable[[int], list[str]], environment: dict[str, str], log: Path
    ) -> None:
        self._children = children
        self._command = command
        self._environment = environment
        self._log = log
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: Identity | None = None
        self._failures = 0
        self.trouble = ""

    def get_ready(self) -> None:
        """Starts it where it was never asked, and does not wait: it loads while nothing is asked yet."""
        with self._lock, contextlib.suppress(OSError):
            if self._socket is None and not self._failures:
                self._start()

    def ask(self, request: Request, descriptors: list[int]) -> None:
        """Sends it, to a new nursery where the old one is gone."""
        message = msgspec.json.encode(request)
        with self._lock:
            try:
                if self._socket is not None and self._send(message, descriptors):
                    return
                self._start()
                if self._socket is None or not self._send(message, descriptors):
                    raise NurseryError(self._last_words() or "it does not start")
            except OSError as error:
                raise NurseryError(f"it cannot be asked: {error.strerror or error}") from error

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, reason: str) -> None:
        """Ends it: the next request goes to another one, unless too many have failed."""
        self.end()
        self._failures += 1
        if self._failures >= FAILURES:
            self.trouble = f"{reason}; {self._last_words()}".rstrip("; ")

    def end(self) -> None:
        """It ends with its socket; one that does not listen is killed. What it has forked lives on."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(SEND_SECONDS)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with theirs:
            log = os.open(self._log, flags, 0o600)
            try:
                process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd="/",
                    env=self._environment,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            except BaseException:
                ours.close()
                raise
            finally:
                os.close(log)
        self._children.add(process)
        self._socket = ours

    def _send(self, message: bytes, descriptors: list[int]) -> bool:
        """False when nobody is there."""
        assert self._socket is not None
        self._listen()
        try:
            socket.send_fds(self._socket, [message], descriptors)
        except (ConnectionError, BrokenPipeError):
            return False
        return True

    def _listen(self) -> None:
        """Takes the nursery's own number, once it has told it."""
        if self._process is None and self._socket is not None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                hello = msgspec.json.decode(self._socket.recv(_LINES, socket.MSG_DONTWAIT), type=_Hello)
                self._process = identify(hello.pid)

    def _end(self) -> None:
        self._listen()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            send(self._process, signal.SIGKILL)
            self._process = None
        self._children.reap()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_bytes()[-_LOG_BYTES:].decode(errors="replace").strip().rpartition("\n")[2]
        return ""
