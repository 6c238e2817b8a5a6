"""What a scripted driver remembers: one file of changes that several drivers may share, as after a restart of the node.

Contract: `State(directory)`: `load`, `store`, `forget`, `all`. Each change is one appended line; a half-written last line is
not counted.
"""

from __future__ import annotations

import os
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


class Change(msgspec.Struct, frozen=True):
    """One line: what is there from now on, or nothing."""

    workspace_id: str
    fake: Fake | None


class State:
    """All of them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._path = directory / "changes.jsonl"
        self._path.touch(mode=0o600)
        self._fakes: dict[str, Fake] = {}
        self._read = 0

    def load(self, workspace_id: str) -> Fake | None:
        self._catch_up()
        return self._fakes.get(ids.check(ids.Kind.WORKSPACE, workspace_id))

    def store(self, fake: Fake) -> Fake:
        self._append(Change(ids.check(ids.Kind.WORKSPACE, fake.workspace_id), fake))
        return fake

    def forget(self, workspace_id: str) -> None:
        shutil.rmtree(self.run(workspace_id), ignore_errors=True)
        self._append(Change(workspace_id, None))

    def all(self) -> list[Fake]:
        self._catch_up()
        return list(self._fakes.values())

    def run(self, workspace_id: str) -> Path:
        """Where a guest of this workspace keeps its configuration."""
        return self._directory / ids.check(ids.Kind.WORKSPACE, workspace_id)

    def _append(self, change: Change) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, msgspec.json.encode(change) + b"\n")
        finally:
            os.close(descriptor)

    def _catch_up(self) -> None:
        """Reads what was appended since, by whomever."""
        if self._path.stat().st_size == self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        for line in whole.splitlines():
            change = msgspec.json.decode(line, type=Change)
            if change.fake is None:
                self._fakes.pop(change.workspace_id, None)
            else:
                self._fakes[change.workspace_id] = change.fake
