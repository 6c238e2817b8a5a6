"""Unix sockets, also where the path is longer than the system's 107 bytes (macOS: 103).

Contract: `connect(path) -> Bytes` ("unavailable" when nobody listens); `serve(path, on_connection)` runs until cancelled,
tells its `task_status` once it listens, makes the socket 0600 and removes it at the end. Each connection has its own task
and is closed when that returns. `by_link` reaches long paths through a link in /tmp, as where there is no /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from stead.protocol.errors import SteadError
from stead.transport.sockets import TransportBytes

LINUX = sys.platform == "linux"
SEND_BYTES = 512 << 10
"""What the system may hold of what was written."""
FULL_SECONDS = 5.0
"""How long a listener may be too busy to take one more."""
AGAIN_SECONDS = 0.005
PATH_BYTES = 107 if LINUX else 103

log = logging.getLogger(__name__)

OnConnection = Callable[[TransportBytes], Awaitable[None]]


async def connect(path: str | Path, *, by_link: bool = not LINUX) -> TransportBytes:
    """A connection to whoever listens there."""
    try:
        return await over(await _connected(Path(path), by_link))
    except OSError as error:
        raise SteadError("unavailable", f"cannot connect to {Path(path).name}: {error.strerror or error}") from None


async def _connected(path: Path, by_link: bool) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        with _address(path, by_link) as address:
            await _reach(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def _reach(connection: socket.socket, address: str) -> None:
    """A listener whose queue is full is asked again for a while: the system tells that at once, but not when there is room."""
    with anyio.move_on_after(FULL_SECONDS):
        while True:
            try:
                connection.connect(address)
                return
            except BlockingIOError:
                await anyio.sleep(AGAIN_SECONDS)
    raise OSError(errno.EAGAIN, "too many wait for it already")


async def over(connection: socket.socket) -> TransportBytes:
    """`Bytes` over a connected socket, such as half of a socketpair."""
    connection.setblocking(False)
    _make_room(connection.fileno())
    _, stream = await asyncio.get_running_loop().create_unix_connection(TransportBytes, sock=connection)
    return stream


async def serve(
    path: str | Path,
    on_connection: OnConnection,
    *,
    by_link: bool = not LINUX,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listens until cancelled."""
    listener = _listen(Path(path), by_link)
    try:
        async with anyio.create_task_group() as group:

            def connected(stream: TransportBytes) -> None:
                _make_room(stream.descriptor)
                group.start_soon(_attend, on_connection, stream)

            server = await asyncio.get_running_loop().create_unix_server(
                lambda: TransportBytes(connected), sock=listener
            )
            try:
                task_status.started()
                await anyio.sleep_forever()
            finally:
                server.close()
                group.cancel_scope.cancel()
    finally:
        listener.close()
        Path(path).unlink(missing_ok=True)


def _make_room(descriptor: int) -> None:
    """A large frame fits in whole, so that it takes one write; the system gives as much as it allows."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)


def _listen(path: Path, by_link: bool) -> socket.socket:
    """The socket has its name only once it listens: whoever finds it can connect."""
    unnamed = path.with_name(path.name + ".new")
    unnamed.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(unnamed, by_link) as address:
            listener.bind(address)
        unnamed.chmod(0o600)
        listener.listen(128)
        unnamed.replace(path)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def _attend(on_connection: OnConnection, stream: TransportBytes) -> None:
    try:
        await on_connection(stream)
    except SteadError as error:
        log.info("a connection ended: %s: %s", error.code, error.message)
    except Exception:
        log.exception("a connection failed")
    finally:
        await stream.close()


@contextlib.contextmanager
def _address(path: Path, by_link: bool) -> Iterator[str]:
    """An address short enough for the system: through a descriptor of the directory or a link to it where needed."""
    if len(os.fsencode(path)) <= PATH_BYTES:
        yield str(path)
        return
    if by_link:
        with _linked(path) as address:
            yield address
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextlib.contextmanager
def _linked(path: Path) -> Iterator[str]:
    """Through a link in a private directory; only the binding or connecting needs it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="stead-", dir="/tmp") as folder:
        Path(folder, "d").symlink_to(path.parent.absolute())
        yield f"{folder}/d/{path.name}"
