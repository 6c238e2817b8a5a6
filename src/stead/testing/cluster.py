"""A whole Stead on this machine as real processes, to be killed and started again: for our tests and for users'.

Contract: `with Cluster(folder) as cluster:` starts `stead up` on a free port with its data in the folder and waits until its
node is online. `kill(part)` is a crash (SIGKILL) of `control`, `node`, or of the `guest` or `holder` of a workspace, and
returns when the process is gone; `start_control` brings the control plane back. Everything blocks: from async tests call
it in a thread (`await anyio.to_thread.run_sync(cluster.kill, "node")`). Leaving ends every process that was started.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import psutil

from stead.sdk.client import Stead
from stead.testing.server import Server

T = TypeVar("T")
Part = Literal["control", "node", "guest", "holder"]

PATIENCE = 60.0
"""Generous: a loaded two-core machine must not fail a test."""
LOOK_EVERY = 0.02
MODULES = {"node": "stead.node", "guest": "stead.guest", "holder": "stead.guest.holder"}


class Cluster:
    """One control plane with its node and their workspaces. `settings` are STEAD_* variables, such as `mode`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.server = Server(folder, **settings)
        self.url = self.server.url
        self.data = self.server.data

    @property
    def environment(self) -> dict[str, str]:
        """What another program needs to use it with this machine's own credential."""
        return self.server.environment

    @property
    def token(self) -> str:
        """The machine's own credential."""
        return (self.data / "cli.token").read_text().strip()

    def client(self, **options: Any) -> Stead:
        """A client of it, to be entered with `async with`."""
        return Stead(self.url, self.token, **options)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- parts -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The control plane and its node, ready for work."""
        self.start_control()
        self.until(self.node_online, "the node is online")

    def start_control(self) -> None:
        """The control plane, on the same port and data as before; returns when it answers."""
        self.server.start()
        self.until((self.data / "cli.token").exists, "the machine's token is written")

    def kill(self, part: Part, workspace: str = "") -> int:
        """A crash of one part; the pid that is gone."""
        process = self.until(lambda: self.process(part, workspace), f"{part} {workspace} runs")
        process.kill()
        if part == "control":
            self.server.kill()
        self.until(lambda: _gone(process), f"{part} {process.pid} is gone")
        return process.pid

    def process(self, part: Part, workspace: str = "") -> psutil.Process | None:
        """The process of a part, while there is one; guest and holder are those of a workspace id."""
        if part == "control":
            return psutil.Process(self.server.pid) if psutil.pid_exists(self.server.pid) else None
        named = next((found for found in self.processes() if _is(found, MODULES[part], workspace)), None)
        return self.told_guest(workspace) if named is None and part == "guest" else named

    def told_guest(self, workspace: str) -> psutil.Process | None:
        """The guest as its holder tells of it: where a process cannot be renamed, a guest is called as its holder.

        A holder in a sandbox tells numbers that mean nothing outside: the process must be one of the workspace's.
        """
        try:
            told = json.loads((self.data / "node" / "workspaces" / workspace / "run" / "holder.json").read_text())
            guest = psutil.Process(told["guest_pid"])
        except (OSError, ValueError, KeyError, psutil.Error):
            return None
        return guest if any(workspace in word for word in _words(guest)) and not _gone(guest) else None

    def processes(self) -> list[psutil.Process]:
        """Every process that has this cluster's data folder on its command line."""
        return [found for found in psutil.process_iter() if any(str(self.data) in word for word in _words(found))]

    def stop(self) -> None:
        """Ends everything: gently where that works, by force where it does not."""
        try:
            if self.server.health() is not None:
                self.server.stop(stop_workspaces=True)
        finally:
            self.server.kill()
            self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        left = self.processes()
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=PATIENCE)

    # --- waiting ---------------------------------------------------------------------------------------------------

    def node_online(self) -> bool:
        """Whether a node is there that takes work."""
        nodes = self.get("/nodes")
        return nodes is not None and any(node["status"] == "online" for node in nodes["items"])

    def get(self, path: str) -> dict[str, Any] | None:
        """A read of the API; None while it gives no good answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            return dict(json.load(answer)) if answer.status == 200 else None
        except (http.client.HTTPException, OSError, ValueError):
            return None
        finally:
            connection.close()

    def until(self, probe: Callable[[], T | None], what: str, within: float = PATIENCE) -> T:
        """The first true answer; an error with the server's log when there is none in time."""
        give_up = time.monotonic() + within
        while not (answer := probe()):
            if time.monotonic() > give_up:
                log = self.server.log.read_text(errors="replace")[-2000:] if self.server.log.exists() else ""
                raise AssertionError(f"not within {within:g} s: {what}\n{log}")
            time.sleep(LOOK_EVERY)
        return answer


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is(process: psutil.Process, module: str, workspace: str) -> bool:
    words = _words(process)
    return module in words and "bwrap" not in words[0] and any(workspace in word for word in words)


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
