"""A real `stead up` as a process of its own, for tests and benchmarks that work from outside.

Contract: `Server(folder)` with `start`, `run` (the command line against it), `kill` (a crash), `stop`; `environment` is
what any other client needs. Also for users who test programs against Stead.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 60.0
PROGRAM = Path(sys.executable).parent / "stead"


class Server:
    """Runs on loopback and a free port, with its data in a folder of its own. Starting it again takes the same port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings` are further STEAD_* variables, such as `database_url`."""
        self._settings = {f"STEAD_{name.upper()}": value for name, value in settings.items()}
        self.data = folder / "data"
        self.log = folder / "up.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to talk to this server with the machine's own credential."""
        path = os.pathsep.join([str(PROGRAM.parent), os.environ.get("PATH", "")])
        return {
            **os.environ,
            "PATH": path,
            "STEAD_URL": self.url,
            "STEAD_DATA": str(self.data),
            "NO_COLOR": "1",
        } | self._settings

    def start(self, program: Sequence[str] = (str(PROGRAM), "up")) -> None:
        """Starts the server, or another program that serves as it does, and waits until it answers."""
        argv = [*program, "--port", str(self.port), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        until = time.monotonic() + PATIENCE
        while (self.health() or {}).get("status") != "ok":
            if time.monotonic() > until or self._process.poll() is not None:
                raise AssertionError(f"stead up gave no answer:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    def health(self) -> dict[str, Any] | None:
        """What /api/v1/health says; None while nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/v1/health")
            return dict(json.load(connection.getresponse()))
        except (http.client.HTTPException, OSError, ValueError):
            return None
        finally:
            connection.close()

    def run(self, *args: str, check: bool = True, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Runs the command line against this server."""
        return subprocess.run(
            [str(PROGRAM), *args],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
        )

    @property
    def pid(self) -> int:
        """The control plane's process."""
        assert self._process is not None, "the server was never started"
        return self._process.pid

    def wait(self, timeout: float = PATIENCE) -> None:
        """Until it has ended, whoever ended it."""
        assert self._process is not None, "the server was never started"
        self._process.wait(timeout)

    def kill(self) -> None:
        """A crash: the control plane is gone at once, its children are not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def stop(self, *, stop_workspaces: bool = True) -> None:
        """Stops it as a person does; with its workspaces, unless they are to outlive it."""
        try:
            if stop_workspaces:
                self.delete_workspaces()
        finally:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
            self._process.kill()
            self._process.wait(PATIENCE)

    def delete_workspaces(self) -> None:
        """Deletes every workspace, so that no process of one is left."""
        listed = self.run("ws", "ls", "--json", check=False)
        if listed.returncode == 0 and listed.stdout.strip():
            for workspace in json.loads(listed.stdout)["items"]:
                self.run("ws", "rm", workspace["id"], check=False)


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
