"""Runs the setup lines of a workspace, each once, as named steps.

Contract: `Setup.run(spec, command_id, progress)`. A line that ran is remembered with its text and not run again. The exec id of
a line derives from the command and its number, so a repeated attempt of the same command joins the running line.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from stead.model import ids
from stead.node.journal import Journal
from stead.node.operations import Progress
from stead.protocol.errors import SteadError
from stead.protocol.messages import Call, WorkspaceSpec

LINE_SECONDS = 3600.0
TAIL = 500
_PAUSE = 0.5

CallGuest = Callable[[Call], Awaitable[msgspec.Raw]]


class _Status(msgspec.Struct):
    state: str
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""


class _Result(msgspec.Struct):
    status: _Status
    stdout: bytes = b""
    stderr: bytes = b""


class Setup:
    """The setup of all workspaces."""

    def __init__(self, journal: Journal, call: CallGuest) -> None:
        self._journal = journal
        self._call = call

    async def run(self, spec: WorkspaceSpec, command_id: str, progress: Progress) -> None:
        """The lines that have not run yet, in order."""
        if not spec.setup:
            return
        done = await self._journal.steps_done(spec.workspace_id)
        for number, line in enumerate(spec.setup):
            if done.get(number) != line:
                await self._line(spec, command_id, number, line, progress)

    async def _line(self, spec: WorkspaceSpec, command_id: str, number: int, line: str, progress: Progress) -> None:
        name = f"setup {number + 1}/{len(spec.setup)}"
        await progress(name, line, 0.0, False)
        since = time.monotonic()
        result = await self._insist(spec.workspace_id, exec_id(command_id, number), line)
        seconds = time.monotonic() - since
        if result.status.state != "exited" or result.status.exit_code != 0:
            raise SteadError("driver_failed", f"{name} failed: {_why(result)}")
        await self._journal.step_done(spec.workspace_id, number, line, seconds)
        await progress(name, line, seconds, True)

    async def _insist(self, workspace_id: str, name: str, line: str) -> _Result:
        """A guest that is lost meanwhile is asked again: the exec goes on without it."""
        params = {"argv": [line], "shell": True, "exec_id": name, "timeout": LINE_SECONDS}
        while True:
            call = Call(
                request_id="",
                workspace_id=workspace_id,
                method="exec.run",
                params=msgspec.Raw(msgspec.json.encode(params)),
                timeout=LINE_SECONDS,
            )
            try:
                return msgspec.json.decode(await self._call(call), type=_Result)
            except SteadError as error:
                if not error.retry and error.code != "outcome_unknown":
                    raise
            await anyio.sleep(_PAUSE)


def exec_id(command_id: str, number: int) -> str:
    """The same for the same line of the same command."""
    digest = int.from_bytes(hashlib.sha256(f"{command_id}|{number}".encode()).digest(), "big")
    digits = [ids.ALPHABET[(digest >> shift) & 31] for shift in range(0, 130, 5)]
    return f"{ids.Kind.EXEC.value}_{''.join(digits)}"


def _why(result: _Result) -> str:
    status = result.status
    end = f"exit code {status.exit_code}" if status.exit_code is not None else status.error or status.state
    tail = (result.stderr or result.stdout)[-TAIL:].decode(errors="replace").strip()
    return f"{end}: {tail}" if tail else end
