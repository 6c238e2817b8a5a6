"""inotify of Linux, which Python does not wrap.

Contract: `Inotify()` raises OSError where there is none, or no more. `add(descriptor)` watches an open directory and gives its
number; the same directory has the same number. `read` gives what has happened, and never waits; with all the `pieces` all that
has happened until then is read.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import sys
import termios
from collections.abc import Iterator
from typing import NamedTuple

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ISDIR = 0x40000000
_EXCL_UNLINK = 0x4000000
_ONLYDIR = 0x1000000
MASK = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
    | _EXCL_UNLINK | _ONLYDIR
)  # fmt: skip

_HEAD = struct.Struct("iIII")
_PIECE = 1 << 18
_LONGEST = _HEAD.size + 256

_libc = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """One event; the name is of what is in the directory, empty for the directory itself."""

    number: int
    mask: int
    cookie: int
    name: bytes


class Inotify:
    """One queue of the kernel."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError("this system has no inotify")
        self.descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, descriptor: int) -> int:
        path = b"/proc/self/fd/%d" % descriptor
        return _checked(_libc.inotify_add_watch(self.descriptor, path, ctypes.c_uint32(MASK)))

    def remove(self, number: int) -> None:
        """One that is gone already is gone."""
        _libc.inotify_rm_watch(self.descriptor, number)

    @property
    def pieces(self) -> int:
        """How often there is something to read, however much comes meanwhile."""
        waiting = int.from_bytes(fcntl.ioctl(self.descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
        return -(-waiting // (_PIECE - _LONGEST))

    def read(self) -> Iterator[Event]:
        try:
            data = os.read(self.descriptor, _PIECE)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, cookie, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            yield Event(number, mask, cookie, data[at - length : at].rstrip(b"\0"))

    def close(self) -> None:
        os.close(self.descriptor)


def _checked(found: int) -> int:
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
