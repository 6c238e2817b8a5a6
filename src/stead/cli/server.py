"""`stead up`, `serve`, `status`, `backup`, `restore`: the control plane itself. It is loaded only to be run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stead.cli import kept, output
from stead.cli.context import Context
from stead.cli.words import Namespace, Parser, Verb
from stead.protocol.errors import SteadError
from stead.sdk.config import data_directory, local_server

if TYPE_CHECKING:
    from stead.control.settings import ServerSettings

WRONG_SETTINGS = 2
KEEPER_SECONDS = 5.0
FLAGS = (
    "host",
    "port",
    "public_url",
    "database_url",
    "behind_proxy",
    "tls_certificate",
    "tls_key",
    "approve_nodes",
    "mode",
    "log_level",
    "web",
)


def up(context: Context, arguments: Namespace) -> int:
    """Control plane and embedded node."""
    return _serve(context, arguments, stop_workspaces=arguments.stop_workspaces)


def serve(context: Context, arguments: Namespace) -> int:
    """The control plane alone."""
    return _serve(context, arguments, mode="remote")


async def status(context: Context, arguments: Namespace) -> int:
    """0 when it answers and its database does."""
    target = context.target
    local = local_server(Path(context.data).expanduser() if context.data else data_directory())
    known: dict[str, Any] = {"url": target.url, "source": target.source}
    if local is not None and local.url == target.url:
        known["pid"] = local.pid
    async with context.stead(patience=arguments.wait) as stead:
        health = await stead.health()
        version = await stead.version()
    known |= {
        "status": health.status,
        "database": health.database,
        "version": version.version,
        "protocol": version.protocol,
    }
    context.out.facts(known, {key: str(value) for key, value in known.items()})
    return 0


def backup(context: Context, arguments: Namespace) -> None:
    """Also while the server runs."""
    from stead.control.store.backup import backup as copy

    target = Path(arguments.file)
    copy(_database(context), target)
    context.out.facts({"file": str(target)}, {"file": f"{target} ({output.amount(target.stat().st_size)})"})


def restore(context: Context, arguments: Namespace) -> None:
    """Only while no server runs on the data."""
    from stead.control.files import LOCK, Lock
    from stead.control.store.backup import restore as put_back

    file = _database(context)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Lock(file.parent / LOCK)
    if not lock.take():
        raise SteadError("conflict", f"a server runs on {file.parent}; stop it first")
    try:
        put_back(Path(arguments.file), file)
    finally:
        lock.release()
    context.out.facts({"database": str(file)}, {"database": str(file)})


def _serve(context: Context, arguments: Namespace, *, stop_workspaces: bool = False, mode: str = "") -> int:
    from stead.control.settings import SettingsError

    try:
        settings = _settings(context, arguments, mode)
    except SettingsError as error:
        for problem in error.problems:
            context.out.note(f"stead: {problem}")
        return WRONG_SETTINGS
    from stead.control.serve import run

    def say(text: str) -> None:
        if context.out.json:
            context.out.row(said(text))
        else:
            output.write(f"{text}\n")

    with _keeper(settings.folder):
        return run(settings, stop_workspaces=stop_workspaces, say=say)


def said(text: str) -> dict[str, str]:
    """What the server says to a person, for a program: where it serves, how to log in, or another message."""
    _, mark, address = text.partition("http")
    if not mark or " " in address:
        return {"message": text}
    return {"login" if "/login#" in address else "url": mark + address}


@contextmanager
def _keeper(data: Path) -> Iterator[None]:
    """The kept process makes the command line fast on this machine; it loads beside the server and ends with it."""
    if sys.platform != "linux" or os.environ.get(kept.OFF) == "0":
        yield
        return
    argv = [sys.executable, "-m", "stead.cli.keeper", str(data)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(KEEPER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(context: Context, arguments: Namespace, mode: str = "") -> ServerSettings:
    from stead.control.settings import load

    flags = {name: getattr(arguments, name, None) for name in FLAGS} | {"data": context.data or None}
    if mode:
        flags["mode"] = mode
    return load(Path(arguments.config) if arguments.config else None, os.environ, flags)


def _database(context: Context) -> Path:
    """The database file of the data directory."""
    from stead.control.settings import load
    from stead.control.store.store import FILE

    settings = load(None, os.environ, {"data": context.data or None})
    if settings.database_url:
        raise SteadError("invalid", "this server keeps its state in PostgreSQL; use pg_dump and pg_restore")
    return settings.folder / FILE


def _serve_arguments(parser: Parser) -> None:
    yes = {"action": "store_true", "default": None}
    parser.add_argument("--port", type=int, help="the port to listen on (7300; 0: any free one)")
    parser.add_argument("--host", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--config", default="", metavar="FILE", help="a TOML file with settings")
    parser.add_argument("--public-url", metavar="URL", help="how browsers and nodes reach it")
    parser.add_argument("--database-url", metavar="URL", help="postgresql://... without a password (SQLite)")
    parser.add_argument("--behind-proxy", help="something in front terminates TLS", **yes)  # type: ignore[arg-type]
    parser.add_argument("--tls-certificate", metavar="FILE", help="certificate chain (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="private key (PEM)")
    parser.add_argument("--approve-nodes", help="new nodes wait for an administrator", **yes)  # type: ignore[arg-type]
    parser.add_argument("--web", metavar="DIR", help="the built web app")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], help="what the log tells (info)")


def _up_arguments(parser: Parser) -> None:
    _serve_arguments(parser)
    parser.add_argument(
        "--mode", choices=["local", "remote", "scripted"], help="the embedded node: real, none, or a fake"
    )
    parser.add_argument("--stop-workspaces", action="store_true", help="stop workspaces when this stops")


def _status_arguments(parser: Parser) -> None:
    parser.add_argument("--wait", type=float, default=2.0, metavar="SECONDS", help="how long to wait for an answer (2)")


def _file_argument(parser: Parser) -> None:
    parser.add_argument("file", help="the file of the backup")


VERBS = {
    "up": Verb("run control plane, node and web app on this machine", plain=up, arguments=_up_arguments),
    "serve": Verb("run the control plane alone", plain=serve, arguments=_serve_arguments),
    "status": Verb("is the control plane there, and how is it", status, _status_arguments),
    "backup": Verb(
        "write the database (SQLite) to a new file, also while the server runs", plain=backup, arguments=_file_argument
    ),
    "restore": Verb("put a backup back, while no server runs", plain=restore, arguments=_file_argument),
}
