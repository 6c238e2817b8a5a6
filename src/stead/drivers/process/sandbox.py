"""Bubblewrap: own mounts, processes, host name and IPC; the network is the machine's.

Contract: `probe()` runs it once and answers a `Sandbox`, or the reason why it does not work here. `Sandbox.wrap` turns the
argument vector of a holder into one that runs it as process 1 of its own namespaces. Inside, the system is read-only and
without capabilities; /tmp, /run, home directories, the machine's secrets and the node's data are empty but for the
workspace's own directories, which keep their paths.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

PROBE_SECONDS = 20.0
_VARIANTS: tuple[tuple[str, ...], ...] = ((), ("--unshare-user",))
_EMPTY = ("/tmp", "/var/tmp", "/run", "/home", "/root", "/media", "/mnt")  # noqa: S108 (emptied, not used)
_SECRET_DIRECTORIES = (
    "/etc/ssl/private",
    "/etc/sudoers.d",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/kubelet",
)
_SECRET_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers")
_HOST_KEYS = "ssh_host_*_key"
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")


class Sandbox(msgspec.Struct, frozen=True):
    """A bubblewrap that works here, with the options it needs on this machine."""

    program: str
    options: tuple[str, ...] = ()

    def wrap(
        self, argv: list[str], *, home: Path, run: Path, hidden: list[Path], hostname: str, info: int
    ) -> list[str]:
        """`info` is a descriptor on which bubblewrap tells the pid of what it started."""
        inside = self.around(home=home, run=run, hidden=hidden, hostname=hostname)
        return [*inside, *_PROCESSES, *self.options, "--info-fd", str(info), "--", *argv]

    def around(self, *, home: Path, run: Path, hidden: list[Path], hostname: str) -> list[str]:
        """All of it but the namespaces of processes and users, for who has them already."""
        own = _keep("--bind", [home, run])
        return [self.program, *_NAMESPACES, "--hostname", hostname, *_system(hidden), *own, "--chdir", str(home)]

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
        *_system([]),
        "--",
        "/bin/true",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _system(hidden: list[Path]) -> list[str]:
    """The read-only system. What is private to people or to the node is empty, but our own programs stay visible."""
    private = _outermost([Path(name) for name in _EMPTY + _SECRET_DIRECTORIES] + [Path.home()])
    hidden = _outermost(hidden)
    programs = _programs()
    argv = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    argv += [word for path in private for word in ("--tmpfs", str(path))]
    argv += [word for path in _secrets() for word in ("--ro-bind", os.devnull, str(path))]
    for name in _RESOLVERS:
        argv += ["--ro-bind-try", name, name]
    argv += _keep("--ro-bind", [path for path in programs if _inside(path, private)])
    argv += [word for path in hidden for word in ("--tmpfs", str(path))]
    argv += _keep("--ro-bind", [path for path in programs if _inside(path, hidden)])
    return argv


def _secrets() -> list[Path]:
    """Files that a workspace of root could read, because root owns them."""
    found = [Path(name) for name in _SECRET_FILES] + sorted(Path("/etc/ssh").glob(_HOST_KEYS))
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _programs() -> list[Path]:
    """Where the interpreter, its libraries and this package lie."""
    executable = Path(os.path.realpath(sys.executable))
    package = Path(__file__).resolve().parents[3]
    places = [Path(sys.prefix), Path(sys.base_prefix), executable.parent.parent, package]
    return _outermost([place for place in places if place != Path("/")])


def _keep(option: str, paths: list[Path]) -> list[str]:
    return [word for path in paths for word in (option, str(path), str(path))]


def _inside(path: Path, directories: list[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def _outermost(paths: list[Path]) -> list[Path]:
    """Existing directories, links resolved, none inside another."""
    real = sorted({Path(os.path.realpath(path)) for path in paths if path.is_dir()})
    kept: list[Path] = []
    for path in real:
        if path != Path("/") and not _inside(path, kept):
            kept.append(path)
    return kept
