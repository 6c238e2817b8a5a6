"""The real programs that tests talk to: where each is found, and why it is not usable when it is not.

`ENGINES` is the one table. A test asks with `@pytest.mark.needs_engine("postgres")`; `make engines` installs them.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Probe = Callable[[], str | None]
"""Answers None where the engine works, else the reason why not."""


def which(*names: str) -> str | None:
    """The path of the first of these programs that is installed; system folders count also when PATH lacks them."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def postgres_bin() -> Path | None:
    """The folder with the newest installed PostgreSQL's programs."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    if versions:
        return versions[-1].parent
    found = which("postgres")
    return Path(found).parent if found else None


def chromium() -> str | None:
    """The path of a Chromium that Playwright can drive."""
    return os.environ.get("STEAD_CHROMIUM") or which("chromium", "chromium-browser", "google-chrome")


def _program(*names: str) -> Probe:
    return lambda: None if which(*names) else f"{names[0]} is not installed"


def _bwrap() -> str | None:
    program = which("bwrap")
    if program is None:
        return "bwrap is not installed"
    argv = [
        program,
        "--ro-bind",
        "/",
        "/",
        "--unshare-pid",
        "--unshare-uts",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return None if done.returncode == 0 else f"bwrap cannot make namespaces here: {done.stderr.strip()}"


def _busybox() -> str | None:
    from support import machines

    return None if machines.busybox() else "no static busybox is installed"


def _qemu() -> str | None:
    from support import machines

    if why := _program("qemu-system-x86_64")() or _program("cpio")():
        return why
    if why := _busybox():
        return why
    return None if machines.kernel() else f"there is no kernel in {machines.KERNEL}"


def _debian() -> str | None:
    from support import machines

    if why := _program("mke2fs")() or _bwrap():
        return why
    if os.geteuid() != 0:
        return "a Debian in a folder of its own needs root"
    return None if machines.DEBIAN.exists() else f"there is no {machines.DEBIAN}"


def left_out(name: str) -> str:
    """What `make engines` says of a root that a Debian which is not released yet could not give; else nothing."""
    from support import managers

    told = managers.ROOTS / f"{name}.left-out"
    return told.read_text().strip() if told.exists() and not (managers.ROOTS / f"{name}.tar").exists() else ""


def _root(name: str, *programs: str) -> Probe:
    """Whether `make engines` made this root, and its packages can be built here."""

    def probe() -> str | None:
        from support import managers

        if why := _bwrap() or next((why for program in programs if (why := _program(program)())), None):
            return why
        if os.geteuid() != 0:
            return "a package manager in a folder of its own needs root"
        file = managers.ROOTS / name
        if told := left_out(file.stem):
            return told
        return None if file.exists() else f"there is no {file}"

    return probe


ENGINES: dict[str, Probe] = {
    "postgres": lambda: None if postgres_bin() else "postgres is not installed",
    "chromium": lambda: None if chromium() else "chromium is not installed",
    "bwrap": _bwrap,
    "sshd": _program("sshd"),
    "tmux": _program("tmux"),
    "rg": _program("rg"),
    "socat": _program("socat"),
    "node": _program("node"),
    "git": _program("git"),
    "qemu-ga": _program("qemu-ga"),
    "qemu": _qemu,
    "rpm": _program("rpmbuild"),
    "busybox": _busybox,
    "debian": _debian,
    "dnf4": _root("dnf4.tar", "rpmbuild"),
    "dnf5": _root("dnf5.tar", "rpmbuild"),
    "cloud": _root("cloud.tar"),
    "apk": _root("alpine.cpio.gz", "cpio", "openssl"),
}


@functools.cache
def why_missing(name: str) -> str | None:
    """None where the engine works on this machine, else the reason."""
    return ENGINES[name]()
