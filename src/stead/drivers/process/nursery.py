"""The nursery: a process of ours that has loaded what holders need and forks them, so that none has to start Python.

Contract: `Nursery.ask` sends a request, to a new one where there is none; `get_ready` only starts it; `end` lets it go. What
becomes of a request is told on a channel of its own: `Told`. Nothing depends on a nursery: what has failed is done without
it; `failure` says why, and after `FAILURES` in a row `trouble` says that it is not asked for a while.
`stead.guest.nursery` is the program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from stead.drivers.process.identity import Identity, identify, send
from stead.drivers.process.launch import Children

log = logging.getLogger(__name__)

VERSION = 1
FAILURES = 3
ASK_AGAIN_SECONDS = 300.0
SEND_SECONDS = 30.0
_MESSAGE_BYTES = 1 << 14
_LOG_BYTES = 600
_CREDENTIALS = struct.Struct("iII")


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
    """No holder was made this way. `told` when the nursery lives and said so itself."""

    def __init__(self, reason: str, *, told: bool = False) -> None:
        super().__init__(reason)
        self.told = told


class Told:
    """The channel on which is told what becomes of one request, and by whom: the kernel says which process has spoken.
    `writer` goes to the nursery."""

    def __init__(self) -> None:
        self._reader, self.writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._reader.setblocking(False)

    async def until(self, word: str) -> int:
        """The pid of who says this word. NurseryError with the reason when nobody will."""
        while True:
            await anyio.wait_readable(self._reader)
            message, ancillary, _, _ = self._reader.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            said, _, reason = message.decode(errors="replace").partition(" ")
            if said == word:
                return _pid(ancillary)
            if said in {"", "failed"}:
                raise NurseryError(reason or "it ended", told=said == "failed")

    def let_go(self) -> None:
        """Closes our copy of the writing end, so that the end of all others is seen."""
        self.writer.close()

    def close(self) -> None:
        """Nothing more is heard."""
        self.writer.close()
        self._reader.close()


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
        self._births = 0
        self._failures = 0
        self._asked_again = 0.0
        self.failure = ""

    def get_ready(self) -> None:
        """Starts it where it was never asked, and does not wait: it loads while nothing is asked yet."""
        with self._lock, contextlib.suppress(OSError):
            if self._socket is None and not self._failures:
                self._start()

    def ask(self, request: Request, descriptors: list[int]) -> int:
        """Sends it, to a new nursery where the old one is gone. The answer names the nursery that was asked."""
        message = msgspec.json.encode(request)
        with self._lock:
            try:
                if self._socket is None or not self._send(message, descriptors):
                    self._start()
                    if not self._send(message, descriptors):
                        raise NurseryError("it does not start")
            except OSError as error:
                raise NurseryError(f"it cannot be asked: {error.strerror or error}") from error
            return self._births

    @property
    def trouble(self) -> str:
        """Why it is not to be asked now; empty when it may be."""
        return self.failure if time.monotonic() < self._asked_again else ""

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self.failure = ""

    def failed(self, error: Exception, asked: int) -> None:
        """What one that was `asked` did not do (0: none could be). One that did not say so itself is ended, and counts once
        however many have asked it."""
        with self._lock:
            told = isinstance(error, NurseryError) and error.told
            if asked not in {0, self._births} and not told:
                return
            self._failures += 1
            if not told:
                self._end()
                self._births += 1
            self.failure = "; ".join(filter(None, [str(error) or "it does not answer", self._last_words()]))
            if self._failures >= FAILURES:
                self._asked_again = time.monotonic() + ASK_AGAIN_SECONDS
                log.warning("workspaces start slowly: the nursery does not work: %s", self.failure)

    def end(self) -> None:
        """It ends with its socket; one that does not listen is killed. What it has forked lives on."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._end()
        self._births += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(SEND_SECONDS)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with theirs:
            words = os.open(self._log, flags, 0o600)
            try:
                process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    cwd="/",
                    env=self._environment,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            except BaseException:
                ours.close()
                raise
            finally:
                os.close(words)
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
        if self._process is None and self._socket is not None and _has_said(self._socket):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                hello = msgspec.json.decode(self._socket.recv(_MESSAGE_BYTES), type=_Hello)
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


def _pid(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Who has sent this message."""
    credentials = next(data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid


def _has_said(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
