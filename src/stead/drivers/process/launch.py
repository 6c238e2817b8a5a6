"""Starting a holder: its own session, a clean environment, nothing inherited but its log.

Contract: `launch(...)` returns the `Identity` of the holder itself (process 1 of its namespaces, or the plain process).
The holder outlives us. `Children.reap` collects those that ended, so that no corpse stays.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import msgspec

from stead.drivers.process.identity import Identity, identify
from stead.protocol.errors import SteadError

_INFO_BYTES = 4096


class _Info(msgspec.Struct, rename="kebab"):
    """What bubblewrap tells."""

    child_pid: int


class Children:
    """The processes we started and have not collected yet."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def start(self, argv: tuple[str, ...]) -> None:
        """Starts a short helper; nobody waits for it. (Compiles the guest: inside, its folder is read-only.)"""
        self.add(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def add(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.append(process)

    def reap(self) -> None:
        """Collects what has ended; the rest goes on."""
        with self._lock:
            self._running = [process for process in self._running if process.poll() is None]

    def let_go(self) -> None:
        """Forgets all; whoever inherits them collects them."""
        with self._lock:
            for process in self._running:
                process.returncode = process.poll() or 0
            self._running = []


def launch(children: Children, argv: list[str], environment: dict[str, str], directory: Path, log: int) -> Identity:
    """Starts a plain holder."""
    process = _spawn(children, argv, environment, directory, log, ())
    return _identified(process, process.pid)


def launch_sandboxed(
    children: Children, argv: list[str], environment: dict[str, str], directory: Path, log: int, info: tuple[int, int]
) -> Identity:
    """Starts a holder under bubblewrap; `info` is the pipe whose write end the argument vector names."""
    reader, writer = info
    try:
        process = _spawn(children, argv, environment, directory, log, (writer,))
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read(_INFO_BYTES)
    try:
        pid = msgspec.json.decode(told, type=_Info).child_pid
    except msgspec.DecodeError:
        raise _died(process) from None
    return _identified(process, pid)


def _spawn(
    children: Children, argv: list[str], environment: dict[str, str], directory: Path, log: int, keep: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            env=environment,
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise SteadError("driver_failed", f"cannot start {argv[0]}: {error.strerror or error}") from error
    children.add(process)
    return process


def _identified(process: subprocess.Popen[bytes], pid: int) -> Identity:
    identity = identify(pid)
    if identity is None:
        raise _died(process)
    return identity


def _died(process: subprocess.Popen[bytes]) -> SteadError:
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return SteadError("driver_failed", f"the holder ended at once with code {code}")
