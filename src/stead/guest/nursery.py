"""The nursery: `python -m stead.guest.nursery --socket FD [--hidden]`. It has loaded all a holder needs, and forks holders.

Contract: one JSON object a message on the socket (SOCK_SEQPACKET), with descriptors: the holder's log, a socket on which is
told what becomes of it, and any number of `cgroup.procs` files to join. The fields are those of `Request`. Told are, one a
message, `in` (by the holder, where it belongs, with everything dropped that is to be), `failed WHY`, and `ready` (by its first
guest). First of all the nursery says `{"version", "pid"}` on its own socket. It ends with that; what it has forked lives
on. A request of another version is not answered: its socket is closed.

A sandboxed holder is process 1 of a process namespace that is made for it. It lets bubblewrap make everything else around a
program that waits, enters that program's namespaces, and lets it go. The nursery itself must be in a file system where all
is read-only: the holder's program, and so every way to it that the workspace may find, is a file of that file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any

from stead.guest import forking, holder, namespaces
from stead.toolbox.holding import spawn

VERSION = 1
REQUEST_BYTES = 1 << 18
DESCRIPTORS = 16
WAITS = "echo $$ && read -r _"
"""What bubblewrap runs: it tells its number and waits to be let go."""
SHELL = "/bin/sh"


class Request:
    """`command`: what the holder calls itself, ending with its configuration; `sandbox`: bubblewrap's arguments without the
    program it is to run, empty for a plain holder; `user`: what uid and gid are called inside, where that differs."""

    def __init__(self, fields: dict[str, Any], descriptors: list[int]) -> None:
        self.command: list[str] = fields["command"]
        self.environment: dict[str, str] = fields["environment"]
        self.directory: str = fields["directory"]
        self.sandbox: list[str] = fields["sandbox"]
        self.user: list[int] = fields["user"]
        self.log, self.told, *self.groups = descriptors
        self.descriptors = descriptors


def main(argv: list[str]) -> None:
    """Serves until the socket closes."""
    spawn.keep_descriptors()
    connection = socket.socket(fileno=int(argv[1]))
    if "--hidden" in argv:
        namespaces.hide()
    namespaces.adopt()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    forking.load_holders()
    with contextlib.suppress(ConnectionError):
        connection.send(json.dumps({"version": VERSION, "pid": os.getpid()}).encode())
        while (message := _receive(connection)) is not None:
            _serve(*message)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return (json.loads(data), descriptors) if data else None


def _serve(fields: dict[str, Any], descriptors: list[int]) -> None:
    try:
        if fields["version"] == VERSION:
            request = Request(fields, descriptors)
            (_bear_sandboxed if request.sandbox else _bear)(request)
    except OSError as error:
        _tell(descriptors[1], f"failed {error}")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _bear(request: Request) -> None:
    forking.fork(request.descriptors, lambda: _live(request))


def _bear_sandboxed(request: Request) -> None:
    """In a user namespace nobody comes back from sending children elsewhere: then a child does it, which ends at once."""
    if not request.user:
        _bear_elsewhere(request)
    elif os.fork() == 0:
        try:
            namespaces.leave_pids()
            _bear(request)
        except OSError as error:
            _tell(request.told, f"failed {error}")
        finally:
            os._exit(0)


def _bear_elsewhere(request: Request) -> None:
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.leave_pids()
        try:
            _bear(request)
        finally:
            _come_back(own)
    finally:
        os.close(own)


def _come_back(own: int) -> None:
    """Or ends: who is lost can bear nobody any more, and another nursery is started."""
    try:
        namespaces.return_pids(own)
    except OSError as error:
        sys.exit(f"stead nursery: {error}")


def _live(request: Request) -> None:
    """The life of a holder, in order: nothing runs before the control groups are joined, no holder before all is dropped."""
    try:
        for group in request.groups:
            os.write(group, b"0")
            os.close(group)
        os.dup2(request.log, 1)
        os.dup2(request.log, 2)
        os.close(request.log)
        forking.rename("stead-holder", lambda line: b"".join(os.fsencode(word) + b"\0" for word in request.command))
        os.environ.clear()
        os.environ.update(request.environment)
        if request.sandbox:
            _enter(request)
        os.chdir(request.directory)
    except OSError as error:
        _tell(request.told, f"failed {error}")
        raise
    _tell(request.told, "in")
    holder.hold(request.command[-1], request.told)


def _enter(request: Request) -> None:
    """Into what bubblewrap makes. Its own processes are gone before anything of the workspace runs: they see more than it."""
    end, heard = os.pipe()
    answer, told = os.pipe()
    bubblewrap = _make(request, end, told)
    os.close(end)
    os.close(told)
    words = _line(answer)
    if not words.isdigit():
        os.waitpid(bubblewrap, 0)
        raise OSError(words.decode(errors="replace") or "bubblewrap says nothing")
    namespaces.enter(int(words))
    os.close(heard)
    os.close(answer)
    _collect(bubblewrap)
    if request.user:
        namespaces.own_user(*request.user)
    namespaces.drop_privileges()
    namespaces.hide()


def _make(request: Request, stdin: int, stdout: int) -> int:
    """What goes wrong is told where the number would be."""
    pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        os.set_inheritable(pids, True)
        program, *options = request.sandbox
        return os.posix_spawn(
            program,
            [program, "--pidns", str(pids), *options, "--", SHELL, "-c", WAITS],
            request.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0), *((os.POSIX_SPAWN_DUP2, stdout, out) for out in (1, 2))],
        )
    finally:
        os.close(pids)


def _line(pipe: int) -> bytes:
    """The last line that is told, until it is a number."""
    told = b""
    while piece := os.read(pipe, 4096):
        told += piece
        if told.endswith(b"\n") and told.split()[-1].isdigit():
            break
    return told.strip().rpartition(b"\n")[2]


def _collect(bubblewrap: int) -> None:
    """Until no child is left: also those of bubblewrap that lost their parent."""
    os.waitpid(bubblewrap, 0)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _tell(told: int, message: str) -> None:
    """Whoever asked may be gone."""
    with contextlib.suppress(OSError):
        os.write(told, message.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
