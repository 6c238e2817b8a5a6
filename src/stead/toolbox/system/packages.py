"""Packages of the system, by whichever manager it has: apt, dnf or apk. Nothing is ever asked of a person.

Contract: without one of them, "unsupported". Names are checked, so that none is an option, a file or a pattern; `name=version`
is one version of it. What is installed already comes to the newest version known, or to the one named, be it older; what is
to go and is not there is gone already. Changes wait for each other, and for other programs that hold the manager's lock:
"unavailable" after a minute. A change that was begun goes to its end, also when nobody waits for it any more: a manager that is
killed leaves half a package behind. A name or a version that is not known is "not_found". Where a manager fails halfway, the
details of the error tell what has changed, as the result does.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES, LIST_ENTRIES
from stead.toolbox.place import Place
from stead.toolbox.programs import Finished
from stead.toolbox.system.contract import (
    PACKAGE_LOCK_SECONDS,
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
_AGAIN_SECONDS = 1.0
_UNKNOWN = re.compile(
    r"Unable to locate package|Version '[^']*' for '[^']*' was not found|has no installation candidate"
    r"|No match for argument|Unable to find a match|\(no such package\):\s+required by:[^\n]* world\["
)
_FORBIDDEN = re.compile(r"are you root|Permission denied|superuser|must be root", re.IGNORECASE)
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|have enough free space in|needs \d+\S* (?:more space|inodes) on the"
    r"|more space needed on the"
)
_HELD = re.compile(
    r"Could not get lock|Unable to lock database: (?:Resource|Interrupted)|can't create transaction lock"
    r"|Transaction test error:\s+package \S+ is already installed"
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9+._:~=-]{0,200}[A-Za-z0-9+._~])?")
"""None ends with `-`: for apt that would be a wish to remove it."""
_APT = (
    *("-y", "-q", "--allow-downgrades", "-o", f"DPkg::Lock::Timeout={PACKAGE_LOCK_SECONDS:g}"),
    *("-o", "Dpkg::Options::=--force-confold", "-o", "APT::Cmd::Pattern-Only=true"),
)
"""Else `python3.1` would be a regular expression where there is no such package."""
_AWAY = ("", "n", "c")
"""What dpkg says of a package of which at most the configuration is there."""
_KEYS = "gpg-pubkey"
"""What rpm lists as packages and dnf does not: keys that it trusts."""
_DNF = ("dnf", "-y", "-q")
_APK = ("apk", "--wait", f"{PACKAGE_LOCK_SECONDS:g}")
log = logging.getLogger(__name__)

_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_MODE": "a"}


class Manager(NamedTuple):
    """The programs of one manager. The names of packages are added to `install` and `remove`; `mark` stands before a
    version; `minds` tells that removing what is not there is an error to it."""

    name: str
    program: str
    refresh: Sequence[str]
    install: Sequence[str]
    remove: Sequence[str]
    listing: Sequence[str]
    mark: str = "="
    minds: bool = True


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
        (*_DNF, "--refresh", "makecache"),
        (*_DNF, "--best", "install", "--"),
        (*_DNF, "remove", "--noautoremove", "--"),
        ("rpm", "-qa", "--qf", "ii \\t%{NAME}\\t%{EVR}\\t%{ARCH}\\t%{SIZE}\\n"),
        mark="-",
        minds=False,
    ),
    Manager("apk", "apk", (*_APK, "update"), (*_APK, "add", "-u", "--"), (*_APK, "del", "-r", "--"), ()),
)


class Installed:
    """The packages of one place."""

    def __init__(
        self, place: Place, apk_lists: Sequence[str] = APK_LISTS, lock_seconds: float = PACKAGE_LOCK_SECONDS
    ) -> None:
        self._place = place
        self._apk_lists = apk_lists
        self._lock_seconds = lock_seconds
        self._turn = asyncio.Lock()
        self._changing: asyncio.Task[PackagesChanged] | None = None

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
        names = [name.replace("=", manager.mark, 1) for name in _checked(asked.names)]
        return await self._in_turn(self._installed(manager, names, refresh=asked.refresh))

    async def remove(self, asked: RemovePackages) -> PackagesChanged:
        """Their configuration stays, and so does what they needed where the manager leaves it."""
        manager = self._manager()
        return await self._in_turn(self._removed(manager, _checked(asked.names)))

    async def _in_turn(self, change: Coroutine[Any, Any, PackagesChanged]) -> PackagesChanged:
        """One after the other, each to its end."""
        try:
            await self._turn.acquire()
        except BaseException:
            change.close()
            raise
        self._changing = asyncio.create_task(change)
        self._changing.add_done_callback(self._changed)
        return await asyncio.shield(self._changing)

    def _changed(self, change: asyncio.Task[PackagesChanged]) -> None:
        self._turn.release()
        if not change.cancelled() and (error := change.exception()):
            log.info("packages were not changed: %s", error)

    async def _installed(self, manager: Manager, names: list[str], *, refresh: bool) -> PackagesChanged:
        if refresh:
            await self._run(manager.refresh)
        return await self._change(manager, [*manager.install, *names], await self._list(manager))

    async def _removed(self, manager: Manager, names: list[str]) -> PackagesChanged:
        before = await self._list(manager)
        if manager.minds:
            there = {package.name for package in before}
            names = [name for name in names if re.split("[:=]", name)[0] in there]
        if not names:
            return PackagesChanged(manager=manager.name, output="")
        return await self._change(manager, [*manager.remove, *names], before)

    def _manager(self) -> Manager:
        for manager in MANAGERS:
            if self._place.programs.find(manager.program):
                return manager
        raise SteadError("unsupported", "none of apt, dnf and apk is here")

    async def _list(self, manager: Manager) -> list[Package]:
        if manager.listing:
            lines = (await self._run(manager.listing)).stdout.decode(errors="replace").splitlines()
            unit = 1024 if manager.name == "apt" else 1
            listed = [_package(line.split("\t"), unit) for line in lines if line[1:2] not in _AWAY]
            found = [package for package in listed if package.name != _KEYS]
        else:
            found = await self._place.in_thread(_of_apk, self._apk_lists)
        return sorted(found, key=lambda package: (package.name, package.architecture, package.version))

    async def _change(self, manager: Manager, argv: Sequence[str], listed: Sequence[Package]) -> PackagesChanged:
        before = _versions(listed)
        try:
            done = await self._run(argv)
        except SteadError as error:
            gone, came = _changes(before, _versions(await self._list(manager)))
            error.details |= {"before": gone, "after": came} if gone or came else {}
            raise
        gone, came = _changes(before, _versions(await self._list(manager)))
        output = done.stdout.decode(errors="replace")[-(CALL_BYTES >> 4) :]
        return PackagesChanged(manager=manager.name, output=output, before=gone, after=came)

    async def _run(self, argv: Sequence[str]) -> Finished:
        """Again and again while another program holds the lock, for a time."""
        until = time.monotonic() + self._lock_seconds
        while True:
            done = await self._place.programs.run(
                argv, cwd=self._place.root.path, environment=_QUIET, seconds=PACKAGE_SECONDS, limit=LIST_BYTES
            )
            if done.ok:
                return done
            words = f"{done.complaint}\n{done.stdout.decode(errors='replace')[-1000:]}".strip()
            code = _refusal(words, argv)
            if code != "unavailable" or time.monotonic() >= until:
                raise SteadError(code, f"{argv[0]}: {words}", exit_code=done.code)
            await asyncio.sleep(_AGAIN_SECONDS)


def _refusal(words: str, argv: Sequence[str]) -> str:
    if _FULL.search(words):
        return "disk_full"
    if _FORBIDDEN.search(words):
        return "permission_denied"
    if _HELD.search(words) or _never_began(words):
        return "unavailable"
    if _UNKNOWN.search(words) or any(_breaks(words, name) for name in argv):
        return "not_found"
    return "program_failed"


def _never_began(words: str) -> bool:
    """All that dnf 5 tells of a held lock of rpm is that nothing came of it."""
    return "Rpm transaction failed" in words and "Prepare transaction" not in words


def _breaks(words: str, name: str) -> bool:
    """apk knows packages of this name, but none with this version."""
    return f"breaks: world[{name}]" in words and f"satisfies: world[{name}]" not in words


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
    """By name; of several with one name, each with its architecture."""
    found: dict[str, list[Package]] = {}
    for package in packages:
        found.setdefault(package.name, []).append(package)
    return {
        name: ", ".join(f"{each.version} {each.architecture}" for each in same) if len(same) > 1 else same[0].version
        for name, same in found.items()
    }


def _changes(before: dict[str, str], after: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What was otherwise before, and what is otherwise now."""
    return dict(sorted(before.items() - after.items())), dict(sorted(after.items() - before.items()))


def _fitting(found: list[Package]) -> list[Package]:
    """As many as one message carries."""
    room = CALL_BYTES
    for count, package in enumerate(found):
        room -= len(package.name) + len(package.version) + 80
        if room < 0:
            return found[:count]
    return found
