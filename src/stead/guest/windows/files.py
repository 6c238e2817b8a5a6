"""Files of Windows, confined to places by handles: each name is opened from the handle of the directory before it.

Contract: `read`, `write` and `check_directory` as in `face`. With places, no link or junction below a place is followed, and
the opened handle is asked where it is before anything is done with it. Without places, links lead where the system lets them. A
write is a new file that takes the old one's place and its permissions, or nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import msvcrt
import os
import secrets
import sys
from collections.abc import Iterator
from ctypes import wintypes as w

from stead.guest.windows import api, names
from stead.guest.windows.face import Places
from stead.protocol.errors import SteadError

assert sys.platform == "win32"

_READ, _WRITE, _TRAVERSE = 0x120089, 0x120116, 0x1200A1
_DELETE, _READ_CONTROL, _WRITE_DAC = 0x10000, 0x20000, 0x40000
_ADD = 0x6
_SHARED = 7
_OPEN, _CREATE, _OPEN_IF = 1, 2, 3
_DIRECTORY, _SYNCHRONOUS, _FILE, _BACKUP, _NO_LINKS = 0x1, 0x20, 0x40, 0x4000, 0x200000
_CASE = 0x40
_READ_ONLY, _IS_DIRECTORY, _IS_LINK = 0x1, 0x10, 0x400
_DISK = 1
_BASIC, _RENAME, _DISPOSITION = 4, 10, 13
_DACL = 4


class _Text(ctypes.Structure):
    _fields_ = [("length", w.USHORT), ("maximum", w.USHORT), ("buffer", w.LPWSTR)]


class _Object(ctypes.Structure):
    _fields_ = [
        ("length", w.ULONG),
        ("root", w.HANDLE),
        ("name", ctypes.POINTER(_Text)),
        ("attributes", w.ULONG),
        ("security", ctypes.c_void_p),
        ("quality", ctypes.c_void_p),
    ]


class _Block(ctypes.Structure):
    _fields_ = [("status", ctypes.c_void_p), ("information", ctypes.c_void_p)]


class _Information(ctypes.Structure):
    _fields_ = [
        ("attributes", w.DWORD),
        ("times", w.FILETIME * 3),
        ("volume", w.DWORD),
        ("size_high", w.DWORD),
        ("size_low", w.DWORD),
        ("links", w.DWORD),
        ("index", w.DWORD * 2),
    ]


class _Times(ctypes.Structure):
    """FILE_BASIC_INFORMATION; a time of 0 stays as it is."""

    _fields_ = [("times", ctypes.c_int64 * 4), ("attributes", w.ULONG)]


class _Rename(ctypes.Structure):
    _fields_ = [("replace", ctypes.c_ubyte), ("root", w.HANDLE), ("length", w.ULONG), ("name", w.WCHAR * 256)]


def read(path: str, places: Places, limit: int) -> tuple[bytes, int]:
    """The first bytes of a file, and its size."""
    with _errors(path), _located(path, places, parents=False) as (directory, name):
        if not name:
            raise _kind("is_directory", path)
        handle = _open(directory, name, _READ, options=_SYNCHRONOUS | _links(places))
        try:
            size = _size(handle, path, places)
            if places is not None:
                _check_inside(final(directory), final(handle), [name], path)
        except BaseException:
            api.close(handle)
            raise
        descriptor = msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
            return _all(file.read, limit), size


def write(path: str, places: Places, content: bytes, mode: int | None, parents: bool) -> None:
    """Replaces it atomically."""
    with _errors(path), _located(path, places, parents=parents) as (directory, name):
        permissions = _permissions(directory, name, path)
        partial = f".stead-{secrets.token_hex(8)}.tmp"
        access = _WRITE | _DELETE | _WRITE_DAC
        handle = _open(directory, partial, access, how=_CREATE, options=_SYNCHRONOUS | _FILE | _NO_LINKS)
        try:
            _fill(handle, content)
            if permissions is not None:
                api.nt(api.ntdll.NtSetSecurityObject(handle, _DACL, permissions))
            _rename(handle, directory, name)
            if mode is not None and not mode & 0o200:
                _set(handle, _BASIC, _Times(attributes=_READ_ONLY))
        except BaseException:
            with contextlib.suppress(OSError):
                _set(handle, _DISPOSITION, ctypes.c_ubyte(1))
            raise
        finally:
            api.close(handle)


def check_directory(path: str, places: Places) -> None:
    """Raises where a command cannot run."""
    with _errors(path), _located(path, places, parents=False) as (directory, name):
        if name:
            api.close(_open(directory, name, _TRAVERSE, options=_SYNCHRONOUS | _DIRECTORY | _links(places)))


def exists(path: str) -> bool:
    """Whether a file is there that may be a program."""
    return os.path.isfile(path)  # noqa: PTH113


def final(handle: int) -> str:
    """Where an open handle is, every link followed."""
    text = ctypes.create_unicode_buffer(32_768)
    api.checked(api.kernel32.GetFinalPathNameByHandleW(handle, text, len(text), 0))
    return text.value


# --- the way to a file ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _located(path: str, places: Places, *, parents: bool) -> Iterator[tuple[int, str]]:
    """The handle of the directory that a path is in, and the last name; no name for the root of a drive."""
    base, rest = _base(path, places)
    opened = [_open(None, f"\\??\\{base}", _TRAVERSE, options=_SYNCHRONOUS | _DIRECTORY)]
    try:
        root = final(opened[0])
        for name in rest[:-1]:
            opened.append(_step(opened[-1], name, places, parents=parents))
        if places is not None:
            _check_inside(root, final(opened[-1]), rest[:-1], path)
        yield opened[-1], rest[-1] if rest else ""
    finally:
        for handle in reversed(opened):
            api.close(handle)


def _base(path: str, places: Places) -> tuple[str, list[str]]:
    """A directory that is there, and the names from it; the place itself is the first, for it may be a file, or be made."""
    if places is None:
        drive, below = names.parts(path)
        return drive, below
    for place in places:
        rest = names.below(place, path)
        if rest is not None:
            drive, above = names.parts(place)
            return drive + "\\".join(above[:-1]), [*above[-1:], *rest]
    raise SteadError("refused", f"{names.shown(path)}: the policy of this guest does not permit this place")


def _step(directory: int, name: str, places: Places, *, parents: bool) -> int:
    options = _SYNCHRONOUS | _DIRECTORY | _links(places)
    if parents:
        handle = _open(directory, name, _TRAVERSE | _ADD, how=_OPEN_IF, options=options)
    else:
        handle = _open(directory, name, _TRAVERSE, options=options)
    if places is not None and _information(handle).attributes & _IS_LINK:
        api.close(handle)
        raise SteadError("path_outside", f"{name}: links are not followed here")
    return handle


def _check_inside(root: str, found: str, rest: list[str], path: str) -> None:
    """What was opened is where its names say, below the directory that the way began at."""
    wanted = "\\".join([root.rstrip("\\"), *rest])
    if found.rstrip("\\").upper() != wanted.upper():
        raise SteadError("path_outside", f"{names.shown(path)}: the path leads out of its place")


def _links(places: Places) -> int:
    return 0 if places is None else _NO_LINKS


def _open(directory: int | None, name: str, access: int, *, how: int = _OPEN, options: int) -> int:
    """One name, from the handle of its directory."""
    size = len(name.encode("utf-16-le"))
    text = _Text(size, size + 2, name)
    wanted = _Object(ctypes.sizeof(_Object), directory, ctypes.pointer(text), _CASE, None, None)
    handle, block = w.HANDLE(), _Block()
    status = api.ntdll.NtCreateFile(
        ctypes.byref(handle),
        access,
        ctypes.byref(wanted),
        ctypes.byref(block),
        None,
        0x80,
        _SHARED,
        how,
        options | _BACKUP,
        None,
        0,
    )
    api.nt(status)
    assert handle.value is not None
    return handle.value


# --- what is done with it ------------------------------------------------------------------------------------------------


def _information(handle: int) -> _Information:
    found = _Information()
    api.checked(api.kernel32.GetFileInformationByHandle(handle, ctypes.byref(found)))
    return found


def _size(handle: int, path: str, places: Places) -> int:
    """Of a regular file."""
    if api.kernel32.GetFileType(handle) != _DISK:
        raise _kind("not_file", path)
    found = _information(handle)
    if found.attributes & _IS_DIRECTORY:
        raise _kind("is_directory", path)
    if places is not None and found.attributes & _IS_LINK:
        raise SteadError("path_outside", f"{names.shown(path)}: links are not followed here")
    return int(found.size_high << 32 | found.size_low)


def _permissions(directory: int, name: str, path: str) -> ctypes.Array[ctypes.c_char] | None:
    """Those of the file that is to be replaced; None when there is none."""
    if not name:
        raise _kind("is_directory", path)
    try:
        handle = _open(directory, name, _READ_CONTROL | 0x100080, options=_SYNCHRONOUS | _NO_LINKS)
    except OSError as error:
        if error.winerror in {2, 3}:
            return None
        raise
    try:
        if _information(handle).attributes & _IS_DIRECTORY:
            raise _kind("is_directory", path)
        needed = w.ULONG()
        api.ntdll.NtQuerySecurityObject(handle, _DACL, None, 0, ctypes.byref(needed))
        found = ctypes.create_string_buffer(needed.value)
        api.nt(api.ntdll.NtQuerySecurityObject(handle, _DACL, found, len(found), ctypes.byref(needed)))
        return found
    finally:
        api.close(handle)


def _fill(handle: int, content: bytes) -> None:
    done, at = w.DWORD(), 0
    while at < len(content):
        piece = content[at : at + (1 << 20)]
        api.checked(api.kernel32.WriteFile(handle, piece, len(piece), ctypes.byref(done), None))
        at += done.value


def _rename(handle: int, directory: int, name: str) -> None:
    _set(handle, _RENAME, _Rename(1, directory, len(name.encode("utf-16-le")), name))


def _set(handle: int, kind: int, value: ctypes.Structure | ctypes.c_ubyte) -> None:
    block = _Block()
    size = ctypes.sizeof(value)
    api.nt(api.ntdll.NtSetInformationFile(handle, ctypes.byref(block), ctypes.byref(value), size, kind))


def _all(read: object, limit: int) -> bytes:
    assert callable(read)
    kept = bytearray()
    while len(kept) < limit and (piece := read(limit - len(kept))):
        kept += piece
    return bytes(kept)


def _kind(code: str, path: str) -> SteadError:
    words = {"is_directory": "it is a directory", "not_file": "it is not a regular file"}
    return SteadError(code, f"{names.shown(path)}: {words[code]}")


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turns what Windows says into errors of the table."""
    try:
        yield
    except OSError as error:
        raise api.typed(error, path) from error
