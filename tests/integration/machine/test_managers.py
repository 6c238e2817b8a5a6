"""The operations on packages against the real apt, dnf 4, dnf 5 and apk, each with a system and a repository of its own."""

import contextlib
import fcntl
import re
import runpy
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import IO

import anyio
import pytest

from stead import __version__
from stead.protocol.errors import SteadError
from stead.sdk.guest.client import connect
from stead.sdk.guest.link import GuestLink
from stead.toolbox.system.contract import Package, PackagesChanged, System
from stead.toolbox.system.packages import MANAGERS
from support import machines
from support.deadline import PATIENCE
from support.managers import KINDS, Managed, Tiny, managed, serving
from support.repository import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

SOON = 0.7
"""How long another program holds a lock."""
PUBLISHED = [
    Tiny("tiny-base"),
    Tiny("tiny", "1.0", needs="tiny-base"),
    Tiny("tiny", "2.0", needs="tiny-base"),
    Tiny("python9.11"),
    Tiny("broken", needs="nowhere"),
    Tiny("refusing", before="exit 3"),
    Tiny("slow", after="touch /var/tmp/began\nwhile ! test -e /var/tmp/go; do sleep 0.1; done"),
]
SHELL = Tiny("shell", gives="/bin/sh")
"""What rpm wants of a package with scripts; in a Fedora it is of bash."""


REAL = {name: pytest.param(name, marks=pytest.mark.needs_engine(kind.engine)) for name, kind in KINDS.items()}


@pytest.fixture(scope="module", params=REAL.values())
def real(
    request: pytest.FixtureRequest, standalone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Managed]:
    kind = KINDS[request.param]
    with managed(kind, tmp_path_factory.mktemp(request.param), standalone) as found:
        found.publish(*PUBLISHED, *([SHELL] if kind.name == "dnf" else []))
        machines.inside(found.root, *next(manager.refresh for manager in MANAGERS if manager.name == kind.name))
        yield found


@contextlib.asynccontextmanager
async def _link(real: Managed) -> AsyncIterator[GuestLink]:
    """To the guest there."""
    with anyio.fail_after(PATIENCE * 4):
        async with GuestLink(real.socket) as link:
            yield link


@contextlib.asynccontextmanager
async def _system(real: Managed) -> AsyncIterator[System]:
    """With nothing installed of what is in the repository."""
    async with _link(real) as link:
        system = link.toolbox.system
        if left := {each.name for each in (await system.packages()).packages} & {each.name for each in PUBLISHED}:
            await system.remove_packages(sorted(left))
        yield system


async def _refused(code: str, system: System, *names: str) -> str:
    """And nothing has changed."""
    before = await system.packages()
    with pytest.raises(SteadError) as caught:
        await system.install_packages(list(names))
    assert caught.value.code == code, caught.value.message
    assert await system.packages() == before
    return caught.value.message


def _changed(done: PackagesChanged) -> tuple[dict[str, str], dict[str, str]]:
    return done.before, done.after


async def test_a_package_comes_is_renewed_and_goes(real: Managed) -> None:
    first, second = real.kind.shown("1.0"), real.kind.shown("2.0")
    async with _system(real) as system:
        came = await system.install_packages([f"tiny={first}"])
        assert came.manager == real.kind.name
        assert _changed(came) == ({}, {"tiny": first, "tiny-base": first})
        assert "tiny" in came.output
        assert (real.root / "opt/tiny").read_text() == "1.0"
        assert _changed(await system.install_packages(["tiny"])) == ({"tiny": first}, {"tiny": second})
        assert _changed(await system.install_packages([f"tiny={first}"])) == ({"tiny": second}, {"tiny": first})
        listed = await system.packages("tiny")
        assert (listed.manager, listed.total) == (real.kind.name, 2)
        size = {"apt": 3072}.get(real.kind.name, 3)
        assert listed.packages == [
            Package("tiny", first, real.kind.architecture, size),
            Package("tiny-base", first, real.kind.architecture, size),
        ]
        gone = await system.remove_packages(["tiny-base"])
        assert _changed(gone) == ({"tiny": first, "tiny-base": first}, {})
        assert not (real.root / "opt/tiny").exists()


async def test_what_is_there_or_gone_already(real: Managed) -> None:
    async with _system(real) as system:
        await system.install_packages(["tiny"])
        assert _changed(await system.install_packages(["tiny", "tiny-base"])) == ({}, {})
        assert set((await system.remove_packages(["no-such-package", "tiny"])).before) >= {"tiny"}
        assert _changed(await system.remove_packages(["tiny"])) == ({}, {})
        assert _changed(await system.remove_packages(["no-such-package"])) == ({}, {})


async def test_what_is_not_known(real: Managed) -> None:
    async with _system(real) as system:
        assert "no-such-package" in await _refused("not_found", system, "no-such-package")
        await _refused("not_found", system, "tiny", "no-such-package")
        await _refused("not_found", system, f"tiny={real.kind.shown('9.9')}")
        await _refused("not_found", system, "python9.1")
        await _refused("invalid", system, "tiny-")


async def test_what_cannot_be_installed(real: Managed) -> None:
    async with _system(real) as system:
        assert "nowhere" in await _refused("program_failed", system, "broken")
        before = await system.packages()
        with pytest.raises(SteadError) as caught:
            await system.install_packages(["tiny-base", "refusing"])
        assert caught.value.code == "program_failed"
        assert caught.value.details["after"]["tiny-base"] == real.kind.shown("1.0")
        assert "refusing" in caught.value.message
        assert "nothing provides" not in caught.value.message
        await system.remove_packages(["refusing", "tiny-base", "shell"])
        assert await system.packages() == before


async def test_the_lists_are_fetched_when_asked(real: Managed) -> None:
    async with _system(real) as system:
        real.publish(Tiny("late"))
        if real.kind.name != "apk":  # which reads a repository in a folder each time
            await _refused("not_found", system, "late")
        assert "late" in (await system.install_packages(["late"], refresh=True)).after


async def test_two_calls_wait_for_each_other(real: Managed) -> None:
    async with _system(real) as system:
        done: list[PackagesChanged] = []

        async def install(name: str) -> None:
            done.append(await system.install_packages([name], refresh=True))

        async with anyio.create_task_group() as tasks:
            for name in ("tiny", "python9.11", "tiny-base"):
                tasks.start_soon(install, name)
        assert sorted(name for each in done for name in each.after) == ["python9.11", "tiny", "tiny-base"]


async def test_another_program_installs(real: Managed) -> None:
    """The manager itself, started by somebody else."""
    programs = {"apt": ["apt-get", "-y", "install"], "dnf": ["dnf", "-y", "install"], "apk": ["apk", "add"]}
    async with _system(real) as system, _link(real) as link:
        for name in ("began", "go"):
            (real.root / "var/tmp" / name).unlink(missing_ok=True)

        async def other() -> None:
            done = await link.toolbox.exec([*programs[real.kind.name], "slow"])
            assert done.status.exit_code == 0, done

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            while not (real.root / "var/tmp/began").exists():
                await anyio.sleep(0.05)
            tasks.start_soon(_later, real.root / "var/tmp/go")
            assert "tiny" in (await system.install_packages(["tiny"])).after
        assert [each.name for each in (await system.packages("slow")).packages] == ["slow"]


async def _later(file: Path) -> None:
    await anyio.sleep(SOON)
    file.touch()


async def test_a_lock_is_waited_for(real: Managed) -> None:
    async with _system(real) as system:
        with contextlib.ExitStack() as held:
            files = [held.enter_context((real.root / name).open("a+")) for name in real.kind.locks]
            for file in files:
                (fcntl.flock if real.kind.flock else fcntl.lockf)(file, fcntl.LOCK_EX)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_closed, files)
                done = await system.install_packages(["tiny"], refresh=True)
        assert "tiny" in done.after


async def _closed(files: Sequence[IO[str]]) -> None:
    """One after the other."""
    for file in files:
        await anyio.sleep(SOON)
        file.close()


# --- our own packages ----------------------------------------------------------------------------------------------------

UNIT = "usr/lib/systemd/system/stead-guest.service"
WANTED = "etc/systemd/system/multi-user.target.wants/stead-guest.service"
CONFIGURATION = "etc/stead/guest.json"
OWN = {"apt": "deb", "dnf": "rpm"}


@pytest.mark.parametrize("real", [REAL["apt"], REAL["dnf4"], REAL["dnf5"]], indirect=True)
@pytest.mark.needs_engine("rpm")
async def test_our_own_package_comes_is_renewed_and_goes(
    real: Managed, packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its manager, with all that it needs and its scripts; systemd does not run here, as where an image is made."""
    kind, root = real.kind, real.root
    real.add(packages[OWN[kind.name]])
    version = kind.shown(__version__)
    async with _system(real) as system:
        came = await system.install_packages(["stead-guest"], refresh=True)
        assert came.after["stead-guest"] == version
        assert (root / WANTED).readlink() == Path("/", UNIT)
        machines.inside(root, *({"apt": ["dpkg", "--verify"], "dnf": ["rpm", "-V"]}[kind.name]), "stead-guest")
        await _it_works(real, tmp_path / "run")
        (root / WANTED).unlink()
        (root / CONFIGURATION).write_text('{"name": "ours"}')
        real.add(_newer(OWN[kind.name], tmp_path, monkeypatch))
        newer = await system.install_packages(["stead-guest"], refresh=True)
        assert _changed(newer) == ({"stead-guest": version}, {"stead-guest": kind.shown("99")})
        assert not (root / WANTED).is_symlink()
        assert (root / CONFIGURATION).read_text() == '{"name": "ours"}'
        assert sorted(path.name for path in (root / "usr/lib/stead-guest").iterdir()) == ["newer"]
        assert list((await system.remove_packages(["stead-guest"])).before) == ["stead-guest"]
        assert not (root / UNIT).exists()
        assert not (root / "usr/lib/stead-guest").exists()


async def _it_works(real: Managed, run: Path) -> None:
    """Started as its unit does."""
    found = re.search(r"^ExecStart=(.*)$", (real.root / UNIT).read_text(), re.MULTILINE)
    assert found is not None
    with serving(real.kind, real.root, run, found[1].split()) as socket, anyio.fail_after(PATIENCE * 2):
        async with connect(socket) as client:
            assert (await client.exec("echo", ["packaged"])).stdout == "packaged\n"


def _newer(kind: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same package of a later version, with less in it."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    makers = runpy.run_path(str(ROOT / "scripts" / "packages.py"))
    for name in (
        "usr/lib/stead-guest/newer",
        "usr/bin/stead-guest",
        UNIT,
        "usr/share/doc/stead-guest/x",
        CONFIGURATION,
    ):
        file = place / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    made: Path = makers[kind](place / "tree", place, place / "made", "99")
    return made
