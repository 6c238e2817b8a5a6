"""The machine as the methods of the guest protocol need it, on any system that has the face of `face`.

Contract: `Machine(platform, policy, powerful)` has of a toolbox what `stead.guest.methods` asks of it, with the same results
and errors; the policy holds as on Linux: the place is judged before anything is looked at, programs by the file that they are.
`powerful`: the machine's power is the guest's to change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from stead.guest.windows.face import Places, Platform
from stead.guest.windows.tree import Command, Ended
from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES, Exec, ExecResult, ExecState, ExecStatus, FileContent, Written
from stead.toolbox.permits import Policy
from stead.toolbox.system.contract import DELAY_SECONDS, Disks, Network, PowerChange, SystemInfo

T = TypeVar("T")

THREADS = 100
"""Blocking calls at once; each command takes one."""
_OTHERS_RIGHTS = 0o6000


class Machine:
    """Files, commands, facts and power of one."""

    def __init__(
        self,
        platform: Platform,
        policy: Policy | None = None,
        *,
        powerful: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._platform = platform
        self._policy = policy or Policy()
        self._environment = environment or {}
        self._threads = anyio.CapacityLimiter(THREADS)
        self.system = Facts(platform, self._threads, powerful=powerful)

    async def read(self, path: str, offset: int = 0, limit: int = CALL_BYTES) -> FileContent:
        """The first bytes of a whole file; `offset` is 0."""
        place, places = self._permitted(path, change=False)
        content, size = await self._in_thread(partial(self._platform.read, place, places, limit))
        self._check_size(path, size)
        return FileContent(content=content, offset=offset, size=size)

    async def write(self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False) -> Written:
        """Replaces it atomically."""
        place, places = self._permitted(path, change=True)
        self._check_size(path, len(content))
        if mode is not None and mode & _OTHERS_RIGHTS and self._policy != Policy():
            raise SteadError("refused", "the policy of this guest does not permit set-user-id and set-group-id")
        await self._in_thread(partial(self._platform.write, place, places, content, mode, parents))
        return Written(path=path, size=len(content))

    async def run(self, exec: Exec) -> ExecResult:
        """To its end, or to the end of its time."""
        argv, began = await self._in_thread(partial(self._judged, exec)), time.time()
        try:
            cwd = await self._in_thread(partial(self._directory, exec.cwd))
            program = await self._in_thread(partial(self._platform.find, argv[0]))
            if program is None:
                raise SteadError("not_found", f"{argv[0][:200]}: there is no such program")
            ended = await self._run([program, *argv[1:]], cwd, exec)
        except SteadError as error:
            return ExecResult(status=_status(ExecState.FAILED, began, error=error.message))
        return _result(ended, began)

    async def _run(self, argv: list[str], cwd: str, exec: Exec) -> Ended:
        environment = {**os.environ, **self._environment}
        command = Command(partial(self._platform.start, argv, cwd, environment))
        finish = partial(command.finish, exec.timeout, exec.log_bytes)
        try:
            return await to_thread.run_sync(finish, abandon_on_cancel=True, limiter=self._threads)
        except anyio.get_cancelled_exc_class():
            command.end()
            raise

    def _judged(self, exec: Exec) -> list[str]:
        """The argument vector with the permitted program, by the policy's path: the caller's may lead elsewhere by then."""
        if self._policy.programs is None:
            return exec.argv
        program = self._platform.find(exec.argv[0])
        found = (self._platform.find(each) for each in self._policy.programs)
        allowed = {self._platform.identity(each): each for each in found if each is not None}
        permitted = None if program is None else allowed.get(self._platform.identity(program))
        if permitted is None:
            raise SteadError("refused", f"the policy of this guest does not permit {exec.argv[0][:200]!r}")
        return [permitted, *exec.argv[1:]]

    def _directory(self, given: str) -> str:
        if given == ".":
            return self._platform.home
        try:
            place, places = self._permitted(given, change=False)
            self._platform.check_directory(place, places)
        except SteadError as error:
            raise SteadError(error.code, f"the directory {error.message}") from None
        return place

    def _permitted(self, path: str, *, change: bool) -> tuple[str, Places]:
        """The place of a path, and the places that it is confined to."""
        place = self._platform.place(path)
        places = self._policy.write_paths
        if not change:
            places = None if self._policy.read_paths is None else (*self._policy.read_paths, *(places or ()))
        if places is not None and not any(self._platform.covers(each, place) for each in places):
            raise SteadError("refused", f"{place[:200]}: the policy of this guest does not permit this place")
        return place, places

    def _check_size(self, path: str, size: int) -> None:
        most = self._policy.max_file_bytes
        if most is not None and size > most:
            raise SteadError("too_large", f"{path[:200]}: a file has at most {most} bytes here")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)


class Facts:
    """What the machine tells of itself, and its power."""

    def __init__(self, platform: Platform, threads: anyio.CapacityLimiter, *, powerful: bool) -> None:
        self._platform = platform
        self._threads = threads
        self._powerful = powerful

    async def info(self) -> SystemInfo:
        return await to_thread.run_sync(self._platform.info, limiter=self._threads)

    async def network(self) -> Network:
        return await to_thread.run_sync(self._platform.network, limiter=self._threads)

    async def disks(self) -> Disks:
        return await to_thread.run_sync(self._platform.disks, limiter=self._threads)

    async def shutdown(self, *, delay: float = 0.0, force: bool = False) -> PowerChange:
        return await self._change("shutdown", delay, force)

    async def reboot(self, *, delay: float = 0.0, force: bool = False) -> PowerChange:
        return await self._change("reboot", delay, force)

    async def _change(self, action: str, delay: float, force: bool) -> PowerChange:
        if not self._powerful:
            raise SteadError(
                "refused", "this guest is not that of a machine of its own, so its power is not its to change"
            )
        if not 0 <= delay <= DELAY_SECONDS:
            raise SteadError("invalid", f"delay: from 0 to {DELAY_SECONDS:g} seconds", field="delay")
        at, when = time.time() + delay, f"in {delay:g} s" if delay else "now"
        message = f"The system is {'shutting down' if action == 'shutdown' else 'starting again'} {when}."
        work = partial(self._platform.change_power, action, delay, force, message)
        await to_thread.run_sync(work, limiter=self._threads)
        return PowerChange(action=action, at=at, message=message)


def _status(state: ExecState, began: float, **more: Any) -> ExecStatus:
    return ExecStatus(exec_id="", state=state, started=began, ended=time.time(), **more)


def _result(ended: Ended, began: float) -> ExecResult:
    if ended.timed_out:
        status = _status(ExecState.TIMED_OUT, began)
    elif ended.code < 0:
        status = _status(ExecState.SIGNALLED, began, signal=-ended.code)
    else:
        status = _status(ExecState.EXITED, began, exit_code=ended.code)
    return ExecResult(status=status, stdout=ended.stdout, stderr=ended.stderr, clipped=ended.clipped)
