"""Making a process out of one that has loaded what it needs: it is loaded once, and all share the memory it takes.

Contract: `fork(keep, work)` answers the pid of a child that runs `work` and ends with it. The calling program has one thread.
The child is a process as if it had been started: a session of its own, the system's signal handling, nothing inherited but
the descriptors `keep` and standard error; by `rename` it says what it is. No object of its parent is ever finalised in it,
because that could close a descriptor the child has opened since. `load` and `serve` are the guest's work.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from stead.toolbox.holding.settings import Settings
    from stead.toolbox.observer import Observer

HOLDER_WORDS = b"\0-m\0stead.guest.holder\0"
GUEST_WORDS = b"\0-m\0stead.guest\0serve\0"

_DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
"""Linux without udev has no /dev/fd."""
_DEFAULT = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)
_ARGUMENTS = 45
"""Where a command line begins and ends, in the words of /proc/self/stat after the program's name."""


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """What is loaded meanwhile stays: the collector never looks at it, neither now, which takes time, nor later, which would
    make pages of one process's own that many could share."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load() -> None:
    """Loads all that a guest needs; done before the first fork."""
    if {"stead.guest.server", "anyio._backends._asyncio"} <= sys.modules.keys() and gc.get_freeze_count() > 0:
        return
    with kept():
        import anyio._backends._asyncio  # noqa: F401

        import stead.guest.running
        import stead.guest.server  # noqa: F401


def load_holders() -> None:
    """Loads all that holders and their guests need, for many of them: also what each would find out about its types."""
    import msgspec

    import stead.guest.server
    import stead.toolbox.holding.engine
    import stead.toolbox.holding.loop  # noqa: F401

    for kind in _below(msgspec.Struct):
        with contextlib.suppress(TypeError, NameError):
            msgspec.json.Decoder(kind)
    load()


def _below(kind: type) -> Iterator[type]:
    each: type
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def serve(settings: Settings, connection: int, restarts: int, told: int, observer: Observer) -> None:
    """The life of a guest, whose holder is at the other end of the socket. On the socket `told` it says `ready` once."""
    with contextlib.suppress(OSError):
        rename("stead-guest", lambda line: line.replace(HOLDER_WORDS, GUEST_WORDS, 1))
    from stead.guest import running, server

    def ready() -> None:
        if told >= 0:
            with contextlib.suppress(OSError):
                os.write(told, b"ready")
            os.close(told)

    running.run(server.serve, settings, socket.socket(fileno=connection), restarts, ready, observer)


def fork(keep: Collection[int], work: Callable[[], None]) -> int:
    """Signals that come meanwhile reach the parent alone."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(keep, work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def rename(short: str, change: Callable[[bytes], bytes]) -> None:
    """What `ps` shows: the short name, and the command line, which cannot grow. OSError where it may not be changed."""
    with open("/proc/self/comm", "w") as file:  # noqa: PTH123
        file.write(short)
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
        words = file.read().rpartition(b")")[2].split()
    start, end = int(words[_ARGUMENTS]), int(words[_ARGUMENTS + 1])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
        memory.seek(start)
        line = change(memory.read(end - start))
        if len(line) > end - start:
            raise OSError(errno.ENOSPC, "no room for the command line")
        memory.seek(start)
        memory.write(line.ljust(end - start, b"\0"))


def _live(keep: Collection[int], work: Callable[[], None]) -> NoReturn:
    """Whatever happens, the child never comes back into its parent's code."""
    code = 1
    try:
        gc.freeze()
        os.setsid()
        _forget_signals()
        _forget_descriptors(keep)
        os.chdir("/")
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


def _forget_descriptors(keep: Collection[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for descriptor in map(int, os.listdir(_DESCRIPTORS)):  # noqa: PTH208 (without pathlib)
        if descriptor > 2 and descriptor not in keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)
