"""The process driver: a workspace is a directory of this machine with a holder that outlives the node.

Contract: `ProcessDriver(settings)` is a `Driver`. Every verb begins by looking at what is there and ends with what was
asked, wherever an earlier attempt stopped. A holder is only ever touched by its whole identity. What may be tried again is
"driver_failed"; "isolation_unavailable" is raised before anything is made.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import msgspec
from anyio import to_thread

from stead.drivers.contract import Found, Handle, Progress, Sight, Status
from stead.drivers.observer import Nobody, Observer
from stead.drivers.process import cgroups, sandbox, sockets
from stead.drivers.process.etc import ETC, Etc
from stead.drivers.process.identity import LINUX, Identity, identify, is_alive, send, wait_gone
from stead.drivers.process.launch import Children, launch, launch_sandboxed
from stead.drivers.process.layout import Layout, Meta, Place, read_untrusted, replace
from stead.drivers.process.leftovers import MARKER, sweep
from stead.drivers.process.nursery import Nursery, NurseryError, Request, Told
from stead.model import ids
from stead.model.workspaces import Isolation, Limit
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts, WorkspaceSpec

P = ParamSpec("P")
T = TypeVar("T")

HANDLE_VERSION = 1
CONFIG_VERSION = 1
READY_SECONDS = 60.0
STARTS = 2
"""Starts at once for each processor: they need nothing else, so that more of them would only all be late."""
KILL_SECONDS = 15.0
STATE_BYTES = 4096
FORK_SECONDS = 30.0
HOLDER = (sys.executable, "-P", "-m", "stead.guest.holder")
NURSERY = (sys.executable, "-P", "-m", "stead.guest.nursery")
_COMPILE = (
    sys.executable,
    "-P",
    "-c",
    "import stead.guest.holder as h; h.forking.load(); import stead.toolbox.holding.engine",
)
_FIRST_POLL = 0.02
_POLL = 0.004
_LONGEST_POLL = 0.04
_LOOKS = 16
"""A guest that was not ready at so many looks is looked at more seldom; whether its holder lives is asked as often."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hidden` are directories no sandboxed workspace may see; `environment` is what every holder gets besides the basics."""

    state: Path
    hidden: tuple[Path, ...] = ()
    environment: dict[str, str] = {}
    holder: tuple[str, ...] = HOLDER
    nursery: tuple[str, ...] = NURSERY
    fork_seconds: float = FORK_SECONDS
    sandboxed: bool = True


class GuestConfig(msgspec.Struct, kw_only=True):
    """What the holder and the guest are told; the file is private and written anew at every start."""

    version: int = CONFIG_VERSION
    workspace_id: str
    name: str
    root: str
    run: str
    environment: dict[str, str]
    isolation: str
    limits: list[str]
    generation: int
    toolbox: str = "local"


class _Restarts(msgspec.Struct):
    """What a holder tells of its guest."""

    guest_restarts: int = 0


class ProcessDriver:
    """Workspaces as processes of this machine."""

    name = "process"

    def __init__(self, settings: ProcessSettings, observer: Observer | None = None) -> None:
        self._settings = settings
        self._observer: Observer = observer or Nobody()
        self._layout = Layout(settings.state)
        self._layout.make()
        self._sandbox = _probe(settings)
        self._etc = Etc(settings.state / "machine")
        self._controllers = cgroups.probe()
        self._children = Children()
        self._nurseries: dict[str, Nursery] = {}
        self._starts = anyio.CapacityLimiter(STARTS * (os.cpu_count() or 1))
        if settings.holder == HOLDER and not _is_compiled():
            self._children.start(_COMPILE)
        if settings.holder == HOLDER and LINUX:
            self._nurseries = {level: self._nursery(level) for level in self.facts().isolation}

    def facts(self) -> DriverFacts:
        isolation = [Isolation.NONE.value]
        notes = [self._controllers.reason]
        if isinstance(self._sandbox, sandbox.Sandbox):
            isolation.insert(0, Isolation.NAMESPACES.value)
        else:
            notes.append(self._sandbox)
        trouble = next((nursery.trouble for nursery in self._nurseries.values() if nursery.trouble), "")
        if trouble:
            notes.append(f"workspaces start slowly, each with its own Python: {trouble}")
        return DriverFacts(
            name=self.name,
            isolation=isolation,
            limits=[limit.value for limit in self._controllers.limits],
            persistence="disk",
            note="; ".join(note for note in notes if note),
        )

    def slowness(self) -> str:
        """Why the last workspace was started with a Python of its own; empty when there was no need."""
        if not self._nurseries:
            return "that needs Linux" if not LINUX else "the settings name another holder"
        return next((nursery.failure for nursery in self._nurseries.values() if nursery.failure), "")

    async def start(self, spec: WorkspaceSpec, command_id: str, progress: Progress) -> Handle:
        isolation = self._choose(spec.isolation)
        place = self._layout.place(spec.workspace_id)
        meta = await self._off_loop(place.load)
        if meta is not None and _holds(meta) and meta.generation == spec.generation:
            await self._await_guest(place, meta)
            return _handle(place, meta)
        await progress("prepare", "")
        async with self._starts:
            return await self._begin(place, spec, command_id, isolation, meta, progress)

    async def _begin(
        self,
        place: Place,
        spec: WorkspaceSpec,
        command_id: str,
        isolation: Isolation,
        meta: Meta | None,
        progress: Progress,
    ) -> Handle:
        """A start from its first step to a guest that listens."""
        if meta is not None:
            await self._end(place, meta, grace=0.0)
        await self._observer.at("driver.start.cleared", spec.workspace_id)
        meta = await self._off_loop(partial(self._prepare, place, spec, command_id, isolation))
        await self._observer.at("driver.start.prepared", spec.workspace_id)
        await progress("launch", "")
        holder, told = await self._fork(place, spec, meta) or (await self._launch(place, spec, meta), None)
        try:
            await self._observer.at("driver.start.launched", spec.workspace_id)
            meta = await self._store(place, msgspec.structs.replace(meta, phase="up", holder=holder))
            await self._observer.at("driver.start.recorded", spec.workspace_id)
            await progress("guest", "")
            await self._await_guest(place, meta, told)
        finally:
            if told is not None:
                told.close()
        return _handle(place, meta)

    async def stop(self, handle: Handle, grace: float) -> None:
        place = self._layout.place(handle.workspace_id)
        meta = await self._off_loop(place.load)
        if meta is None:
            meta = _from_handle(handle) if place.exists() else None
        if meta is None:
            return
        await self._end(place, meta, grace)
        if meta.phase != "deleting":
            await self._store(place, msgspec.structs.replace(meta, phase="stopped", holder=None, cgroups=[]))
        await self._observer.at("driver.stop.recorded", handle.workspace_id)

    async def delete(self, handle: Handle) -> None:
        place = self._layout.place(handle.workspace_id)
        if not place.exists():
            return
        meta = await self._off_loop(place.load) or _from_handle(handle)
        meta = await self._store(place, msgspec.structs.replace(meta, phase="deleting"))
        await self._observer.at("driver.delete.marked", handle.workspace_id)
        await self._end(place, meta, grace=0.0)
        await self._observer.at("driver.delete.ended", handle.workspace_id)
        await self._off_loop(place.remove)
        await self._observer.at("driver.delete.removed", handle.workspace_id)

    async def status(self, handle: Handle) -> Status:
        self._children.reap()
        place = self._layout.place(handle.workspace_id)
        return await self._off_loop(partial(_look, place, handle))

    async def channel(self, handle: Handle) -> Bytes:
        return await sockets.connect(self._layout.place(handle.workspace_id).run, "guest.sock")

    async def find(self) -> list[Found]:
        self._children.reap()
        await self._off_loop(self._warm_up)
        return await self._off_loop(self._find)

    async def close(self) -> None:
        await self._off_loop(self._etc.close)
        for nursery in self._nurseries.values():
            await self._off_loop(nursery.end)
        self._children.reap()
        self._children.let_go()

    def _warm_up(self) -> None:
        """A node that has come up looks what there is before it takes work: all that starts need is made meanwhile."""
        if isinstance(self._sandbox, sandbox.Sandbox):
            self._etc.keep()
        for nursery in list(self._nurseries.values())[:1]:
            nursery.get_ready()

    def _find(self) -> list[Found]:
        found = []
        for place in self._layout.places():
            meta = place.load()
            generation = 0 if meta is None else meta.generation
            found.append(Found(place.workspace_id, generation, _handle(place, meta)))
        return found

    def _choose(self, asked: str) -> Isolation:
        """What is asked for, or the strongest there is; never less than asked."""
        available = [Isolation(word) for word in self.facts().isolation]
        if not asked:
            return available[0]
        if asked in {level.value for level in available}:
            return Isolation(asked)
        reason = f" ({self._sandbox})" if isinstance(self._sandbox, str) else ""
        given = ", ".join(level.value for level in available)
        raise SteadError("isolation_unavailable", f"isolation {asked!r} cannot be given here, only {given}{reason}")

    def _prepare(self, place: Place, spec: WorkspaceSpec, command_id: str, isolation: Isolation) -> Meta:
        """Remembers what is about to be made, then makes everything a holder needs."""
        self._children.reap()
        _check_space(self._layout.workspaces)
        if isolation is Isolation.NAMESPACES:
            self._etc.get_fresh()
        place.make()
        name, wanted = _group_name(spec), cgroups.Wanted(spec.cpus, spec.memory_bytes, spec.processes)
        meta = place.store(
            Meta(
                workspace_id=spec.workspace_id,
                generation=spec.generation,
                command_id=command_id,
                phase="launching",
                isolation=isolation.value,
                cgroups=[str(path) for path in self._controllers.plan(name, wanted)],
            )
        )
        limits = [limit.value for limit in self._group(name, wanted).limits]
        place.clear_run()
        config = GuestConfig(
            workspace_id=spec.workspace_id,
            name=spec.name,
            root=str(place.home),
            run=str(place.run),
            environment=spec.environment,
            isolation=isolation.value,
            limits=limits,
            generation=spec.generation,
        )
        replace(place.config, msgspec.json.encode(config), durable=False)
        return msgspec.structs.replace(meta, limits=limits)

    def _group(self, name: str, wanted: cgroups.Wanted) -> cgroups.Group:
        try:
            return self._controllers.make(name, wanted)
        except OSError as error:
            raise SteadError("driver_failed", f"cannot make control groups: {error.strerror or error}") from error

    def _nursery(self, isolation: str) -> Nursery:
        """One whose own command line has room for that of its holders."""

        def command(connection: int) -> list[str]:
            argv = [*self._settings.nursery, "--socket", str(connection)]
            if isolation == Isolation.NONE:
                return [*argv, *self._room(argv)]
            assert isinstance(self._sandbox, sandbox.Sandbox)
            argv.append("--hidden")
            return self._sandbox.nursery([*argv, *self._room(argv)], self._layout.workspaces)

        log = self._layout.workspaces.with_name(f"nursery-{isolation}.log")
        return Nursery(self._children, command, self._basics(), log)

    def _room(self, argv: list[str]) -> list[str]:
        longest = self._layout.workspaces / ids.make(ids.Kind.WORKSPACE, 0, b"")
        missing = len("\0".join([*self._command(Place(longest))])) - len("\0".join([*argv, "--for", ""]))
        return ["--for", str(self._layout.workspaces).ljust(missing, "/")]

    def _command(self, place: Place) -> list[str]:
        return [*self._settings.holder, "--config", str(place.config)]

    async def _fork(self, place: Place, spec: WorkspaceSpec, meta: Meta) -> tuple[Identity, Told] | None:
        """A holder from the nursery, where it belongs. None when there has to be another way; then nothing is left."""
        nursery = self._nurseries.get(meta.isolation)
        if nursery is None or nursery.trouble:
            return None
        told, asked = Told(), 0
        try:
            with anyio.fail_after(self._settings.fork_seconds):
                asked = await self._off_loop(self._ask, nursery, place, spec, meta, told)
                pid = await told.until("in")
        except (NurseryError, TimeoutError) as error:
            told.close()
            await self._off_loop(nursery.failed, error, asked)
            await sweep(place.workspace_id, place.config, place.is_held, KILL_SECONDS)
            return None
        except BaseException:
            told.close()
            raise
        nursery.succeeded()
        holder = identify(pid)
        if holder is None:
            told.close()
            raise SteadError("driver_failed", f"the holder ended at once: {place.log_tail()}")
        return holder, told

    def _ask(self, nursery: Nursery, place: Place, spec: WorkspaceSpec, meta: Meta, told: Told) -> int:
        with contextlib.ExitStack() as opened:
            opened.callback(told.let_go)
            descriptors = [place.open_log(), told.writer.fileno()]
            opened.callback(os.close, descriptors[0])
            for path in meta.cgroups:
                descriptors.append(os.open(Path(path, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC))
                opened.callback(os.close, descriptors[-1])
            return nursery.ask(self._request(place, spec, meta), descriptors)

    def _request(self, place: Place, spec: WorkspaceSpec, meta: Meta) -> Request:
        request = Request(
            command=self._command(place),
            environment=self._environment(place),
            directory=str(place.home),
            sandbox=[],
            user=[],
        )
        if meta.isolation == Isolation.NAMESPACES:
            assert isinstance(self._sandbox, sandbox.Sandbox)
            request.sandbox = self._around(self._sandbox, place, spec)
            request.user = [os.geteuid(), os.getegid()] if self._sandbox.makes_users else []
        return request

    async def _launch(self, place: Place, spec: WorkspaceSpec, meta: Meta) -> Identity:
        group = cgroups.Group([Path(path) for path in meta.cgroups])
        argv = self._command(place)
        start = partial(self._start_sandboxed, spec) if meta.isolation == Isolation.NAMESPACES else self._start_plain
        return await self._off_loop(start, place, group, argv)

    def _start_plain(self, place: Place, group: cgroups.Group, argv: list[str]) -> Identity:
        log = place.open_log()
        try:
            return launch(self._children, group.join(argv), self._environment(place), place.home, log)
        finally:
            os.close(log)

    def _start_sandboxed(self, spec: WorkspaceSpec, place: Place, group: cgroups.Group, argv: list[str]) -> Identity:
        assert isinstance(self._sandbox, sandbox.Sandbox)
        info = os.pipe()
        wrapped = self._sandbox.wrap(argv, self._around(self._sandbox, place, spec), info[1])
        log = place.open_log()
        try:
            return launch_sandboxed(
                self._children, group.join(wrapped), self._environment(place), place.home, log, info
            )
        finally:
            os.close(log)

    def _around(self, made: sandbox.Sandbox, place: Place, spec: WorkspaceSpec) -> list[str]:
        return made.around(
            home=place.home,
            run=place.run,
            hidden=[*self._settings.hidden, self._layout.workspaces],
            shown=self._etc.mounts,
            hostname=spec.name or "workspace",
        )

    def _environment(self, place: Place) -> dict[str, str]:
        return self._basics(place.home) | {MARKER: place.workspace_id}

    def _basics(self, home: Path = Path("/")) -> dict[str, str]:
        """Nothing of the node's own environment but where programs are and the language."""
        basics = {"PATH": os.environ.get("PATH") or _PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
        user = os.environ.get("USER") or os.environ.get("LOGNAME") or "stead"
        basics |= {"HOME": str(home), "USER": user, "LOGNAME": user, "SHELL": "/bin/sh"}
        return basics | self._settings.environment

    async def _await_guest(self, place: Place, meta: Meta, told: Told | None = None) -> None:
        """Until the guest takes connections; a holder that dies meanwhile is told with its last words."""
        with anyio.move_on_after(READY_SECONDS):
            if told is not None:
                with contextlib.suppress(NurseryError):
                    await told.until("ready")
                    return
            pause = _FIRST_POLL
            for look in itertools.count():
                if look % _LOOKS == 0 and not (meta.holder is not None and is_alive(meta.holder)):
                    break
                if await _listens(place):
                    return
                await anyio.sleep(pause)
                pause = _POLL if look < _LOOKS else min(pause * 1.2, _LONGEST_POLL)
            raise SteadError("driver_failed", f"the holder ended before its guest was ready: {place.log_tail()}")
        raise SteadError("driver_failed", f"the guest was not ready within {READY_SECONDS:g} s: {place.log_tail()}")

    async def _end(self, place: Place, meta: Meta, grace: float) -> None:
        """Ends the holder (asked first when there is grace), then whatever is left, then the limits."""
        holder = meta.holder
        if holder is not None and grace > 0 and send(holder, signal.SIGTERM):
            await wait_gone(holder, grace)
        if holder is not None and send(holder, signal.SIGKILL):
            await wait_gone(holder, KILL_SECONDS)
        self._children.reap()
        await self._observer.at("driver.end.signalled", place.workspace_id)
        group = cgroups.Group([Path(path) for path in meta.cgroups])
        await group.end(KILL_SECONDS)
        if holder is None or meta.isolation == Isolation.NONE:
            await sweep(place.workspace_id, place.config, place.is_held, KILL_SECONDS)
        self._children.reap()
        if not await group.remove(KILL_SECONDS):
            raise SteadError("driver_failed", "the control groups of the workspace are still in use")

    async def _store(self, place: Place, meta: Meta) -> Meta:
        return await self._off_loop(place.store, meta)

    async def _off_loop(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Runs what touches the disk in a thread; what the system refuses becomes an error of the table."""
        try:
            return await to_thread.run_sync(partial(work, *args, **named))
        except OSError as error:
            code = "disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "driver_failed"
            raise SteadError(code, f"the machine refused: {error.strerror or error}") from error


def _probe(settings: ProcessSettings) -> sandbox.Sandbox | str:
    if not settings.sandboxed:
        return "switched off in the settings"
    if any(path.is_relative_to(ETC) for path in (settings.state, *settings.hidden)):
        return f"the node's data lies in {ETC}, of which workspaces have a copy"
    return sandbox.probe()


def _is_compiled() -> bool:
    """Whether the guest was compiled ahead; where its folder is read-only it compiles itself at every start."""
    source = Path(__file__).resolve().parents[2] / "toolbox" / "holding" / "engine.py"
    return Path(importlib.util.cache_from_source(str(source))).exists()


def _group_name(spec: WorkspaceSpec) -> str:
    return f"stead-{spec.workspace_id}-{spec.generation}"


def _holds(meta: Meta) -> bool:
    return meta.phase == "up" and meta.holder is not None and is_alive(meta.holder)


def _handle(place: Place, meta: Meta | None) -> Handle:
    holder = None if meta is None else meta.holder
    data = {} if holder is None else {"pid": str(holder.pid), "started": holder.started, "boot": holder.boot}
    return Handle(HANDLE_VERSION, ProcessDriver.name, place.workspace_id, data)


def _from_handle(handle: Handle) -> Meta:
    """What a handle alone tells, where the memory on disk is gone."""
    data = handle.data
    holder = Identity(int(data["pid"]), data["started"], data["boot"]) if data else None
    return Meta(workspace_id=handle.workspace_id, generation=0, command_id="", phase="launching", holder=holder)


def _look(place: Place, handle: Handle) -> Status:
    if not place.exists():
        return Status(sight=Sight.ABSENT)
    meta = place.load()
    if meta is None:
        return Status(sight=Sight.BROKEN, note="the memory of the workspace is not readable")
    sight = {"up": Sight.RUNNING if _holds(meta) else Sight.BROKEN, "stopped": Sight.STOPPED}.get(
        meta.phase, Sight.BROKEN
    )
    return Status(
        sight=sight,
        isolation=Isolation(meta.isolation),
        limits=tuple(Limit(word) for word in meta.limits),
        generation=meta.generation,
        command_id=meta.command_id,
        guest_restarts=_guest_restarts(place),
        note="" if sight is not Sight.BROKEN else place.log_tail() or f"interrupted while {meta.phase}",
    )


def _guest_restarts(place: Place) -> int:
    try:
        return msgspec.json.decode(read_untrusted(place.state, STATE_BYTES), type=_Restarts).guest_restarts
    except (OSError, msgspec.DecodeError):
        return 0


async def _listens(place: Place) -> bool:
    if not os.path.exists(place.socket):  # noqa: PTH110 (asked often)
        return False
    try:
        channel = await sockets.connect(place.run, "guest.sock")
    except SteadError:
        return False
    await channel.close()
    return True


def _check_space(directory: Path) -> None:
    if shutil.disk_usage(directory).free < 1 << 20:
        raise SteadError("disk_full", "no space is left for workspaces on this machine")
