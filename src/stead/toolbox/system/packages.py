"""Packages of the system, by whichever manager it has: apt, dnf or apk. Nothing is ever asked of a person.

Contract: without one of them, "unsupported". Names are checked, so that none is an option or a file. Two calls at once wait
for each other where the manager does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES
from stead.toolbox.place import Place
from stead.toolbox.programs import Finished
from stead.toolbox.system.contract import (
    PACKAGE_SECONDS,
    InstallPackages,
    ListPackages,
    Package,
    Packages,
    PackagesChanged,
    RemovePackages,
)

LIST_BYTES = 64 << 20
NAMES = 200
APK_LISTS = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_UNKNOWN = re.compile(
    r"Unable to locate package|Version '[^']*' for '[^']*' was not found|has no installation candidate"
    r"|No match for argument|Unable to find a match|no such package"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:~=-]{0,200}")
_APT = ("-y", "-q", "-o", "DPkg::Lock::Timeout=60", "-o", "Dpkg::Options::=--force-confold")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_MODE": "a"}


class Manager(NamedTuple):
    """The programs of one manager. The names of packages are added to `install` and `remove`."""

    name: str
    program: str
    refresh: Sequence[str]
    install: Sequence[str]
    remove: Sequence[str]
    listing: Sequence[str]


MANAGERS = (
    Manager(
        "apt",
        "apt-get",
        ("apt-get", *_APT, "update"),
        ("apt-get", *_APT, "install", "--"),
        ("apt-get", *_APT, "remove", "--"),
        (
            "dpkg-query",
            "-W",
            "-f=${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\t${Installed-Size}\\n",
        ),
    ),
    Manager(
        "dnf",
        "dnf",
        ("dnf", "-y", "-q", "makecache"),
        ("dnf", "-y", "-q", "install", "--"),
        ("dnf", "-y", "-q", "remove", "--"),
        ("rpm", "-qa", "--qf", "ii \\t%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\n"),
    ),
    Manager("apk", "apk", ("apk", "update"), ("apk", "add", "--"), ("apk", "del", "--"), ()),
)


class Installed:
    """The packages of one place."""

    def __init__(self, place: Place, apk_lists: Sequence[str] = APK_LISTS) -> None:
        self._place = place
        self._apk_lists = apk_lists

    async def packages(self, asked: ListPackages) -> Packages:
        """By name."""
        if not 1 <= asked.limit <= LIST_ENTRIES:
            raise SteadError("invalid", f"limit: from 1 to {LIST_ENTRIES}", field="limit")
        manager = self._manager()
        found = [package for package in await self._list(manager) if asked.name in package.name]
        kept = _fitting(found[: asked.limit])
        return Packages(manager=manager.name, packages=kept, total=len(found), truncated=len(kept) < len(found))

    async def install(self, asked: InstallPackages) -> PackagesChanged:
        """With what they need."""
        manager = self._manager()
        argv = [*manager.install, *_checked(asked.names)]
        if asked.refresh:
            await self._run(manager.refresh)
        return await self._change(manager, argv)

    async def remove(self, asked: RemovePackages) -> PackagesChanged:
        """Their configuration stays."""
        manager = self._manager()
        return await self._change(manager, [*manager.remove, *_checked(asked.names)])

    def _manager(self) -> Manager:
        for manager in MANAGERS:
            if self._place.programs.find(manager.program):
                return manager
        raise SteadError("unsupported", "none of apt, dnf and apk is here")

    async def _list(self, manager: Manager) -> list[Package]:
        if manager.listing:
            lines = (await self._run(manager.listing)).stdout.decode(errors="replace").splitlines()
            unit = 1024 if manager.name == "apt" else 1
            found = [_package(line.split("\t"), unit) for line in lines if line.startswith("ii")]
        else:
            found = await self._place.in_thread(_of_apk, self._apk_lists)
        return sorted(found, key=lambda package: (package.name, package.architecture))

    async def _change(self, manager: Manager, argv: Sequence[str]) -> PackagesChanged:
        before = _versions(await self._list(manager))
        done = await self._run(argv)
        after = _versions(await self._list(manager))
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return PackagesChanged(
            manager=manager.name,
            output=done.stdout.decode(errors="replace")[-(CALL_BYTES >> 4) :],
            before={name: before[name] for name in changed if name in before},
            after={name: after[name] for name in changed if name in after},
        )

    async def _run(self, argv: Sequence[str]) -> Finished:
        done = await self._place.programs.run(
            argv, cwd=self._place.root.path, environment=_QUIET, seconds=PACKAGE_SECONDS, limit=LIST_BYTES
        )
        if done.ok:
            return done
        words = f"{done.complaint}\n{done.stdout.decode(errors='replace')[-1000:]}".strip()
        raise SteadError(_refusal(words), f"{argv[0]}: {words}", exit_code=done.code)


def _refusal(words: str) -> str:
    if re.search(r"are you root|Permission denied|superuser|must be root", words, re.IGNORECASE):
        return "permission_denied"
    if _UNKNOWN.search(words):
        return "not_found"
    return "program_failed"


def _checked(names: Sequence[str]) -> list[str]:
    if not 1 <= len(names) <= NAMES or not all(_NAME.fullmatch(name) for name in names):
        raise SteadError("invalid", f"names: from 1 to {NAMES} names of packages are needed", field="names")
    return list(names)


def _package(fields: Sequence[str], unit: int) -> Package:
    _, name, version, architecture, size = [*fields, "", "", "", "", ""][:5]
    size = size.strip()
    return Package(
        name=name, version=version, architecture=architecture, size_bytes=int(size) * unit if size.isdigit() else 0
    )


def _of_apk(lists: Sequence[str]) -> list[Package]:
    """From apk's own list: blocks of lines such as `P:name`."""
    file = next((Path(path) for path in lists if Path(path).exists()), None)
    if file is None:
        return []
    found = []
    for block in file.read_text(errors="replace").split("\n\n"):
        facts = dict(line.split(":", 1) for line in block.splitlines() if line[1:2] == ":")
        if "P" in facts:
            found.append(_package(["", facts["P"], facts.get("V", ""), facts.get("A", ""), facts.get("I", "")], 1))
    return found


def _versions(packages: Sequence[Package]) -> dict[str, str]:
    return {package.name: package.version for package in packages}


def _fitting(found: list[Package]) -> list[Package]:
    """As many as one message carries."""
    room = CALL_BYTES
    for count, package in enumerate(found):
        room -= len(package.name) + len(package.version) + 80
        if room < 0:
            return found[:count]
    return found
