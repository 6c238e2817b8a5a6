"""A server process of its own for these tests: `python -m stead.control.serve`-like, on loopback and a port of its own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from support.deadline import eventually

_CODE = """
import json, sys
from stead.control.serve import run
from stead.control.settings import load
given = json.loads(sys.argv[1])
sys.exit(run(load(None, {}, given["flags"]), stop_workspaces=given["stop"]))
"""


class Program:
    """Starts, stops and kills it."""

    def __init__(self, folder: Path, **flags: Any) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.flags = {"data": str(self.data), "port": 0, "mode": "remote", **flags}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.verify: ssl.SSLContext | bool = True

    def start(self, *, stop_workspaces: bool = False) -> Program:
        """Until it answers; a second start takes the same port."""
        given = json.dumps({"flags": self.flags, "stop": stop_workspaces})
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CODE, given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
            )
        eventually(self._answers, "the server answers", within=90)
        self.flags["port"] = int(self.url.rpartition(":")[2])
        return self

    def __enter__(self) -> Program:
        return self.start()

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.wait()

    @property
    def token(self) -> str:
        """This machine's own."""
        return (self.data / "cli.token").read_text().strip()

    def client(self, secret: str | None = None) -> httpx2.Client:
        """With this machine's token, another, or none (empty)."""
        token = self.token if secret is None else secret
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=60, trust_env=False, verify=self.verify
        )

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, within: float = 90) -> int:
        assert self.process is not None
        return self.process.wait(within)

    def kill(self) -> None:
        """A crash."""
        self.signal(signal.SIGKILL)
        self.wait()

    def said(self) -> str:
        return self.log.read_text()

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended:\n{self.said()}")
        try:
            note = json.loads((self.data / "server.json").read_text())
            if note["pid"] != self.process.pid:
                return False
            self.url = note["url"]
            with self.client("") as nobody:
                return nobody.get("/health").status_code == 200
        except (OSError, ValueError, httpx2.HTTPError):
            return False


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name == "STEAD_TEST_SESSION" or name[:6] != "STEAD_"}
