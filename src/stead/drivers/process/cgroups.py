"""Limits by control groups, version 1 and version 2, where this machine permits them.

Contract: `probe()` tries and answers `Controllers` (possibly of nothing, with the reason). `Controllers.make(name, ...)`
answers a `Group` whose `limits` are those really set. A process joins by being started through `Group.join`; `end` kills
all members, `remove` takes the group away. Both succeed when there is nothing left.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import msgspec

from stead.model.workspaces import Limit

OWN_PROCESSES = 32
"""Added to a process limit for Stead's own processes and threads, which are counted with the workspace's."""
CPU_PERIOD = 100_000
SHELL = "/bin/sh"
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'
_PAUSE = 0.01
_V1 = {Limit.CPU: "cpu", Limit.MEMORY: "memory", Limit.PROCESSES: "pids"}


class Wanted(msgspec.Struct, frozen=True):
    """What is asked for; zero is no limit."""

    cpus: float = 0.0
    memory_bytes: int = 0
    processes: int = 0


class Group:
    """The control groups of one workspace: one directory in version 2, one a controller in version 1."""

    def __init__(self, paths: list[Path], limits: tuple[Limit, ...] = ()) -> None:
        self.paths = paths
        self.limits = limits

    def join(self, argv: list[str]) -> list[str]:
        """Starts `argv` as a member from its first instruction on."""
        if not self.paths:
            return argv
        return [SHELL, "-c", _JOIN, SHELL, *(str(path / "cgroup.procs") for path in self.paths), "--", *argv]

    def members(self) -> set[int]:
        """The pids inside, also in groups made below."""
        return {pid for path in self.paths for pid in _members(path)}

    async def end(self, within: float) -> None:
        """Kills every member, also those forked meanwhile."""
        with anyio.move_on_after(within):
            while members := self.members():
                for pid in members:
                    _kill(pid)
                await anyio.sleep(_PAUSE)

    async def remove(self, within: float) -> bool:
        """Whether the groups are gone; the kernel needs a moment after the last member ended."""
        with anyio.move_on_after(within):
            while [path for path in self.paths if not _remove(path)]:
                await anyio.sleep(_PAUSE)
            return True
        return False


class Controllers:
    """What may be limited on this machine, and where."""

    def __init__(self, version: int, places: dict[Limit, Path], reason: str = "") -> None:
        self.version = version
        self._places = places
        self.reason = reason

    @property
    def limits(self) -> tuple[Limit, ...]:
        return tuple(limit for limit in Limit if limit in self._places)

    def plan(self, name: str, wanted: Wanted) -> list[Path]:
        """Where `make` would make the group; to be remembered before it is made."""
        used = [limit for limit in self.limits if limit in self._files(wanted) or limit is Limit.PROCESSES]
        return list(dict.fromkeys(self._places[limit] / name for limit in used))

    def make(self, name: str, wanted: Wanted) -> Group:
        """The group of this name with the wanted limits, made or brought up to date."""
        paths = self.plan(name, wanted)
        for path in paths:
            path.mkdir(exist_ok=True)
        applied = [limit for limit, files in self._files(wanted).items() if _apply(self._places[limit] / name, files)]
        return Group(paths, tuple(applied))

    def _files(self, wanted: Wanted) -> dict[Limit, dict[str, str]]:
        table = _values_v1(wanted) if self.version == 1 else _values_v2(wanted)
        return {limit: files for limit, files in table.items() if files and limit in self._places}


def probe(proc: Path = Path("/proc/self")) -> Controllers:
    """Tries what the machine permits; nothing stays behind but enabled controllers."""
    try:
        mounts = (proc / "mountinfo").read_text()
        own = (proc / "cgroup").read_text()
    except OSError:
        return Controllers(0, {}, "no control groups on this system")
    places = _probe_v1(mounts, own)
    if places:
        return Controllers(1, places)
    unified = _unified(mounts, own)
    if unified is None:
        return Controllers(0, {}, "no control group here is writable by this user")
    places = _probe_v2(unified)
    reason = "" if places else "the control group of this program is not delegated to it (systemd: Delegate=yes)"
    return Controllers(2, places, reason)


def _values_v1(wanted: Wanted) -> dict[Limit, dict[str, str]]:
    memory = str(wanted.memory_bytes)
    return {
        Limit.CPU: {"cpu.cfs_period_us": str(CPU_PERIOD), "cpu.cfs_quota_us": str(int(wanted.cpus * CPU_PERIOD))}
        if wanted.cpus > 0
        else {},
        Limit.MEMORY: {"memory.limit_in_bytes": memory, "?memory.memsw.limit_in_bytes": memory}
        if wanted.memory_bytes > 0
        else {},
        Limit.PROCESSES: _processes(wanted),
    }


def _values_v2(wanted: Wanted) -> dict[Limit, dict[str, str]]:
    return {
        Limit.CPU: {"cpu.max": f"{int(wanted.cpus * CPU_PERIOD)} {CPU_PERIOD}"} if wanted.cpus > 0 else {},
        Limit.MEMORY: {"memory.max": str(wanted.memory_bytes), "?memory.swap.max": "0"}
        if wanted.memory_bytes > 0
        else {},
        Limit.PROCESSES: _processes(wanted),
    }


def _processes(wanted: Wanted) -> dict[str, str]:
    return {"pids.max": str(wanted.processes + OWN_PROCESSES)} if wanted.processes > 0 else {}


def _apply(path: Path, files: dict[str, str]) -> bool:
    """Whether all files took their value; those marked "?" need not exist."""
    for name, value in files.items():
        target = path / name.removeprefix("?")
        if name.startswith("?") and not target.exists():
            continue
        try:
            target.write_text(value)
        except OSError:
            return False
    return True


def _probe_v1(mounts: str, own: str) -> dict[Limit, Path]:
    paths = {name: path for _, names, path in _lines(own) for name in names}
    places: dict[Limit, Path] = {}
    for limit, controller in _V1.items():
        mount = next(
            (point for kind, point, options in _mounts(mounts) if kind == "cgroup" and controller in options), None
        )
        if mount is None or controller not in paths:
            continue
        place = _below(mount, paths[controller])
        if _may_make_groups(place):
            places[limit] = place
    return places


def _unified(mounts: str, own: str) -> Path | None:
    mount = next((point for kind, point, _ in _mounts(mounts) if kind == "cgroup2"), None)
    path = next((path for number, _, path in _lines(own) if number == "0"), None)
    return None if mount is None or path is None else _below(mount, path)


def _probe_v2(place: Path) -> dict[Limit, Path]:
    """Controllers can be given to groups below only when no process lives in the group itself: we move into a leaf."""
    wanted = {
        limit: controller for limit, controller in _V1.items() if controller in _words(place / "cgroup.controllers")
    }
    if not wanted or not _may_make_groups(place):
        return {}
    if _members(place, deep=False) == {os.getpid()}:
        leaf = place / "stead-node"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
    enabled: dict[Limit, Path] = {}
    for limit, controller in wanted.items():
        try:
            (place / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue
        enabled[limit] = place
    return enabled


def _may_make_groups(place: Path) -> bool:
    trial = place / f"stead-probe-{os.getpid()}"
    try:
        trial.mkdir(exist_ok=True)
        trial.rmdir()
    except OSError:
        return False
    return True


def _lines(own: str) -> list[tuple[str, list[str], str]]:
    parts = [line.split(":", 2) for line in own.splitlines() if line.count(":") >= 2]
    return [(number, names.split(","), path) for number, names, path in parts]


def _mounts(text: str) -> list[tuple[str, Path, list[str]]]:
    found = []
    for line in text.splitlines():
        front, _, back = line.partition(" - ")
        kind, _, options = back.split(" ", 2)
        found.append((kind, Path(front.split(" ")[4]), options.split(",")))
    return found


def _below(mount: Path, path: str) -> Path:
    """Inside a container the path may not be visible; then the mount is the group itself."""
    place = mount / path.lstrip("/")
    return place if ".." not in place.parts and place.is_dir() else mount


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _members(path: Path, *, deep: bool = True) -> set[int]:
    files = path.rglob("cgroup.procs") if deep else [path / "cgroup.procs"]
    return {int(word) for file in files for word in _words(file)}


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove(path: Path) -> bool:
    """Groups made inside by the workspace go first."""
    try:
        for below in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
            below.rmdir()
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
