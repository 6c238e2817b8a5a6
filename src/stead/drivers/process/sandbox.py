"""Bubblewrap: own mounts, processes, host name and IPC; the network is the machine's.

Contract: `probe()` runs it once and answers a `Sandbox`, or the reason why it does not work here. `Sandbox.wrap` turns the
argument vector of a holder into one that runs it as process 1 of its own namespaces. Inside, the system is read-only and
without capabilities; /tmp, /run, home directories, what else is private and the node's data are empty but for the
workspace's own directories, which keep their paths. `shown` are folders that are seen in place of the machine's (`etc`).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

PROBE_SECONDS = 20.0
_VARIANTS: tuple[tuple[str, ...], ...] = ((), ("--unshare-user",))
_EMPTY = (
    "/tmp",  # noqa: S108 (emptied, not used)
    "/var/tmp",  # noqa: S108
    "/run",
    "/home",
    "/root",
    "/media",
    "/mnt",
    "/boot",
    "/var/backups",
    "/var/crash",
    "/var/log",
    "/var/mail",
    "/var/spool",
    "/var/lib/cloud",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/systemd",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
)
_STATES = "/var/lib"
"""In here, also what only its owner may enter is empty."""
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf")


class Sandbox(msgspec.Struct, frozen=True):
    """A bubblewrap that works here, with the options it needs on this machine."""

    program: str
    options: tuple[str, ...] = ()

    def wrap(self, argv: list[str], around: list[str], info: int) -> list[str]:
        """`around` is what `around` answers, `info` a descriptor on which bubblewrap tells the pid of what it started."""
        return [*around, *_PROCESSES, *self.options, "--info-fd", str(info), "--", *argv]

    def around(
        self, *, home: Path, run: Path, hidden: list[Path], shown: Mapping[Path, Path], hostname: str
    ) -> list[str]:
        """All of it but the namespaces of processes and users, for who has them already."""
        system = [*_system(hidden, shown), *_keep("--bind", [home, run])]
        return [self.program, *_NAMESPACES, "--hostname", hostname, *system, "--chdir", str(home)]

    def nursery(self, argv: list[str], writable: Path) -> list[str]:
        """Around a nursery: all is there, and all but the workspaces' directories is read-only, so that nobody who finds a
        way to the program or the libraries of a holder can write to them."""
        user = ("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL") if self.makes_users else ()
        system = ("--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--dev-bind", "/proc", "/proc")
        return [self.program, *user, *system, *_keep("--bind", [writable]), "--", *argv]

    @property
    def makes_users(self) -> bool:
        """Whether it needs a user namespace here."""
        return os.geteuid() != 0 or "--unshare-user" in self.options


_PROCESSES = ("--unshare-pid", "--as-pid-1")
_NAMESPACES = ("--unshare-uts", "--unshare-ipc", "--unshare-cgroup-try", "--cap-drop", "ALL")


def probe() -> Sandbox | str:
    """What works here, by running it; else why nothing does and what to do."""
    if sys.platform != "linux":
        return "namespaces need Linux"
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed (package `bubblewrap`)"
    reason = ""
    for options in _VARIANTS:
        sandbox = Sandbox(program, options)
        reason = _try(sandbox)
        if not reason:
            return sandbox
    return f"bubblewrap cannot make namespaces here: {reason}"


def _try(sandbox: Sandbox) -> str:
    argv = [
        sandbox.program,
        *_PROCESSES,
        *_NAMESPACES,
        *sandbox.options,
        "--hostname",
        "probe",
        *_system([], {}),
        "--",
        "/bin/true",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _system(hidden: list[Path], shown: Mapping[Path, Path]) -> list[str]:
    """The read-only system. What is private to people or to the node is empty, but our own programs stay visible."""
    private = _outermost([*_EMPTY, *_closed(_STATES), str(Path.home())])
    concealed = _outermost([str(path) for path in hidden])
    programs = _programs()
    argv = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    argv += [word for path in private for word in ("--tmpfs", path)]
    argv += [word for place, path in shown.items() for word in ("--ro-bind", str(path), str(place))]
    for name in _RESOLVERS:
        argv += ["--ro-bind-try", name, name]
    argv += _keep("--ro-bind", [path for path in programs if _inside(path, private)])
    argv += [word for path in concealed for word in ("--tmpfs", path)]
    argv += _keep("--ro-bind", [path for path in programs if _inside(path, concealed)])
    return argv


def _closed(directory: str) -> list[str]:
    """Directories in here that we may read, and not everybody."""
    if not os.path.isdir(directory):  # noqa: PTH112 (asked at every start)
        return []
    found = [entry for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    closed = (entry.path for entry in found if entry.stat(follow_symlinks=False).st_mode & 0o5 != 0o5)
    return [path for path in closed if os.access(path, os.X_OK)]


@functools.cache
def _programs() -> tuple[str, ...]:
    """Where the interpreter, its libraries and this package lie."""
    executable = Path(os.path.realpath(sys.executable))
    package = Path(__file__).resolve().parents[3]
    places = [sys.prefix, sys.base_prefix, str(executable.parent.parent), str(package)]
    return tuple(_outermost([place for place in places if place != "/"]))


def _keep(option: str, paths: Iterable[Path | str]) -> list[str]:
    return [word for path in paths for word in (option, str(path), str(path))]


def _inside(path: str, directories: list[str]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)


def _outermost(paths: list[str]) -> list[str]:
    """Existing directories, links resolved, none inside another."""
    real = sorted({os.path.realpath(path) for path in paths if os.path.isdir(path)})  # noqa: PTH112 (asked at every start)
    kept: list[str] = []
    for path in real:
        if path != "/" and not _inside(path, kept):
            kept.append(path)
    return kept
