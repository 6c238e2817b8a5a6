"""What a process asks the kernel of Linux for itself: other namespaces, and to be less.

Contract: each function acts on the calling process and raises OSError when the kernel refuses. `leave_pids` sends the next
children into a new process namespace, `return_pids` into our own again; `enter` takes the file system, the names, the IPC and
the control groups of another process; `own_user` makes a user namespace in which this process is the one user there is;
`drop_privileges` cannot be undone; `hide` keeps every process that is not more privileged from reading this one's memory,
program and descriptors; `end_with` has it end in order when its parent is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID = 0x10000000, 0x20000000
_SET_DUMPABLE, _DROP_BOUNDING, _NO_NEW_PRIVILEGES, _AMBIENT, _CHILD_SUBREAPER = 4, 24, 38, 47, 36
_CLEAR_AMBIENT = 4
_PARENT_DEATH_SIGNAL = 1
_CAPABILITIES_3 = 0x20080522
_CAPABILITIES = 64
"""More than any kernel knows."""

_c = ctypes.CDLL(None, use_errno=True)


def leave_pids() -> None:
    """Children of this process are born into a new process namespace, the first one as its process 1."""
    _check(_c.unshare(_NEWPID))


def return_pids(own: int) -> None:
    """`own` is a descriptor of /proc/self/ns/pid. Only for who has the capability in the machine's own user namespace."""
    _check(_c.setns(own, _NEWPID))


def enter(pid: int) -> None:
    """Goes where this process is, but for its process namespace."""
    descriptor = os.pidfd_open(pid)
    try:
        _check(_c.setns(descriptor, _NEWNS | _NEWUTS | _NEWIPC | _NEWCGROUP))
    finally:
        os.close(descriptor)


def own_user(uid: int, gid: int) -> None:
    """Is called `uid` and `gid` from now on; nobody else exists."""
    inside = os.getuid(), os.getgid()
    _check(_c.unshare(_NEWUSER))
    for file, text in ("setgroups", "deny"), ("uid_map", f"{uid} {inside[0]} 1"), ("gid_map", f"{gid} {inside[1]} 1"):
        descriptor = os.open(f"/proc/self/{file}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def drop_privileges() -> None:
    """No capability is left, and no program started from here can gain one."""
    for capability in range(_CAPABILITIES):
        if _c.prctl(_DROP_BOUNDING, capability, 0, 0, 0) != 0:
            break
    _check(_c.prctl(_AMBIENT, _CLEAR_AMBIENT, 0, 0, 0))
    _check(_c.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    _check(_c.capset(header, none))


def hide() -> None:
    """Also the children that are forked from here; a program that is started is no longer hidden."""
    _check(_c.prctl(_SET_DUMPABLE, 0, 0, 0, 0))


def end_with(parent: int) -> None:
    """SIGTERM comes when the parent is gone; now when it is gone already."""
    _check(_c.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0))
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def adopt() -> None:
    """Orphans of this process's descendants become its children."""
    _check(_c.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
