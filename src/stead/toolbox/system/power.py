"""Shutting the machine down and starting it again, after exactly the seconds asked for.

Contract: only a workspace that is a machine of its own may be asked; one that shares its machine refuses. With systemd a
delay is a timer of systemd, which outlives the guest; elsewhere it is one of the guest's. What is due at once and refused by
the system is an error; what is due later was only set going.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Sequence

from stead.protocol.errors import SteadError
from stead.toolbox.place import Place
from stead.toolbox.system.contract import DELAY_SECONDS, ChangePower, PowerChange
from stead.toolbox.system.services import Systemd, refusal

ANSWER_SECONDS = 0.5
"""What is forced happens so much later, so that its answer still leaves."""
MESSAGE_BYTES = 1000
_SYSTEMD = {"shutdown": "poweroff", "reboot": "reboot"}
_PLAIN = {"shutdown": ["shutdown", "-h", "now"], "reboot": ["shutdown", "-r", "now"]}
_FORCED = {"shutdown": ["poweroff", "-f"], "reboot": ["reboot", "-f"]}

log = logging.getLogger(__name__)


class Power:
    """That of one place."""

    def __init__(self, place: Place, systemd: Systemd) -> None:
        self._place = place
        self._systemd = systemd

    async def shutdown(self, asked: ChangePower) -> PowerChange:
        return await self._change("shutdown", asked)

    async def reboot(self, asked: ChangePower) -> PowerChange:
        return await self._change("reboot", asked)

    async def _change(self, action: str, asked: ChangePower) -> PowerChange:
        self._check(asked)
        argv = self._command(action, force=asked.force)
        if self._place.programs.find(argv[0]) is None:
            raise SteadError("program_missing", f"{argv[0]} is not installed in the workspace", program=argv[0])
        at = time.time() + asked.delay
        when = f"in {asked.delay:g} s" if asked.delay else "now"
        message = f"The system is {'shutting down' if action == 'shutdown' else 'starting again'} {when}."
        words = f"{message} {asked.message}".strip()
        if asked.delay:
            await self._later(max(asked.delay, ANSWER_SECONDS if asked.force else 0.0), argv)
            await self._tell(words)
        else:
            await self._tell(words)
            await (self._later(ANSWER_SECONDS, argv) if asked.force else self._run(argv))
        return PowerChange(action=action, at=at, message=message)

    def _check(self, asked: ChangePower) -> None:
        if not self._place.machine:
            raise SteadError("refused", "this workspace is no machine of its own, so its power is not its to change")
        if not 0 <= asked.delay <= DELAY_SECONDS:
            raise SteadError("invalid", f"delay: from 0 to {DELAY_SECONDS:g} seconds", field="delay")
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", asked.message) or len(asked.message) > MESSAGE_BYTES:
            raise SteadError("invalid", "message: one line of text is needed", field="message")

    def _command(self, action: str, *, force: bool) -> list[str]:
        if self._systemd.runs:
            return ["systemctl", "--no-ask-password", "--no-block", *(["--force"] if force else []), _SYSTEMD[action]]
        if force or self._place.programs.find("shutdown") is None:
            return _FORCED[action][: None if force else 1]
        return _PLAIN[action]

    async def _later(self, seconds: float, argv: Sequence[str]) -> None:
        if self._systemd.runs and self._place.programs.find("systemd-run") is not None:
            timer = ["--collect", "--quiet", f"--on-active={seconds:g}s", "--timer-property=AccuracySec=100ms"]
            await self._run(["systemd-run", "--no-ask-password", *timer, "--", *argv])
        else:
            self._place.own(Timers).start(seconds, argv)

    async def _run(self, argv: Sequence[str]) -> None:
        done = await self._place.programs.run(argv, cwd=self._place.root.path)
        if not done.ok:
            raise SteadError(refusal(done.complaint), f"{argv[0]}: {done.complaint}", exit_code=done.code)

    async def _tell(self, message: str) -> None:
        """Whoever is logged in; nobody minds when that is not possible."""
        with contextlib.suppress(SteadError):
            await self._place.programs.run(
                ["wall"], cwd=self._place.root.path, stdin=message.encode() + b"\n", seconds=5
            )


class Timers:
    """What is due later, where the system has no timers of its own; forgotten when the place is closed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, seconds: float, argv: Sequence[str]) -> None:
        task = asyncio.create_task(self._wait(seconds, argv))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _wait(self, seconds: float, argv: Sequence[str]) -> None:
        await asyncio.sleep(seconds)
        try:
            done = await self._place.programs.run(argv, cwd=self._place.root.path)
        except SteadError as error:
            log.warning("%s did not run: %s", argv[0], error)
            return
        if not done.ok:
            log.warning("%s failed: %s", argv[0], done.complaint)
