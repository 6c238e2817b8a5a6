"""Windows' own shutdown: after the seconds asked for, with applications closed by force or asked first.

Contract: `change(action, delay, force, message)` sets it going, or raises what Windows says. Windows counts whole seconds.
"""

from __future__ import annotations

import ctypes
import math
import sys
from ctypes import wintypes as w

from stead.guest.windows import api

assert sys.platform == "win32"

_ADJUST, _QUERY = 0x20, 0x8
_ENABLED = 0x2
_NOT_ALL = 1300
_PLANNED = 0x80000000
"""A planned change, of no kind that Windows has a name for."""


class _Privilege(ctypes.Structure):
    _fields_ = [("count", w.DWORD), ("name", w.DWORD * 2), ("attributes", w.DWORD)]


def change(action: str, delay: float, force: bool, message: str) -> None:
    """`shutdown` or `reboot`."""
    try:
        _privilege("SeShutdownPrivilege")
        restart = action == "reboot"
        seconds = math.ceil(delay)
        api.checked(api.advapi32.InitiateSystemShutdownExW(None, message, seconds, force, restart, _PLANNED))
    except OSError as error:
        raise api.typed(error, action) from error


def _privilege(name: str) -> None:
    """Switches it on in this process, which must have it."""
    token = w.HANDLE()
    process = api.kernel32.GetCurrentProcess()
    api.checked(api.advapi32.OpenProcessToken(process, _ADJUST | _QUERY, ctypes.byref(token)))
    assert token.value is not None
    try:
        wanted = _Privilege(count=1, attributes=_ENABLED)
        place = ctypes.byref(wanted, _Privilege.name.offset)
        api.checked(api.advapi32.LookupPrivilegeValueW(None, name, place))
        api.checked(api.advapi32.AdjustTokenPrivileges(token, False, ctypes.byref(wanted), 0, None, None))
        if ctypes.get_last_error() == _NOT_ALL:
            raise ctypes.WinError(_NOT_ALL)
    finally:
        api.close(token.value)
