"""`stead guest serve`: the guest of a machine that nobody manages, started by hand or by systemd.

    stead guest serve [--config FILE] [--socket PATH | --device PORT | --console PATH | --http HOST:PORT | --stdio]...

Contract: `main(argv)` runs until SIGTERM (with --stdio also until standard input ends). Without a door named it serves the port
of the guest protocol, `org.kvmmanager.agent.0`; its own socket in the run directory is there either way. A configuration that
does not parse stops the start with the reason, and with `WRONG`. A run directory is one guest's at a time. The holder and the
guest are those of every workspace: a guest that dies comes back, and execs live on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import anyio
import msgspec

from stead.guest import configuration, forking, holder, running
from stead.guest.config import SOCKET
from stead.guest.configuration import Configuration
from stead.guest.orders import Door, Orders
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.transport import stdio, unix

START_SECONDS = 30.0
PIECE = 1 << 16
HELP_COLUMNS = 78
"""Told, because finding out the width of a terminal loads a good deal, at each start."""
TOKEN_CHARACTERS = 16
WRONG = 78
"""The exit code for what stays wrong until somebody changes it (EX_CONFIG): to start again is of no use."""


def main(argv: list[str]) -> None:
    """Serves; what stops the start is told on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        given = _configuration(arguments.config)
        found = given or Configuration()
        file = prepare(found, _doors(arguments, found), together=given is not None)
    except (SteadError, OSError) as error:
        print(f"stead guest: {error}", file=sys.stderr)
        sys.exit(WRONG if isinstance(error, SteadError) and error.code in {"invalid", "refused"} else 1)
    _log(found)
    if arguments.stdio:
        _over_stdio(file)
    else:
        holder.main(["--config", str(file)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stead guest serve",
        allow_abbrev=False,
        description=(__doc__ or "").split("\n")[0],
        formatter_class=partial(argparse.HelpFormatter, width=HELP_COLUMNS),
    )
    parser.add_argument("--config", metavar="FILE", help=f"JSON; {configuration.FILE} is read when it is there")
    parser.add_argument("--socket", action="append", default=[], metavar="PATH", help="listen on this unix socket")
    parser.add_argument(
        "--device", action="append", default=[], metavar="PORT", help="a virtio-serial port, by name or path"
    )
    parser.add_argument(
        "--console", action="append", default=[], metavar="PATH", help="a serial line, shared by prefixes"
    )
    parser.add_argument("--http", action="append", default=[], metavar="HOST:PORT", help="the toolbox over HTTP")
    parser.add_argument("--token-file", metavar="FILE", help="the token that HTTP asks for; without it one is made")
    parser.add_argument("--stdio", action="store_true", help="one connection on standard input and output")
    return parser


def _configuration(file: str | None) -> Configuration | None:
    if file is not None:
        return configuration.read(Path(file))
    return configuration.read(configuration.FILE) if configuration.FILE.exists() else None


def _doors(arguments: argparse.Namespace, found: Configuration) -> list[Door]:
    doors = [Door("socket", os.path.abspath(path)) for path in arguments.socket]  # noqa: PTH100
    doors += [Door("device", os.path.abspath(name) if "/" in name else name) for name in arguments.device]  # noqa: PTH100
    doors += [Door("console", os.path.abspath(path)) for path in arguments.console]  # noqa: PTH100
    token = os.path.abspath(arguments.token_file) if arguments.token_file else ""  # noqa: PTH100
    doors += [Door("http", _address(where), token) for where in arguments.http]
    return doors or ([] if arguments.stdio else [Door("device", found.channel_name)])


def _address(where: str) -> str:
    host, colon, port = where.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SteadError("invalid", f"{where!r} is no HOST:PORT")
    return where


def _tokened(door: Door, run: Path) -> Door:
    """A door for HTTP with the file of its token, made now where none is named."""
    if door.kind != "http":
        return door
    if door.token_file:
        if not _long_enough(Path(door.token_file)):
            raise SteadError("invalid", f"{door.token_file}: a token has {TOKEN_CHARACTERS} characters at least")
        return door
    file = run / "http.token"
    if not file.exists() or not _long_enough(file):
        import secrets

        with open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as made:
            made.write(secrets.token_urlsafe(32))
    print(f"stead guest: http://{door.where} with the token in {file}", file=sys.stderr)
    return msgspec.structs.replace(door, token_file=str(file))


def _long_enough(token: Path) -> bool:
    return len(token.read_text().strip()) >= TOKEN_CHARACTERS


def prepare(found: Configuration, doors: list[Door], *, together: bool) -> Path:
    """Writes what holder and guest are told into the run directory. `together`: limits hold for whole doors."""
    run = _run_directory(found.run)
    _take(run)
    doors = [_tokened(door, run) for door in doors]
    orders = Orders(
        doors=tuple(doors),
        policy=found.policy(),
        limits=found.limits(),
        together=together,
        retry_seconds=found.connection_retry_seconds,
        log_level=found.level,
    )
    told = {
        "version": 1,
        "workspace_id": found.name or socket.gethostname() or "machine",
        "root": found.root,
        "run": str(run),
        "isolation": "vm" if found.machine or any(door.kind == "device" for door in doors) else "none",
        "environment": found.environment,
        "guest": msgspec.to_builtins(orders),
    }
    file = run / "config.json"
    file.write_text(json.dumps(told))
    return file


def _run_directory(given: str) -> Path:
    """One that only this user can enter."""
    if given:
        run = Path(given)
    elif os.geteuid() == 0:
        run = Path("/run/stead-guest")
    else:
        run = Path(os.environ.get("XDG_RUNTIME_DIR") or configuration.temporary()) / f"stead-guest-{os.geteuid()}"
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if run.is_symlink() or run.stat().st_uid != os.geteuid():
            raise SteadError("refused", f"{run} belongs to somebody else")
        run.chmod(0o700)
    except OSError as error:
        words = f"{run} cannot be made ({error.strerror}); name a folder for what runs as `run` in the configuration"
        raise SteadError("invalid", words) from None
    return run


def _take(run: Path) -> None:
    """Two in one folder would take each other's socket and execs. It is free again when this process is gone."""
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        words = f"another guest is at work in {run}; name another folder as `run` in the configuration"
        raise SteadError("conflict", words) from None


def _log(found: Configuration) -> None:
    """Standard error goes to the log file; holder and guest inherit it."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if found.log_file:
        descriptor = os.open(found.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o640)
        os.dup2(descriptor, 2)
        os.close(descriptor)


def _over_stdio(file: Path) -> None:
    """The holder as a child of this process, and the guest's socket joined to standard input and output."""
    parent = os.getpid()
    pid = forking.fork((), lambda: _hold_below(parent, file))
    try:
        running.run(_relay, file.parent / SOCKET, pid)
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _hold_below(parent: int, file: Path) -> None:
    """The life of a holder that ends with its parent, however that ends."""
    if sys.platform == "linux":
        from stead.guest import namespaces

        namespaces.end_with(parent)
    holder.main(["--config", str(file)])


async def _relay(path: Path, pid: int) -> None:
    await _join(await stdio.own(), await _connected(path, pid))


async def _connected(path: Path, pid: int) -> Bytes:
    with anyio.fail_after(START_SECONDS):
        while os.waitpid(pid, os.WNOHANG) == (0, 0):  # noqa: ASYNC222 (it does not wait)
            try:
                return await unix.connect(path)
            except SteadError:
                await anyio.sleep(0.01)
    raise SystemExit("stead guest: the holder ended at once")


async def _join(outside: Bytes, guest: Bytes) -> None:
    """Until either side ends."""
    async with anyio.create_task_group() as group:

        async def one_way(source: Bytes, target: Bytes) -> None:
            try:
                while data := await source.read(PIECE):
                    await target.write(data)
            except SteadError:
                pass
            group.cancel_scope.cancel()

        group.start_soon(one_way, outside, guest)
        group.start_soon(one_way, guest, outside)
