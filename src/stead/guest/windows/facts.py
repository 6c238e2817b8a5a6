"""What Windows tells of itself: version, memory, uptime, interfaces, disks.

Contract: `info()`, `network()` and `disks()` with the results of the toolbox. Interfaces have the names that people gave them;
disks are drives with a letter and a size, and of one on another machine nothing is measured.
"""

from __future__ import annotations

import ctypes
import os
import socket
import string
import sys
import time
import winreg
from collections.abc import Iterator
from ctypes import wintypes as w

from stead.guest.windows import api
from stead.protocol.errors import SteadError
from stead.toolbox.system.contract import Disks, Filesystem, Interface, Network, SystemInfo

assert sys.platform == "win32"

_VERSION = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
_PROCESSOR = "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0"
_ELEVEN = 22000
"""The first build of Windows 11, whose registry still says 10."""
_ARCHITECTURES = {"AMD64": "x86_64", "ARM64": "aarch64"}
_SKIP_OTHERS = 0xE
_TOO_SMALL, _NO_DATA = 111, 232
_LOOPBACK = 24
_STATES = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notpresent", 7: "lowerlayerdown"}
_REMOTE = 4
_MEASURED = {2, 3, 6}
_READ_ONLY = 0x80000
_WORD = ctypes.c_void_p


class _Memory(ctypes.Structure):
    _fields_ = [
        ("length", w.DWORD),
        ("load", w.DWORD),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    ]


class _Address(ctypes.Structure):
    _fields_ = [("address", _WORD), ("size", ctypes.c_int)]


class _Unicast(ctypes.Structure):
    """IP_ADAPTER_UNICAST_ADDRESS."""

    _fields_ = [
        ("head", ctypes.c_uint64),
        ("next", _WORD),
        ("address", _Address),
        ("origins", ctypes.c_int * 3),
        ("lifetimes", w.ULONG * 3),
        ("prefix", ctypes.c_uint8),
    ]


class _Adapter(ctypes.Structure):
    """The beginning of IP_ADAPTER_ADDRESSES."""

    _fields_ = [
        ("head", ctypes.c_uint64),
        ("next", _WORD),
        ("name", _WORD),
        ("unicast", _WORD),
        ("others", _WORD * 3),
        ("suffix", w.LPWSTR),
        ("description", w.LPWSTR),
        ("friendly", w.LPWSTR),
        ("mac", ctypes.c_uint8 * 8),
        ("mac_length", w.ULONG),
        ("flags", w.ULONG),
        ("mtu", w.ULONG),
        ("type", w.ULONG),
        ("state", ctypes.c_int),
    ]


def info() -> SystemInfo:
    """From the registry and the kernel."""
    version = sys.getwindowsversion()
    memory, uptime = _memory(), api.kernel32.GetTickCount64() / 1000
    number = f"{version.major}.{version.minor}.{version.build}"
    return SystemInfo(
        os_id="windows",
        os_name=_name(version.build),
        os_version=_registered("DisplayVersion") or _registered("ReleaseId") or number,
        kernel=number,
        hostname=socket.gethostname(),
        architecture=_architecture(),
        cpu_count=os.cpu_count() or 1,
        cpu_model=_registered("ProcessorNameString", _PROCESSOR).strip(),
        memory_total_bytes=memory.total,
        memory_available_bytes=memory.free,
        uptime_seconds=uptime,
        boot_time=time.time() - uptime,
        load=[],
    )


def _architecture() -> str:
    """As other systems call it; asked of the environment, for the standard library asks WMI."""
    told = os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE", "")
    return _ARCHITECTURES.get(told, told.lower())


def _memory() -> _Memory:
    memory = _Memory(length=ctypes.sizeof(_Memory))
    api.checked(api.kernel32.GlobalMemoryStatusEx(ctypes.byref(memory)))
    return memory


def _name(build: int) -> str:
    name = _registered("ProductName") or "Windows"
    return name.replace("Windows 10", "Windows 11") if build >= _ELEVEN else name


def _registered(name: str, key: str = _VERSION) -> str:
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return str(winreg.QueryValueEx(opened, name)[0])
    except OSError:
        return ""


# --- network -------------------------------------------------------------------------------------------------------------


def network() -> Network:
    """All interfaces, also those that are down."""
    size = w.ULONG(1 << 15)
    code, buffer = _TOO_SMALL, ctypes.create_string_buffer(0)
    for _ in range(5):
        buffer = ctypes.create_string_buffer(size.value)
        code = api.iphlpapi.GetAdaptersAddresses(0, _SKIP_OTHERS, None, buffer, ctypes.byref(size))
        if code != _TOO_SMALL:
            break
    if code == _NO_DATA:
        return Network(interfaces=[])
    if code:
        raise SteadError("unavailable", f"Windows tells nothing about the network: {ctypes.FormatError(code)}")
    return Network(interfaces=[_interface(each) for each in _chain(ctypes.addressof(buffer), _Adapter)])


def _chain(at: int | None, kind: type[_Adapter] | type[_Unicast]) -> Iterator[_Adapter | _Unicast]:
    """The structures of a list, each of which names the next."""
    while at:
        found = kind.from_address(at)
        yield found
        at = found.next


def _interface(adapter: _Adapter | _Unicast) -> Interface:
    assert isinstance(adapter, _Adapter)
    addresses = [_address(each) for each in _chain(adapter.unicast, _Unicast)]
    return Interface(
        name=adapter.friendly or "",
        state=_STATES.get(adapter.state, "unknown"),
        mtu=adapter.mtu,
        mac=bytes(adapter.mac[: adapter.mac_length]).hex(":") if adapter.mac_length == 6 else "",
        ipv4=[text for family, text in addresses if family == socket.AF_INET],
        ipv6=[text for family, text in addresses if family == socket.AF_INET6],
        loopback=adapter.type == _LOOPBACK,
    )


def _address(unicast: _Adapter | _Unicast) -> tuple[int, str]:
    """Its family, and the text with the prefix."""
    assert isinstance(unicast, _Unicast)
    raw = ctypes.string_at(unicast.address.address, unicast.address.size)
    family = int.from_bytes(raw[:2], "little")
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return family, ""
    data = raw[4:8] if family == socket.AF_INET else raw[8:24]
    return family, f"{socket.inet_ntop(family, data)}/{unicast.prefix}"


# --- disks ---------------------------------------------------------------------------------------------------------------


def disks() -> Disks:
    """Drives with a letter and a size."""
    bits = api.kernel32.GetLogicalDrives()
    letters = [letter for number, letter in enumerate(string.ascii_uppercase) if bits >> number & 1]
    found = [measured for letter in letters if (measured := _drive(letter)) is not None]
    return Disks(filesystems=found)


def _drive(letter: str) -> Filesystem | None:
    root = f"{letter}:\\"
    kind = api.kernel32.GetDriveTypeW(root)
    if kind == _REMOTE:
        return _filesystem(root, _device(letter), "", (0, 0, 0), read_only=False, remote=True)
    if kind not in _MEASURED:
        return None
    flags, name = w.DWORD(), ctypes.create_unicode_buffer(64)
    free, total, unused = (ctypes.c_uint64() for _ in range(3))
    told = api.kernel32.GetVolumeInformationW(root, None, 0, None, None, ctypes.byref(flags), name, len(name))
    sizes = [ctypes.byref(each) for each in (free, total, unused)]
    if not told or not api.kernel32.GetDiskFreeSpaceExW(root, *sizes) or not total.value:
        return None
    numbers = (total.value, total.value - unused.value, free.value)
    read_only = bool(flags.value & _READ_ONLY)
    return _filesystem(root, _device(letter), name.value, numbers, read_only=read_only, remote=False)


def _filesystem(
    root: str, device: str, kind: str, numbers: tuple[int, int, int], *, read_only: bool, remote: bool
) -> Filesystem:
    total, used, available = numbers
    return Filesystem(
        mount_point=root,
        device=device,
        type=kind,
        total_bytes=total,
        used_bytes=used,
        available_bytes=available,
        used_percent=-(-100 * used // (used + available)) if used + available else 0,
        read_only=read_only,
        remote=remote,
    )


def _device(letter: str) -> str:
    text = ctypes.create_unicode_buffer(1024)
    return text.value if api.kernel32.QueryDosDeviceW(f"{letter}:", text, len(text)) else ""
