"""Commands of Windows, each in a job object: what it starts is in the job too, and ends with it.

Contract: `start(argv, cwd, environment)` gives a `Tree` of a program that was put into its job before it ran its first
instruction. The job is ended when its time is over or the guest dies; a command that ends by itself lets go what it left.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import threading
from ctypes import wintypes as w

from stead.guest.windows import api
from stead.guest.windows.tree import Tree
from stead.protocol.errors import SteadError

assert sys.platform == "win32"

_SUSPENDED, _NO_WINDOW = 0x4, 0x08000000
_LIMITS = 9
_KILL_ON_CLOSE = 0x2000
_ENDED = 1
_TERMINATE, _SUSPEND, _QUOTA = 0x1, 0x800, 0x100


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("times", ctypes.c_int64 * 2),
        ("flags", w.DWORD),
        ("working_set", ctypes.c_size_t * 2),
        ("processes", w.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", w.DWORD),
        ("scheduling", w.DWORD),
        ("counters", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    ]


class _Job:
    """A job object that ends what is in it when its last handle is closed, until it is released."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: int | None = api.checked(api.kernel32.CreateJobObjectW(None, None))
        self._limit(_KILL_ON_CLOSE)

    def take(self, pid: int) -> None:
        """The process, still suspended, into the job; then it runs."""
        process = api.checked(api.kernel32.OpenProcess(_TERMINATE | _SUSPEND | _QUOTA, False, pid))
        try:
            api.checked(api.kernel32.AssignProcessToJobObject(self._handle, process))
            api.nt(api.ntdll.NtResumeProcess(process))
        finally:
            api.close(process)

    def end(self) -> None:
        with self._lock:
            if self._handle is not None:
                api.kernel32.TerminateJobObject(self._handle, _ENDED)

    def release(self) -> None:
        """What is still in it lives on."""
        with self._lock:
            if self._handle is not None:
                self._limit(0)
                api.close(self._handle)
                self._handle = None

    def _limit(self, flags: int) -> None:
        limits = _Limits(flags=flags)
        size = ctypes.sizeof(limits)
        api.checked(api.kernel32.SetInformationJobObject(self._handle, _LIMITS, ctypes.byref(limits), size))


def start(argv: list[str], cwd: str, environment: dict[str, str]) -> Tree:
    """The program is a path; its arguments are quoted as programs take them apart."""
    job = _Job()
    try:
        process = subprocess.Popen(
            argv,
            executable=argv[0],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=_SUSPENDED | _NO_WINDOW,
        )
    except (OSError, ValueError) as error:
        job.release()
        raise SteadError("unavailable", f"{argv[0]} cannot be started: {error}") from error
    try:
        job.take(process.pid)
    except OSError as error:
        with contextlib.suppress(OSError):
            process.kill()
        job.release()
        raise SteadError("unavailable", f"{argv[0]} cannot be put into a job: {error}") from error
    return Tree(process, job.end, job.release)
