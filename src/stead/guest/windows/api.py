"""Windows' own functions as they are called here, each with its types, and what they say when they fail.

Contract: the libraries' functions have their argument types set once, here. `checked(result)` raises OSError with Windows'
code; `typed(error, path)` is the error of the table for it.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes as w

from stead.guest.windows.names import shown
from stead.protocol.errors import SteadError

assert sys.platform == "win32"

HANDLE = w.HANDLE
INVALID_HANDLE = ctypes.c_void_p(-1).value

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
iphlpapi = ctypes.WinDLL("iphlpapi", use_last_error=True)
ntdll = ctypes.WinDLL("ntdll")

_P = ctypes.c_void_p
_DWORDS = ctypes.POINTER(w.DWORD)

_TYPES: list[tuple[ctypes.WinDLL, str, object, list[object]]] = [
    (kernel32, "CloseHandle", w.BOOL, [HANDLE]),
    (kernel32, "CreateFileW", HANDLE, [w.LPCWSTR, w.DWORD, w.DWORD, _P, w.DWORD, w.DWORD, HANDLE]),
    (kernel32, "ReadFile", w.BOOL, [HANDLE, _P, w.DWORD, _DWORDS, _P]),
    (kernel32, "WriteFile", w.BOOL, [HANDLE, _P, w.DWORD, _DWORDS, _P]),
    (kernel32, "GetOverlappedResult", w.BOOL, [HANDLE, _P, _DWORDS, w.BOOL]),
    (kernel32, "CancelIoEx", w.BOOL, [HANDLE, _P]),
    (kernel32, "DeviceIoControl", w.BOOL, [HANDLE, w.DWORD, _P, w.DWORD, _P, w.DWORD, _DWORDS, _P]),
    (kernel32, "CreateEventW", HANDLE, [_P, w.BOOL, w.BOOL, w.LPCWSTR]),
    (kernel32, "SetEvent", w.BOOL, [HANDLE]),
    (kernel32, "WaitForMultipleObjects", w.DWORD, [w.DWORD, ctypes.POINTER(HANDLE), w.BOOL, w.DWORD]),
    (kernel32, "CreateNamedPipeW", HANDLE, [w.LPCWSTR, *[w.DWORD] * 6, _P]),
    (kernel32, "ConnectNamedPipe", w.BOOL, [HANDLE, _P]),
    (kernel32, "DisconnectNamedPipe", w.BOOL, [HANDLE]),
    (kernel32, "GetFileType", w.DWORD, [HANDLE]),
    (kernel32, "GetFileInformationByHandle", w.BOOL, [HANDLE, _P]),
    (kernel32, "GetFinalPathNameByHandleW", w.DWORD, [HANDLE, w.LPWSTR, w.DWORD, w.DWORD]),
    (kernel32, "CreateJobObjectW", HANDLE, [_P, w.LPCWSTR]),
    (kernel32, "AssignProcessToJobObject", w.BOOL, [HANDLE, HANDLE]),
    (kernel32, "SetInformationJobObject", w.BOOL, [HANDLE, ctypes.c_int, _P, w.DWORD]),
    (kernel32, "TerminateJobObject", w.BOOL, [HANDLE, w.UINT]),
    (kernel32, "OpenProcess", HANDLE, [w.DWORD, w.BOOL, w.DWORD]),
    (kernel32, "GetCurrentProcess", HANDLE, []),
    (kernel32, "GlobalMemoryStatusEx", w.BOOL, [_P]),
    (kernel32, "GetTickCount64", ctypes.c_uint64, []),
    (kernel32, "GetDriveTypeW", w.UINT, [w.LPCWSTR]),
    (kernel32, "GetLogicalDrives", w.DWORD, []),
    (kernel32, "QueryDosDeviceW", w.DWORD, [w.LPCWSTR, w.LPWSTR, w.DWORD]),
    (kernel32, "GetVolumeInformationW", w.BOOL, [w.LPCWSTR, _P, w.DWORD, _P, _P, _DWORDS, w.LPWSTR, w.DWORD]),
    (kernel32, "GetDiskFreeSpaceExW", w.BOOL, [w.LPCWSTR, _P, _P, _P]),
    (kernel32, "LocalFree", _P, [_P]),
    (iphlpapi, "GetAdaptersAddresses", w.ULONG, [w.ULONG, w.ULONG, _P, _P, ctypes.POINTER(w.ULONG)]),
    (advapi32, "OpenProcessToken", w.BOOL, [HANDLE, w.DWORD, ctypes.POINTER(HANDLE)]),
    (advapi32, "LookupPrivilegeValueW", w.BOOL, [w.LPCWSTR, w.LPCWSTR, _P]),
    (advapi32, "AdjustTokenPrivileges", w.BOOL, [HANDLE, w.BOOL, _P, w.DWORD, _P, _P]),
    (advapi32, "InitiateSystemShutdownExW", w.BOOL, [w.LPWSTR, w.LPWSTR, w.DWORD, w.BOOL, w.BOOL, w.DWORD]),
    (
        advapi32,
        "ConvertStringSecurityDescriptorToSecurityDescriptorW",
        w.BOOL,
        [w.LPCWSTR, w.DWORD, ctypes.POINTER(_P), _DWORDS],
    ),
    (advapi32, "OpenSCManagerW", HANDLE, [w.LPCWSTR, w.LPCWSTR, w.DWORD]),
    (advapi32, "OpenServiceW", HANDLE, [HANDLE, w.LPCWSTR, w.DWORD]),
    (
        advapi32,
        "CreateServiceW",
        HANDLE,
        [HANDLE, w.LPCWSTR, w.LPCWSTR, *[w.DWORD] * 4, w.LPCWSTR, w.LPCWSTR, _P, w.LPCWSTR, w.LPCWSTR, w.LPCWSTR],
    ),
    (advapi32, "ChangeServiceConfig2W", w.BOOL, [HANDLE, w.DWORD, _P]),
    (advapi32, "StartServiceW", w.BOOL, [HANDLE, w.DWORD, _P]),
    (advapi32, "ControlService", w.BOOL, [HANDLE, w.DWORD, _P]),
    (advapi32, "QueryServiceStatus", w.BOOL, [HANDLE, _P]),
    (advapi32, "DeleteService", w.BOOL, [HANDLE]),
    (advapi32, "CloseServiceHandle", w.BOOL, [HANDLE]),
    (advapi32, "StartServiceCtrlDispatcherW", w.BOOL, [_P]),
    (advapi32, "RegisterServiceCtrlHandlerExW", HANDLE, [w.LPCWSTR, _P, _P]),
    (advapi32, "SetServiceStatus", w.BOOL, [HANDLE, _P]),
    (ntdll, "NtCreateFile", w.LONG, [_P, w.DWORD, _P, _P, _P, *[w.ULONG] * 4, _P, w.ULONG]),
    (ntdll, "NtSetInformationFile", w.LONG, [HANDLE, _P, _P, w.ULONG, ctypes.c_int]),
    (ntdll, "NtQuerySecurityObject", w.LONG, [HANDLE, w.DWORD, _P, w.ULONG, ctypes.POINTER(w.ULONG)]),
    (ntdll, "NtSetSecurityObject", w.LONG, [HANDLE, w.DWORD, _P]),
    (ntdll, "NtResumeProcess", w.LONG, [HANDLE]),
    (ntdll, "RtlNtStatusToDosError", w.ULONG, [w.LONG]),
]
for _library, _name, _result, _arguments in _TYPES:
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments

_CODES = {
    2: ("not_found", "there is nothing"),
    3: ("not_found", "there is nothing"),
    5: ("permission_denied", "not permitted"),
    19: ("permission_denied", "the disk is read-only"),
    32: ("conflict", "it is in use"),
    33: ("conflict", "it is in use"),
    39: ("disk_full", "no space is left"),
    80: ("already_exists", "it exists already"),
    112: ("disk_full", "no space is left"),
    123: ("path_invalid", "the path cannot be used so"),
    161: ("path_invalid", "the path cannot be used so"),
    183: ("already_exists", "it exists already"),
    206: ("path_invalid", "a name or the path is too long"),
    267: ("not_directory", "it is not a directory"),
    303: ("conflict", "it is being deleted"),
    1314: ("permission_denied", "a privilege is missing"),
}


def checked(result: object) -> int:
    """The result as a number, or OSError with what Windows says."""
    value = getattr(result, "value", result)
    if not value or value == INVALID_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    assert isinstance(value, int)
    return value


def nt(status: int) -> None:
    """Raises OSError for what the kernel refused."""
    if status < 0:
        raise ctypes.WinError(ntdll.RtlNtStatusToDosError(status))


def typed(error: OSError, path: str) -> SteadError:
    """The error of the table."""
    code, words = _CODES.get(error.winerror or 0, ("unavailable", error.strerror or "the system refused"))
    return SteadError(code, f"{shown(path)}: {words}")


def close(handle: int) -> None:
    """Of a handle that is open."""
    kernel32.CloseHandle(handle)
