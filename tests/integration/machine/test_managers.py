"""The operations on packages against the real apt, dnf 4, dnf 5 and apk, each with a system and a repository of its own."""

import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.link import GuestLink
from stead.toolbox.system.contract import Package, PackagesChanged, System
from support.deadline import PATIENCE
from support.managers import KINDS, Managed, Tiny, managed

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

SOON = 1.5
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


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.needs_engine(kind.engine)) for name, kind in KINDS.items()],
)
def real(
    request: pytest.FixtureRequest, standalone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Managed]:
    kind = KINDS[request.param]
    with managed(kind, tmp_path_factory.mktemp(request.param), standalone) as found:
        packages = [*PUBLISHED, *([SHELL] if kind.name == "dnf" else [])]
        found.publish(*packages)
        yield found


@contextlib.asynccontextmanager
async def _link(real: Managed) -> AsyncIterator[GuestLink]:
    """To the guest there, when the manager knows what is in its repository and has installed none of it."""
    with anyio.fail_after(PATIENCE * 4):
        async with GuestLink(real.socket) as link:
            yield link


@contextlib.asynccontextmanager
async def _system(real: Managed) -> AsyncIterator[System]:
    async with _link(real) as link:
        system = link.toolbox.system
        await system.install_packages(["python9.11"], refresh=True)
        await system.remove_packages(["tiny", "tiny-base", "python9.11", "slow"])
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
        await system.install_packages(["shell"] if real.kind.name == "dnf" else ["tiny"])
        before = await system.packages()
        with pytest.raises(SteadError) as caught:
            await system.install_packages(["refusing"])
        assert caught.value.code == "program_failed"
        assert "refusing" in caught.value.message
        assert "nothing provides" not in caught.value.message
        await system.remove_packages(["refusing"])
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
        for name in real.kind.locks:
            file = real.root / name
            with file.open("a+") as opened:
                (fcntl.flock if real.kind.flock else fcntl.lockf)(opened, fcntl.LOCK_EX)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_closed, opened)
                    done = await system.install_packages(["tiny"], refresh=True)
            assert "tiny" in done.after
            await system.remove_packages(["tiny", "tiny-base"])


async def _closed(file: contextlib.AbstractContextManager[object]) -> None:
    await anyio.sleep(SOON)
    file.__exit__(None, None, None)
