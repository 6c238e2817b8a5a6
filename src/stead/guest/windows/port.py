"""A virtio-serial port of Windows, or a named pipe, as `Port`: overlapped, so that it is read and written at once.

Contract: `opened(path)` opens the port of virtio-win's serial driver, `PORT` followed by its name, or the other end of a named
pipe. `pipe(name)` makes a named pipe that this machine's administrators may open, and waits for somebody. The driver tells
whether the host has opened its side; nobody there reads as the end.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from ctypes import wintypes as w
from functools import partial
from typing import TypeVar

import anyio
from anyio import to_thread

from stead.guest.windows import api
from stead.protocol.errors import SteadError

assert sys.platform == "win32"

T = TypeVar("T")

PORT = "\\\\.\\Global\\"
PIPE = "\\\\.\\pipe\\"
THREADS = 16
PIECE = 1 << 15
"""What the driver takes at once."""
_READ_WRITE, _EXISTING, _OVERLAPPED = 0xC0000000, 3, 0x40000000
_INFORMATION = 0x222002
"""The driver's question for what it knows of a port."""
_HOST = 5
"""Where in the answer it says whether the host is there."""
_PENDING, _CONNECTED, _MORE = 997, 535, 234
_FIRST, _DUPLEX, _LOCAL_ONLY = 0x80000, 0x3, 0x8
_OWNERS = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)"
"""The system, administrators, and who made it."""
_LOOK = 500


class _Overlapped(ctypes.Structure):
    _fields_ = [("internal", ctypes.c_size_t * 2), ("offset", w.DWORD * 2), ("event", w.HANDLE)]


class _Attributes(ctypes.Structure):
    _fields_ = [("length", w.DWORD), ("descriptor", ctypes.c_void_p), ("inherit", w.BOOL)]


class Handle:
    """An open file that is read and written at once; closing it ends what is under way."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._closing = _event()
        self._lock = threading.Lock()
        self._users = 0
        self._over = threading.Event()

    def present(self) -> bool:
        """Whether the host has opened its side; of what is no port of the driver, whether it is open."""
        answer = ctypes.create_string_buffer(256)
        try:
            ask = partial(api.kernel32.DeviceIoControl, self._handle, _INFORMATION, None, 0, answer, len(answer))
            told = self._transfer(ask, look=False)
        except OSError:
            return not self._over.is_set()
        return told <= _HOST or answer.raw[_HOST] != 0

    def read(self, limit: int) -> bytes:
        """At least one byte; empty at the end."""
        buffer = ctypes.create_string_buffer(min(limit, PIECE))
        try:
            size = self._transfer(partial(api.kernel32.ReadFile, self._handle, buffer, len(buffer)))
        except OSError:
            return b""
        return buffer.raw[:size]

    def write(self, data: bytes) -> None:
        """All of it."""
        at = 0
        while at < len(data):
            piece = data[at : at + PIECE]
            try:
                at += self._transfer(partial(api.kernel32.WriteFile, self._handle, piece, len(piece)))
            except OSError as error:
                raise SteadError("unavailable", f"nobody is at the other end: {error.strerror}") from None

    def connect(self) -> None:
        """Until somebody opens the other end of a pipe."""
        try:
            self._transfer(lambda size, overlapped: api.kernel32.ConnectNamedPipe(self._handle, overlapped))
        except OSError as error:
            if error.winerror != _CONNECTED:
                raise SteadError("unavailable", f"the pipe: {error.strerror}") from None

    def close(self) -> None:
        """Again changes nothing."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            api.kernel32.SetEvent(self._closing)
            idle = not self._users
        if idle:
            self._free()

    def _transfer(self, begin: Callable[..., int], *, look: bool = True) -> int:
        """One operation, to its end or until the port is closed or left by the host."""
        with self._lock:
            if self._over.is_set():
                raise OSError(0, "it is closed")
            self._users += 1
        overlapped = _Overlapped(event=_event())
        try:
            return self._done(begin, overlapped, look=look)
        finally:
            api.close(overlapped.event)
            with self._lock:
                self._users -= 1
                last = self._over.is_set() and not self._users
            if last:
                self._free()

    def _done(self, begin: Callable[..., int], overlapped: _Overlapped, *, look: bool) -> int:
        size = w.DWORD()
        if not begin(None, ctypes.byref(overlapped)) and ctypes.get_last_error() not in {_PENDING, _MORE}:
            raise ctypes.WinError(ctypes.get_last_error())
        events = (w.HANDLE * 2)(overlapped.event, self._closing)
        wait = partial(api.kernel32.WaitForMultipleObjects, 2, events, False, _LOOK)
        while (told := wait()) not in {0, 1}:
            if look and not self.present():
                break
        if told != 0:
            api.kernel32.CancelIoEx(self._handle, ctypes.byref(overlapped))
        api.checked(api.kernel32.GetOverlappedResult(self._handle, ctypes.byref(overlapped), ctypes.byref(size), True))
        return size.value

    def _free(self) -> None:
        api.close(self._handle)
        api.close(self._closing)


class HandlePort:
    """A handle as `Port`: its calls wait in threads of their own."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._threads = anyio.CapacityLimiter(THREADS)
        self._turn = anyio.Lock()

    async def present(self) -> bool:
        return await to_thread.run_sync(self._handle.present, limiter=self._threads)

    async def read(self, limit: int) -> bytes:
        return await self._waiting(partial(self._handle.read, limit))

    async def write(self, data: bytes) -> None:
        async with self._turn:
            await to_thread.run_sync(self._handle.write, data, limiter=self._threads)

    async def connect(self) -> None:
        await self._waiting(self._handle.connect)

    async def close(self) -> None:
        self._handle.close()

    async def _waiting(self, work: Callable[[], T]) -> T:
        """What may wait for ever ends when its caller does: the handle is of no use afterwards."""
        try:
            return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
        except anyio.get_cancelled_exc_class():
            self._handle.close()
            raise


def opened(path: str) -> HandlePort:
    """A port by its name or path."""
    place = path if path.startswith("\\\\.\\") else PORT + path
    handle = api.kernel32.CreateFileW(place, _READ_WRITE, 0, None, _EXISTING, _OVERLAPPED, None)
    try:
        return HandlePort(Handle(api.checked(handle)))
    except OSError as error:
        raise SteadError("unavailable", f"{place}: {error.strerror}") from None


async def pipe(name: str) -> HandlePort:
    """One end of a named pipe, once somebody has the other."""
    found = HandlePort(_made(PIPE + name.removeprefix(PIPE)))
    await found.connect()
    return found


def _made(path: str) -> Handle:
    descriptor = ctypes.c_void_p()
    convert = api.advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
    try:
        api.checked(convert(_OWNERS, 1, ctypes.byref(descriptor), None))
        attributes = _Attributes(ctypes.sizeof(_Attributes), descriptor, False)
        mode = _DUPLEX | _OVERLAPPED | _FIRST
        make = partial(api.kernel32.CreateNamedPipeW, path, mode, _LOCAL_ONLY, 1, PIECE, PIECE, 0)
        return Handle(api.checked(make(ctypes.byref(attributes))))
    except OSError as error:
        raise SteadError("unavailable", f"{path}: {error.strerror}") from None
    finally:
        api.kernel32.LocalFree(descriptor)


def _event() -> int:
    return api.checked(api.kernel32.CreateEventW(None, True, False, None))
