"""The kept process: has everything loaded and forks a child for each invocation that `kept` hands over.

Contract: `python -m stead.cli.keeper DATA` serves `DATA/keeper.sock` (this user only) as soon as the process that started
it is the server of that data, until SIGTERM or until that process is gone; children that still run are waited for. `stead
up` starts one, so that the command line is fast on the machine that runs the server. A child is an invocation like any
other: it has the caller's standard streams, directory, umask and environment, and a link of its own. When the caller dies,
so does the child.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import anyio._backends._asyncio  # noqa: F401 - loaded for the children
import rich.console  # noqa: F401

import stead
from stead.cli import entry, kept
from stead.sdk import client  # noqa: F401
from stead.sdk.config import local_server

LOOK_EVERY = 1.0
LOOK_SOON = 0.02
REQUEST_BYTES = 4 << 20
HEAD = 5


class Asked(NamedTuple):
    """One invocation, as it was handed over."""

    directory: str
    umask: int
    words: list[str]
    environment: dict[str, str]


def main(arguments: list[str]) -> int:
    """Serves until told to end."""
    place = Path(arguments[0]) / kept.SOCKET
    for name in kept.WORDS:
        if word := entry.find_word(name):
            entry.load(word)
    if not _served(place.parent, os.getppid()):
        return 0
    keeper = Keeper(place)
    keeper.listen()
    gc.freeze()
    try:
        keeper.serve()
    finally:
        keeper.close()
    return 0


def _served(data: Path, server: int) -> bool:
    """Waits until the process that started this one is the server of the data; False when it is gone before."""
    while os.getppid() == server:
        found = local_server(data)
        if found is not None and found.pid == server:
            return True
        time.sleep(LOOK_SOON)
    return False


class Keeper:
    """The socket and the children."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._own = os.getpid()
        self._parent = os.getppid()
        self._inode = 0
        self._stopping = False
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def listen(self) -> None:
        """Takes the place of an earlier one, if any."""
        fresh = self._place.with_name(f".{self._place.name}.{self._own}")
        with contextlib.chdir(self._place.parent):
            old = os.umask(0o177)
            try:
                self._listener.bind(fresh.name)
            finally:
                os.umask(old)
            self._listener.listen(64)
            self._inode = fresh.stat().st_ino
            Path(fresh.name).replace(self._place.name)

    def serve(self) -> None:
        """Until stopped and the last child has ended."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while not self._stopping or self._children:
            for key, _ in self._selector.select(LOOK_EVERY):
                self._ready(key.fileobj)
            self._reap()
            if os.getppid() != self._parent and not self._stopping:
                self._stop()

    def close(self) -> None:
        """Removes the socket, unless a later keeper has put its own there."""
        with contextlib.suppress(FileNotFoundError):
            if self._place.stat().st_ino == self._inode:
                self._place.unlink()

    def _stop(self, *_: object) -> None:
        self._stopping = True
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._listener)
        self._listener.close()

    def _ready(self, source: object) -> None:
        if source is self._listener:
            self._accept()
        elif source == self._woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
        elif isinstance(source, socket.socket):
            self._caller_gone(source)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            asked, descriptors = _receive(connection)
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                connection.sendall(bytes(4))
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._become(asked, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._children[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            connection.sendall(pid.to_bytes(4, "big"))

    def _caller_gone(self, connection: socket.socket) -> None:
        """Nobody waits for the child any more."""
        self._selector.unregister(connection)
        for pid, waiting in self._children.items():
            if waiting is connection:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (connection := self._children.pop(pid, None)) is not None:
                self._tell(connection, os.waitstatus_to_exitcode(status))

    def _tell(self, connection: socket.socket, code: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
        connection.close()

    def _become(self, asked: Asked, descriptors: list[int]) -> None:
        """In the child: the caller's process in all but its number."""
        code = 1
        try:
            self._let_go()
            _take_over(asked, descriptors)
            code = entry.main(asked.words)
        except BaseException:  # noqa: BLE001 - as Python does for a process of its own
            traceback.print_exc()
        finally:
            os._exit(code)

    def _let_go(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        self._listener.close()
        for connection in self._children.values():
            connection.close()


def _receive(connection: socket.socket) -> tuple[Asked, list[int]]:
    """The request of a process of this user, and its three standard streams."""
    connection.settimeout(5.0)
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        raise PermissionError("another user")
    connection.sendall(kept.GREETING)
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    try:
        while len(data) < 4 or len(data) < 4 + _length(data):
            more = connection.recv(1 << 16)
            if not more:
                raise ValueError("cut off")
            data += more
        asked = parse(data[4:])
    except (OSError, ValueError):
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    if len(descriptors) != 3:
        raise ValueError("three streams are needed")
    return asked, descriptors


def _length(data: bytes) -> int:
    """Of what follows; what is too long the caller does itself."""
    length = int.from_bytes(data[:4], "big")
    if length > REQUEST_BYTES:
        raise ValueError("too long")
    return length


def parse(data: bytes) -> Asked:
    """What `kept.request` made; refused when it comes from another version or installation."""
    parts = [part.decode(errors="surrogateescape") for part in data.split(b"\0")]
    version, file, directory, umask, count = parts[:HEAD]
    if (version, file) != (stead.__version__, str(stead.__file__)):
        raise ValueError("another version")
    words, variables = parts[HEAD : HEAD + int(count)], parts[HEAD + int(count) :]
    pairs = (variable.partition("=") for variable in variables)
    return Asked(directory, int(umask), words, {name: value for name, _, value in pairs})


def _take_over(asked: Asked, descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.umask(asked.umask)
    os.chdir(asked.directory)
    os.environ.clear()
    os.environ.update(asked.environment | {kept.OFF: "0"})
    time.tzset()
    sys.stdin = _text(0, "r")
    sys.stdout = _text(1, "w")
    sys.stderr = _text(2, "w")


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    """A standard stream as Python makes it."""
    binary = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115
    errors = "backslashreplace" if descriptor == 2 else "surrogateescape"
    return io.TextIOWrapper(
        binary, encoding="utf-8", errors=errors, line_buffering=os.isatty(descriptor) or descriptor == 2
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
