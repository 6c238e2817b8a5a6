"""A scripted control plane and nodes against it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from integration.node.control import Control, serve
from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from support.deadline import PATIENCE, eventually
from unit.drivers.holder import HOLDER


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with serve(Control()) as control:
        yield control


class NodeProgram:
    """`python -m stead.node` with one data folder, started and killed as often as a test likes."""

    def __init__(self, control: Control, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self._url = control.url
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(control.token)
        self._file = folder / "node.toml"
        self.configure(**settings)
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, **settings: Any) -> None:
        """Writes the settings file; counts from the next start on."""
        lines = {"url": self._url, "data": str(self.folder / "data"), "enrol_token_file": str(self.folder / "token")}
        lines |= {"name": "box-1", "watch_seconds": 0.1, "orphan_seconds": 0.3, "stop_grace": 5.0} | settings
        text = [f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in lines.items()]
        self._file.write_text("".join(text))

    @property
    def workspaces(self) -> Path:
        return self.folder / "data" / "node" / "workspaces"

    def start(self, module: str = "stead.node", arguments: tuple[str, ...] = ()) -> None:
        log = (self.folder / "node.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(self._file), *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        return (self.folder / "node.log").read_text()


@pytest.fixture
async def start_node(control: Control, tmp_path: Path) -> AsyncIterator[Callable[..., NodeProgram]]:
    """Starts a node; at the end of the test it and its workspaces are ended, and nothing of them may be left."""
    started: list[NodeProgram] = []

    def start(module: str = "stead.node", arguments: tuple[str, ...] = (), **settings: Any) -> NodeProgram:
        node = NodeProgram(control, tmp_path / f"node{len(started)}", **settings)
        started.append(node)
        node.start(module, arguments)
        return node

    yield start
    for node in started:
        if node.process is not None and node.process.poll() is None:
            node.kill()
        driver = ProcessDriver(ProcessSettings(state=node.folder / "data" / "node", holder=HOLDER))
        for found in await driver.find():
            await driver.delete(found.handle)
        await driver.close()
        eventually(lambda node=node: not processes_of(node.folder), "no process of the node's workspaces is left")


def processes_of(folder: Path) -> list[str]:
    """What runs with this folder in its arguments."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and any(str(folder) in word for word in process.cmdline()):
                found.append(f"{process.pid}: {process.cmdline()}")
    return found
