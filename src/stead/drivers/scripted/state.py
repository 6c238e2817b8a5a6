"""What a scripted driver remembers: one small file a workspace, so that it survives the node like any other.

Contract: `State(directory)`: `load`, `store`, `forget`, `all`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import msgspec

from stead.drivers.scripted.script import Script
from stead.model import ids


class Fake(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace that is only remembered."""

    workspace_id: str
    name: str
    generation: int
    command_id: str
    phase: Literal["starting", "running", "stopped"]
    script: Script
    environment: dict[str, str] = {}
    attempts: int = 0
    since: float = 0.0


class State:
    """All of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, workspace_id: str) -> Fake | None:
        try:
            return msgspec.json.decode(self._path(workspace_id).read_bytes(), type=Fake)
        except FileNotFoundError:
            return None

    def store(self, fake: Fake) -> Fake:
        path = self._path(fake.workspace_id)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(fake))
        new.replace(path)
        return fake

    def forget(self, workspace_id: str) -> None:
        shutil.rmtree(self.run(workspace_id), ignore_errors=True)
        self._path(workspace_id).unlink(missing_ok=True)

    def run(self, workspace_id: str) -> Path:
        """Where a guest of this workspace keeps its configuration."""
        return self._path(workspace_id).with_suffix("")

    def all(self) -> list[Fake]:
        found = (self.load(path.stem) for path in sorted(self._directory.glob("ws_*.json")))
        return [fake for fake in found if fake is not None]

    def _path(self, workspace_id: str) -> Path:
        return self._directory / f"{ids.check(ids.Kind.WORKSPACE, workspace_id)}.json"
