"""The guest as a service of Windows: put in, taken out, started, and run by the service control manager.

Contract: `install(arguments)` makes the service, which starts with the machine and again after it died; `remove`, `start` and
`stop` are what they say. `run(work)` is the service's process: `work` is an asynchronous function that is cancelled when the
service is to stop. All raise "permission_denied", "not_found" or what else Windows says.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from ctypes import wintypes as w

import anyio

from stead.guest.windows import api
from stead.protocol.errors import SteadError

assert sys.platform == "win32"

NAME = "stead-guest"
TITLE = "Stead guest"
TEXT = "Serves files, commands and facts of this machine to its host over a virtio-serial port."
STOP_SECONDS = 30.0
AGAIN_SECONDS = 5
_ALL = 0xF003F
_SERVICE = 0xF01FF
_OWN_PROCESS, _AUTOMATIC, _NORMAL = 0x10, 2, 1
_DESCRIPTION, _FAILURES = 1, 2
_RESTART = 1
_STOPPED, _START_PENDING, _STOP_PENDING, _RUNNING = 1, 2, 3, 4
_STOP, _SHUTDOWN = 1, 5
_ACCEPTED = 0x1 | 0x4
_SPECIFIC = 1066
_CODES = {1060: "not_found", 1073: "already_exists", 1056: "conflict", 1062: "conflict", 1072: "conflict"}

log = logging.getLogger(__name__)


class _Status(ctypes.Structure):
    _fields_ = [
        ("type", w.DWORD),
        ("state", w.DWORD),
        ("accepted", w.DWORD),
        ("code", w.DWORD),
        ("own_code", w.DWORD),
        ("checkpoint", w.DWORD),
        ("hint", w.DWORD),
    ]


class _Text(ctypes.Structure):
    _fields_ = [("text", w.LPWSTR)]


class _Action(ctypes.Structure):
    _fields_ = [("kind", w.DWORD), ("milliseconds", w.DWORD)]


class _Failures(ctypes.Structure):
    _fields_ = [
        ("forget", w.DWORD),
        ("message", w.LPWSTR),
        ("command", w.LPWSTR),
        ("count", w.DWORD),
        ("actions", ctypes.POINTER(_Action)),
    ]


_Main = ctypes.WINFUNCTYPE(None, w.DWORD, ctypes.c_void_p)
_Handler = ctypes.WINFUNCTYPE(w.DWORD, w.DWORD, w.DWORD, ctypes.c_void_p, ctypes.c_void_p)


class _Entry(ctypes.Structure):
    _fields_ = [("name", w.LPWSTR), ("main", _Main)]


# --- from outside --------------------------------------------------------------------------------------------------------


def install(arguments: list[str]) -> None:
    """The service, with arguments for its `run`."""
    command = subprocess.list2cmdline([sys.executable, "-m", "stead.guest.windows", "run", *arguments])
    kinds = (_SERVICE, _OWN_PROCESS, _AUTOMATIC, _NORMAL)
    action = _Action(_RESTART, AGAIN_SECONDS * 1000)
    failures = _Failures(86_400, None, None, 1, ctypes.pointer(action))
    with _manager() as manager:
        made = api.advapi32.CreateServiceW(manager, NAME, TITLE, *kinds, command, None, None, None, None, None)
        with _held(made, "install") as service, _said("install"):
            api.checked(api.advapi32.ChangeServiceConfig2W(service, _DESCRIPTION, ctypes.byref(_Text(TEXT))))
            api.checked(api.advapi32.ChangeServiceConfig2W(service, _FAILURES, ctypes.byref(failures)))


def remove() -> None:
    """Stops it first."""
    with _opened() as service, _said("remove"):
        if _state(service) != _STOPPED:
            _end(service)
        api.checked(api.advapi32.DeleteService(service))


def start() -> None:
    """Waits until it runs."""
    with _opened() as service, _said("start"):
        api.checked(api.advapi32.StartServiceW(service, 0, None))
        if _settled(service, _START_PENDING) != _RUNNING:
            raise SteadError("unavailable", "the service ended at once; its log says why")


def stop() -> None:
    """Waits until it is over."""
    with _opened() as service, _said("stop"):
        _end(service)


def _end(service: int) -> None:
    api.checked(api.advapi32.ControlService(service, _STOP, ctypes.byref(_Status())))
    if _settled(service, _STOP_PENDING, _RUNNING) != _STOPPED:
        raise SteadError("timeout", f"the service did not stop in {STOP_SECONDS:g} s")


def _settled(service: int, *passing: int) -> int:
    """Its state once it is none of these, or the last one seen."""
    until = time.monotonic() + STOP_SECONDS
    while (state := _state(service)) in passing and time.monotonic() < until:
        time.sleep(0.1)
    return state


def _state(service: int) -> int:
    status = _Status()
    api.checked(api.advapi32.QueryServiceStatus(service, ctypes.byref(status)))
    return int(status.state)


def _manager() -> contextlib.AbstractContextManager[int]:
    return _held(api.advapi32.OpenSCManagerW(None, None, _ALL), "the service control manager")


@contextlib.contextmanager
def _opened() -> Iterator[int]:
    with _manager() as manager, _held(api.advapi32.OpenServiceW(manager, NAME, _SERVICE), NAME) as service:
        yield service


@contextlib.contextmanager
def _held(opened: object, what: str) -> Iterator[int]:
    """What was opened, closed at the end; nothing is an error."""
    with _said(what):
        handle = api.checked(opened)
    try:
        yield handle
    finally:
        api.advapi32.CloseServiceHandle(handle)


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """What Windows says, as an error of the table."""
    try:
        yield
    except OSError as error:
        code = _CODES.get(error.winerror or 0)
        raise api.typed(error, what) if code is None else SteadError(code, f"{what}: {error.strerror}") from error


# --- from inside ---------------------------------------------------------------------------------------------------------


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Until the service control manager says that it is enough."""
    process = _Process(work)
    table = (_Entry * 2)(_Entry(NAME, process.main), _Entry())
    with _said("run"):
        api.checked(api.advapi32.StartServiceCtrlDispatcherW(table))


class _Process:
    """The service's process, as the manager sees it."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._handle: int | None = None
        self._stop: Callable[[], object] | None = None
        self._stopping = False
        self.main = _Main(self._main)
        self._handler = _Handler(self._control)

    def _main(self, count: int, arguments: int | None) -> None:
        """In a thread of the manager's, until the work is over."""
        self._handle = api.advapi32.RegisterServiceCtrlHandlerExW(NAME, self._handler, None)
        code = 1
        try:
            anyio.run(self._worked)
            code = 0
        except SteadError as error:
            log.error("%s", error.message)
        except Exception:
            log.exception("the service failed")
        finally:
            self._tell(_STOPPED, code)

    async def _worked(self) -> None:
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self._stop = lambda: loop.call_soon_threadsafe(scope.cancel)
            if not self._stopping:
                self._tell(_RUNNING)
                await self._work()

    def _control(self, control: int, kind: int, data: int | None, context: int | None) -> int:
        if control in {_STOP, _SHUTDOWN}:
            self._tell(_STOP_PENDING)
            self._stopping = True
            if self._stop is not None:
                self._stop()
        return 0

    def _tell(self, state: int, code: int = 0) -> None:
        accepted = _ACCEPTED if state == _RUNNING else 0
        hint = int(STOP_SECONDS * 1000) if state == _STOP_PENDING else 0
        status = _Status(_OWN_PROCESS, state, accepted, _SPECIFIC if code else 0, code, 0, hint)
        api.advapi32.SetServiceStatus(self._handle, ctypes.byref(status))
