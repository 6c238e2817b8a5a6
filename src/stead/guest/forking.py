"""Making a guest out of its holder: everything a guest needs is loaded once, and the two share the memory it takes.

Contract: `fork(keep, work)` answers the pid of a child that runs `work` and ends with it. The calling program has one thread.
The child is a process as if it had been started: a session of its own, the system's signal handling, nothing inherited but
the descriptor `keep` and standard error, and a command line that says what it is. No object of the holder is ever finalised in
it, because that could close a descriptor the child has opened since. `load` and `serve` are the guest's work.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from stead.toolbox.holding.settings import Settings

HOLDER_WORDS = b"\0-m\0stead.guest.holder\0"
GUEST_WORDS = b"\0-m\0stead.guest\0serve\0"

_DEFAULT = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)
_ARGUMENTS = 45
"""Where a command line begins and ends, in the words of /proc/self/stat after the program's name."""


def load() -> None:
    """Loads all that a guest needs; done before the first fork, with the collector off, so that pages stay shared."""
    gc.disable()
    import anyio._backends._asyncio  # noqa: F401

    import stead.guest.running
    import stead.guest.server  # noqa: F401

    gc.enable()
    gc.freeze()


def serve(settings: Settings, connection: int, restarts: int) -> None:
    """The life of a guest, whose holder is at the other end of the socket."""
    from stead.guest import running, server

    running.run(server.serve, settings, socket.socket(fileno=connection), restarts)


def fork(keep: int, work: Callable[[], None]) -> int:
    """Signals that come meanwhile reach the parent alone."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(keep, work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _live(keep: int, work: Callable[[], None]) -> NoReturn:
    """Whatever happens, the child never comes back into the holder's code."""
    code = 1
    try:
        gc.freeze()
        os.setsid()
        _forget_signals()
        _forget_descriptors(keep)
        os.chdir("/")
        with contextlib.suppress(OSError):
            _rename()
        work()
        code = 0
    except BaseException:  # noqa: BLE001 (told, and the end of this process)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _forget_descriptors(keep: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 (without pathlib)
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _rename() -> None:
    """What `ps` shows. Where the system forbids it, the guest goes by the holder's command line."""
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
        words = file.read().rpartition(b")")[2].split()
    start, end = int(words[_ARGUMENTS]), int(words[_ARGUMENTS + 1])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
        memory.seek(start)
        line = memory.read(end - start)
        if HOLDER_WORDS in line:
            memory.seek(start)
            memory.write(line.replace(HOLDER_WORDS, GUEST_WORDS, 1).ljust(len(line), b"\0"))
