"""The embedded node: a process of its own beside the server, found again after either was killed.

Contract: `await EmbeddedNode(...).run()` keeps one node running until cancelled: it uses the one that already runs for this
data folder, starts one else, and starts another when it dies. `await stop()` ends it; its workspaces go on.
A node that runs for another address of the server is replaced.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec
import structlog

from stead.api.types import NodeTokenCreate
from stead.control.files import read_or_empty, write_private
from stead.control.nodes.service import Nodes
from stead.control.people.caller import SYSTEM
from stead.control.settings import ServerSettings
from stead.protocol.errors import SteadError
from stead.transport.backoff import Backoff

log = structlog.get_logger("stead.node")

LOOK_EVERY = 0.5
STOP_SECONDS = 25.0
LOG_BYTES = 10 << 20
RECONNECT_SECONDS = 2.0
"""The longest pause of a node that is on the same machine as its control plane."""
_DRIVERS = {"local": "process", "scripted": "scripted"}


class Running(msgspec.Struct, frozen=True):
    """A node that was started, as the data folder remembers it."""

    pid: int
    url: str


class EmbeddedNode:
    """The one node of this machine."""

    def __init__(self, settings: ServerSettings, url: str, nodes: Nodes) -> None:
        self._settings = settings
        self._url = url
        self._nodes = nodes
        self._state = settings.folder / "node"
        self._config = self._state / "embedded.toml"
        self._note = self._state / "embedded.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        if not self._locked():
            return None
        found = self._running()
        return found.pid if found else None

    async def run(self) -> None:
        """Keeps it running."""
        backoff, began = Backoff(), 0.0
        await self._replace_other()
        while not self._stopping:
            if not self._child_lives() and not self._locked():
                if self._child is not None:
                    log.warning("the node ended; starting another", code=self._child.returncode)
                    await anyio.sleep(backoff.delay(lived=anyio.current_time() - began))
                began = anyio.current_time()
                await self._start()
            await anyio.sleep(LOOK_EVERY)

    async def stop(self) -> None:
        """Ends it, bounded; its workspaces go on."""
        self._stopping = True
        found = self._running()
        if found is not None and (self._child_lives() or self._locked()):
            await self._end(found.pid)

    async def _replace_other(self) -> None:
        found = self._running()
        if found is not None and found.url != self._url and self._locked():
            log.info("the running node knows another address; replacing it")
            await self._end(found.pid)

    async def _start(self) -> None:
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        token_file = await self._enrolment()
        write_private(self._config, _toml(self._settings, self._url, token_file))
        log_file = self._state / "node.log"
        if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        self._child = _spawn(self._config, log_file)
        write_private(self._note, msgspec.json.encode(Running(self._child.pid, self._url)).decode())

    async def _enrolment(self) -> Path | None:
        """A token file, where the node is not yet a node of this server."""
        known = self._state / "node.json"
        if await self._is_ours(known):
            return None
        known.unlink(missing_ok=True)
        made = await self._nodes.create_token(SYSTEM, NodeTokenCreate(labels={}), approved=True)
        file = self._state / "enrol.token"
        write_private(file, made.token)
        return file

    async def _is_ours(self, known: Path) -> bool:
        try:
            node_id = str(json.loads(known.read_text())["node_id"])
            await self._nodes.get(SYSTEM, node_id)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        except SteadError as error:
            if error.code != "not_found":
                raise
            return False
        return True

    def _running(self) -> Running | None:
        try:
            return msgspec.json.decode(read_or_empty(self._note), type=Running)
        except msgspec.DecodeError:
            return None

    def _child_lives(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _locked(self) -> bool:
        """Whether a node runs for this data folder: it holds the lock as long as it lives."""
        try:
            handle = os.open(self._state / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    async def _end(self, pid: int) -> None:
        _signal(pid, signal.SIGTERM)
        with anyio.move_on_after(STOP_SECONDS):
            while self._child_lives() or self._locked():
                await anyio.sleep(0.05)
            return
        _signal(pid, signal.SIGKILL)
        with anyio.move_on_after(STOP_SECONDS):
            while self._child_lives() or self._locked():
                await anyio.sleep(0.05)


def _spawn(config: Path, log_file: Path) -> subprocess.Popen[bytes]:
    """A node in a session of its own, so that it outlives us; what it says goes to the file."""
    argv = [sys.executable, "-m", "stead.node", "--config", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STEAD_NODE_")}
    with open(log_file, "ab", opener=_private) as out:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
        )


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _toml(settings: ServerSettings, url: str, token_file: Path | None) -> str:
    node = settings.node
    values: dict[str, object] = {
        "url": url,
        "data": str(settings.folder),
        "name": node.name,
        "max_workspaces": node.max_workspaces,
        "drivers": [_DRIVERS[settings.mode]],
        "reconnect_seconds": RECONNECT_SECONDS,
    }
    if token_file is not None:
        values["enrol_token_file"] = str(token_file)
    if settings.tls_certificate:
        values["tls_ca"] = str(Path(settings.tls_certificate).expanduser().absolute())
    tables = {"[labels]": node.labels} | {f"[options.{json.dumps(name)}]": own for name, own in node.options.items()}
    lines = _lines(values)
    for name, table in tables.items():
        lines += ["", name, *_lines(table)]
    return "\n".join([*lines, ""])


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()]
