"""The scripted driver: every verb obeys the contract and its script.

Contract: `ScriptedDriver(directory, script)` is a `Driver`. `effects` counts what really happened, by verb and command id.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from stead.drivers.contract import Found, Handle, Progress, Sight, Status
from stead.drivers.observer import Nobody, Observer
from stead.drivers.scripted.channel import open_channel
from stead.drivers.scripted.script import Script, script_of
from stead.drivers.scripted.state import Fake, State
from stead.model.workspaces import Isolation
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts, WorkspaceSpec

HANDLE_VERSION = 1
GUEST = (sys.executable, "-P", "-m", "stead.guest", "scripted")


class ScriptedDriver:
    """Workspaces that are only remembered."""

    name = "scripted"

    def __init__(
        self,
        directory: Path,
        script: Script | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
        guest: tuple[str, ...] = GUEST,
    ) -> None:
        self._state = State(directory / "scripted")
        self._script = script or Script()
        self._observer: Observer = observer or Nobody()
        self._random = random.Random(self._script.seed)
        self._clock = clock
        self._guest = guest
        self._channels: list[Bytes] = []
        self._starts = 0
        self.effects: Counter[tuple[str, str]] = Counter()

    def facts(self) -> DriverFacts:
        return DriverFacts(
            name=self.name, isolation=[self._script.isolation], note="a fake for tests and demonstrations"
        )

    async def start(self, spec: WorkspaceSpec, command_id: str, progress: Progress) -> Handle:
        script = script_of(spec, self._script)
        if spec.isolation not in {"", script.isolation}:
            raise SteadError("isolation_unavailable", f"this script gives {script.isolation!r} only")
        fake = self._state.load(spec.workspace_id)
        if fake is not None and self._sight(fake) is Sight.RUNNING and fake.generation == spec.generation:
            return _handle(fake)
        fake = self._attempt(spec, command_id, script, fake)
        await progress("start", "")
        self._may_fail(script, fake)
        await self._wait(script, script.start_seconds)
        await self._observer.at("driver.start.launched", spec.workspace_id)
        if script.never_ready:
            await anyio.sleep_forever()
        fake = self._effect(fake, "start", command_id, phase="running")
        self._starts += 1
        self._fail_at_random(script)
        return _handle(fake)

    async def stop(self, handle: Handle, grace: float) -> None:
        fake = self._state.load(handle.workspace_id)
        if fake is None or fake.phase == "stopped":
            return
        self._fail_at_random(fake.script)
        await self._wait(fake.script, fake.script.stop_seconds)
        self._effect(fake, "stop", fake.command_id, phase="stopped")
        self._fail_at_random(fake.script)

    async def delete(self, handle: Handle) -> None:
        fake = self._state.load(handle.workspace_id)
        if fake is None:
            return
        self._fail_at_random(fake.script)
        await self._wait(fake.script, fake.script.delete_seconds)
        if self._state.load(handle.workspace_id) is not None:
            self.effects["delete", handle.workspace_id] += 1
            self._state.forget(handle.workspace_id)
        self._fail_at_random(fake.script)

    async def status(self, handle: Handle) -> Status:
        fake = self._state.load(handle.workspace_id)
        if fake is None:
            return Status(sight=Sight.ABSENT)
        return Status(
            sight=self._sight(fake),
            isolation=Isolation(fake.script.isolation),
            generation=fake.generation,
            command_id=fake.command_id,
        )

    async def channel(self, handle: Handle) -> Bytes:
        fake = self._state.load(handle.workspace_id)
        if fake is None or self._sight(fake) is not Sight.RUNNING:
            raise SteadError("workspace_unreachable", "the scripted workspace does not run")
        channel = await open_channel([*self._guest, "--config", str(self._config(fake))], dict(os.environ), fake.script)
        self._channels.append(channel)
        return channel

    async def find(self) -> list[Found]:
        return [Found(fake.workspace_id, fake.generation, _handle(fake)) for fake in self._state.all()]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        self._channels.clear()

    def _attempt(self, spec: WorkspaceSpec, command_id: str, script: Script, fake: Fake | None) -> Fake:
        attempts = 1 if fake is None else fake.attempts + 1
        return self._state.store(
            Fake(
                workspace_id=spec.workspace_id,
                name=spec.name,
                generation=spec.generation,
                command_id=command_id,
                phase="starting",
                script=script,
                environment=spec.environment,
                attempts=attempts,
            )
        )

    def _effect(self, fake: Fake, verb: str, command_id: str, *, phase: str) -> Fake:
        self.effects[verb, command_id] += 1
        changed = {"phase": phase, "since": self._clock()}
        return self._state.store(msgspec.structs.replace(fake, **changed))

    def _sight(self, fake: Fake) -> Sight:
        if fake.phase == "stopped":
            return Sight.STOPPED
        lifetime = fake.script.die_after_seconds
        dead = lifetime > 0 and self._clock() - fake.since >= lifetime
        return Sight.BROKEN if dead or fake.phase == "starting" else Sight.RUNNING

    def _may_fail(self, script: Script, fake: Fake) -> None:
        if script.fail_after and self._starts >= script.fail_after:
            raise SteadError("refused", f"the script allows {script.fail_after} starts")
        if fake.attempts <= script.fail_first:
            raise SteadError("driver_failed", f"the script fails the first {script.fail_first} starts")
        self._fail_at_random(script)

    def _fail_at_random(self, script: Script) -> None:
        if script.fail_rate and self._random.random() < script.fail_rate:
            raise SteadError("driver_failed", "the script fails now and then")

    async def _wait(self, script: Script, seconds: float) -> None:
        await anyio.sleep(seconds * (1 + script.jitter * self._random.random()))

    def _config(self, fake: Fake) -> Path:
        """The configuration of a guest with the scripted toolbox."""
        run = self._state.run(fake.workspace_id)
        run.mkdir(mode=0o700, exist_ok=True)
        config = {
            "version": 1,
            "workspace_id": fake.workspace_id,
            "name": fake.name,
            "root": str(run),
            "run": str(run),
            "environment": fake.environment,
            "isolation": fake.script.isolation,
            "limits": [],
            "generation": fake.generation,
            "toolbox": "scripted",
        }
        path = run / "config.json"
        path.write_bytes(msgspec.json.encode(config))
        return path


def _handle(fake: Fake) -> Handle:
    return Handle(HANDLE_VERSION, ScriptedDriver.name, fake.workspace_id, {})
