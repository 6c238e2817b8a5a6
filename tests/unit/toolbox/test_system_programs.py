"""Services, packages and power: the arguments of the system's programs, and what is made of what they say."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.place import Place
from stead.toolbox.system.contract import (
    ChangePower,
    ControlService,
    InstallPackages,
    ListPackages,
    OneService,
    RemovePackages,
)
from stead.toolbox.system.packages import Installed
from stead.toolbox.system.power import Power, Timers
from stead.toolbox.system.services import Systemd
from support.deadline import eventually_async
from support.fakes import Fakes

pytestmark = pytest.mark.anyio


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path / "bin")


@pytest.fixture
def place(tmp_path: Path, fakes: Fakes) -> Place:
    """A machine that has the fakes, and nothing else."""
    for name in ("sh", "cat", "sleep"):
        (fakes.folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return Place(Root(tmp_path), {"PATH": str(fakes.folder)}, machine=True)


async def refused(code: str, work: object) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await work  # type: ignore[misc]
    assert caught.value.code == code, caught.value.message
    return caught.value


# --- services --------------------------------------------------------------------------------------------------------

SHOWN = """Id=ssh.service
Description=OpenBSD Secure Shell server
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=612
MemoryCurrent=5242880
ActiveEnterTimestampMonotonic=7000000
Result=success
ExecMainStatus=0
"""
FAILED = """Id=broken.service
Description=a = b
LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=
MainPID=0
MemoryCurrent=[not set]
ActiveEnterTimestampMonotonic=0
Result=exit-code
ExecMainStatus=3
"""


async def test_without_systemd_there_are_no_services(place: Place, tmp_path: Path) -> None:
    systemd = Systemd(place, str(tmp_path / "nothing"))
    error = await refused("unsupported", systemd.services())
    assert "systemd does not run here" in error.message
    await refused("unsupported", systemd.service(OneService(name="ssh")))
    await refused("unsupported", systemd.control(ControlService(name="ssh", action="stop")))


async def test_services_are_read(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("systemctl", f"{SHOWN}\n{FAILED}")
    broken, ssh = (await Systemd(place, str(tmp_path)).services()).services
    assert (ssh.name, ssh.active, ssh.sub, ssh.enabled, ssh.pid) == ("ssh.service", "active", "running", "enabled", 612)
    assert (ssh.memory_bytes, ssh.exit_code) == (5 << 20, None)
    assert ssh.since is not None
    assert abs(ssh.since - (time.time() - time.monotonic() + 7)) < 5
    assert (broken.description, broken.memory_bytes, broken.since, broken.exit_code) == ("a = b", None, None, 3)
    assert fakes.told[0][:3] == ["systemctl", "--no-pager", "show"]
    assert fakes.told[0][-2:] == ["--", "*.service"]


async def test_a_service_is_controlled(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("systemctl", SHOWN)
    systemd = Systemd(place, str(tmp_path))
    assert (await systemd.control(ControlService(name="ssh", action="restart"))).active == "active"
    assert fakes.told[0] == ["systemctl", "--no-ask-password", "--no-pager", "restart", "--", "ssh.service"]
    assert fakes.told[1][-1] == "ssh.service"
    for name in ("--now", "a b", "*", "a/b", ""):
        await refused("invalid", systemd.control(ControlService(name=name, action="stop")))
    assert len(fakes.told) == 2


@pytest.mark.parametrize(
    ("complains", "code"),
    [
        ("Failed to start x.service: Unit x.service not found.", "not_found"),
        ("Failed to start ssh.service: Interactive authentication required.", "permission_denied"),
        ("Job for ssh.service failed because the control process exited with error code.", "program_failed"),
    ],
)
async def test_what_systemctl_complains_of(
    place: Place, fakes: Fakes, tmp_path: Path, complains: str, code: str
) -> None:
    fakes.add("systemctl", complains=complains, code=1)
    error = await refused(code, Systemd(place, str(tmp_path)).control(ControlService(name="x", action="start")))
    assert complains in error.message


async def test_a_service_that_is_not_there(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("systemctl", "Id=x.service\nLoadState=not-found\nActiveState=inactive\n")
    await refused("not_found", Systemd(place, str(tmp_path)).service(OneService(name="x")))


# --- packages --------------------------------------------------------------------------------------------------------


async def test_without_a_manager_there_are_no_packages(place: Place) -> None:
    await refused("unsupported", Installed(place).packages(ListPackages()))
    await refused("unsupported", Installed(place).install(InstallPackages(names=["a"])))


@pytest.mark.skipif(shutil.which("dpkg-query") is None or shutil.which("apt-get") is None, reason="no apt here")
async def test_the_packages_of_this_system(tmp_path: Path) -> None:
    place = Place(Root(tmp_path), {"PATH": os.environ["PATH"]})
    found = await Installed(place).packages(ListPackages(name="dpkg"))
    version = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "dpkg"], capture_output=True, text=True, check=True
    )
    dpkg = next(package for package in found.packages if package.name == "dpkg")
    assert (found.manager, dpkg.version) == ("apt", version.stdout)
    assert dpkg.size_bytes > 1 << 20
    cut = await Installed(place).packages(ListPackages(limit=1))
    assert (len(cut.packages), cut.truncated) == (1, cut.total > 1)


async def test_apt_is_asked_without_questions(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    listed = "ii \tlibc6\t2.36\tamd64\t12\nrc \tgone\t1\tamd64\t1\n"
    fakes.add("dpkg-query", listed, does=f"test -e {tmp_path}/done && printf 'ii \\tjq\\t1.6\\tamd64\\t5\\n'")
    fakes.add(
        "apt-get",
        "Setting up jq\n",
        does=f'case "$DEBIAN_FRONTEND $*" in noninteractive*install*) : > {tmp_path}/done; esac',
    )
    changed = await Installed(place).install(InstallPackages(names=["jq", "libc6:amd64=2.36"], refresh=True))
    assert (changed.before, changed.after, changed.output) == ({}, {"jq": "1.6"}, "Setting up jq\n")
    calls = [call for call in fakes.told if call[0] == "apt-get"]
    options = ["-y", "-q", "--allow-downgrades", "-o", "DPkg::Lock::Timeout=60"]
    options += ["-o", "Dpkg::Options::=--force-confold", "-o", "APT::Cmd::Pattern-Only=true"]
    assert calls == [["apt-get", *options, "update"], ["apt-get", *options, "install", "--", "jq", "libc6:amd64=2.36"]]
    await Installed(place).remove(RemovePackages(names=["jq"]))
    assert fakes.told[-2] == ["apt-get", *options, "remove", "--", "jq"]
    assert [
        package.size_bytes for package in (await Installed(place).packages(ListPackages(name="libc"))).packages
    ] == [12288]


async def test_dnf_is_asked_without_questions(place: Place, fakes: Fakes) -> None:
    fakes.add("rpm", "ii \tbash\t5.2-1.fc40\tx86_64\t8000000\nii \tgpg-pubkey\ta15b79cc-63d04c2c\t(none)\t0\n")
    fakes.add("dnf", "Complete!\n")
    found = await Installed(place).packages(ListPackages())
    assert [(p.name, p.version, p.size_bytes) for p in found.packages] == [("bash", "5.2-1.fc40", 8_000_000)]
    await Installed(place).install(InstallPackages(names=["jq", "gdb=14.2-1"], refresh=True))
    await Installed(place).remove(RemovePackages(names=["jq"]))
    assert [call for call in fakes.told if call[0] == "dnf"] == [
        ["dnf", "-y", "-q", "--refresh", "makecache"],
        ["dnf", "-y", "-q", "--best", "install", "--", "jq", "gdb-14.2-1"],
        ["dnf", "-y", "-q", "remove", "--noautoremove", "--", "jq"],
    ]


async def test_what_comes_beside_another_of_its_name_is_told(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    kernel = "ii \tkernel\t6.{0}-1\tx86_64\t8\n"
    fakes.add("rpm", kernel.format(8), does=f"test ! -e {tmp_path}/done || printf '{kernel.format(9)}'")
    fakes.add("dnf", does=f": > {tmp_path}/done")
    changed = await Installed(place).install(InstallPackages(names=["kernel"]))
    assert (changed.before, changed.after) == ({"kernel": "6.8-1"}, {"kernel": "6.8-1 x86_64, 6.9-1 x86_64"})


async def test_what_is_held_or_half_installed_is_listed(place: Place, fakes: Fakes) -> None:
    lines = [f"{state} \t{state}\t1\tall\t1" for state in ("ii", "hi", "iU", "iF", "iW", "it", "iHR", "rc", "un", "pn")]
    fakes.add("dpkg-query", "\n".join(lines))
    fakes.add("apt-get")
    names = [each.name for each in (await Installed(place).packages(ListPackages())).packages]
    assert names == ["hi", "iF", "iHR", "iU", "iW", "ii", "it"]


async def test_apk_has_a_list_of_its_own(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("apk")
    (tmp_path / "installed").write_text(
        "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nI:600\nF:lib\nR:x\n\nP:busybox\nV:1.36\nA:x86_64\nI:9\n\n"
    )
    installed = Installed(place, [str(tmp_path / "none"), str(tmp_path / "installed")])
    found = await installed.packages(ListPackages())
    assert [(p.name, p.version, p.size_bytes) for p in found.packages] == [
        ("busybox", "1.36", 9),
        ("musl", "1.2.5-r0", 600),
    ]
    await installed.remove(RemovePackages(names=["musl", "gone"]))
    await installed.remove(RemovePackages(names=["gone"]))
    await installed.install(InstallPackages(names=["jq=1.7-r1"], refresh=True))
    apk = ["apk", "--wait", "60"]
    assert fakes.told == [[*apk, "del", "-r", "--", "musl"], [*apk, "update"], [*apk, "add", "-u", "--", "jq=1.7-r1"]]


@pytest.mark.parametrize(
    "names", [[], ["-y"], ["--allow"], ["./a.deb"], ["/etc/x"], ["a b"], ["a;b"], ["a\n"], ["nano-"], ["x"] * 300]
)
async def test_what_is_no_name_of_a_package_is_refused(place: Place, fakes: Fakes, names: list[str]) -> None:
    fakes.add("apk")
    await refused("invalid", Installed(place).install(InstallPackages(names=names, refresh=True)))
    await refused("invalid", Installed(place).remove(RemovePackages(names=names)))
    assert fakes.told == []


APT_HELD = (
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\nE: Unable to lock directory"
)
DNF_HELD = "RPM: error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)"
DNF_FULL = "Error: Transaction test error:\n  installing package a-1-1.noarch needs 9MB more space on the / filesystem"
APK_HELD = "ERROR: Unable to lock database: Resource temporarily unavailable\nERROR: Failed to open apk database"
APK_CLASH = "ERROR: unable to select packages:\n  a-1:\n    satisfies: world[a=1]\n  a-2:\n    breaks: world[a=1]"


@pytest.mark.parametrize(
    ("manager", "complains", "code"),
    [
        ("apt-get", "E: Unable to locate package a", "not_found"),
        ("apt-get", "E: Version '9' for 'a' was not found", "not_found"),
        (
            "apt-get",
            "E: Could not open lock file - open (13: Permission denied)\nE: are you root?",
            "permission_denied",
        ),
        ("apt-get", "E: Sub-process /usr/bin/dpkg returned an error code (1)", "program_failed"),
        ("apt-get", "a : Depends: b but it is not installable\nE: Unable to correct problems", "program_failed"),
        ("apt-get", APT_HELD, "unavailable"),
        ("apt-get", "E: Could not open lock file - open (30: Read-only file system)", "program_failed"),
        ("apt-get", "E: You don't have enough free space in /var/cache/apt/archives/.", "disk_full"),
        ("apt-get", "dpkg: error processing archive a.deb: failed to write (No space left on device)", "disk_full"),
        ("dnf", "Error: Unable to find a match: a", "not_found"),
        ("dnf", "Failed to resolve the transaction:\nNo match for argument: a", "not_found"),
        ("dnf", "Error:\n Problem: conflicting requests\n  - nothing provides b needed by a-1", "program_failed"),
        ("dnf", "Error: This command has to be run with superuser privileges", "permission_denied"),
        ("dnf", f"{DNF_HELD}\nError: Could not run transaction.", "unavailable"),
        ("dnf", "Error: Transaction test error:\n  package a-1-1.noarch is already installed\n", "unavailable"),
        ("dnf", "Transaction failed: Rpm transaction failed.", "unavailable"),
        ("dnf", "[1/2] Prepare transaction\nTransaction failed: Rpm transaction failed.", "program_failed"),
        ("dnf", DNF_FULL, "disk_full"),
        ("apk", "ERROR: Failed to write database: No space left on device", "disk_full"),
        ("apk", "ERROR: unable to select packages:\n  a (no such package):\n    required by: world[a]", "not_found"),
        ("apk", "ERROR: unable to select packages:\n  a-2:\n    breaks: world[a=1]", "not_found"),
        ("apk", APK_CLASH, "program_failed"),
        ("apk", "  b (no such package):\n    required by: a-1[b]", "program_failed"),
        ("apk", "ERROR: Unable to lock database: Permission denied", "permission_denied"),
        ("apk", APK_HELD, "unavailable"),
    ],
)
async def test_what_a_manager_complains_of(place: Place, fakes: Fakes, manager: str, complains: str, code: str) -> None:
    """Words of real ones: apt 2.6, dnf 4.14, dnf 5.4, apk 3.0."""
    fakes.add("dpkg-query")
    fakes.add("rpm")
    fakes.add(manager, complains=complains, code=100)
    error = await refused(code, Installed(place, lock_seconds=0).install(InstallPackages(names=["a", "a=1"])))
    assert complains.strip() in error.message


async def test_a_held_lock_is_waited_for(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("dpkg-query")
    fakes.add(
        "apt-get",
        "done",
        does=f"test -e {tmp_path}/free || {{ : > {tmp_path}/free; echo '{APT_HELD}' >&2; exit 100; }}",
    )
    assert (await Installed(place).install(InstallPackages(names=["a"]))).output == "done"
    assert [call[0] for call in fakes.told].count("apt-get") == 2


async def test_a_change_goes_to_its_end_whoever_waits(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    """A manager that is killed leaves half a package; who has not begun yet never does."""
    fakes.add("dpkg-query")
    line = "case $* in *first*) : > {0}/began; while ! test -e {0}/go; do sleep 0.02; done; : > {0}/ended;; esac"
    fakes.add("apt-get", does=line.format(tmp_path))
    installed = Installed(place)
    first = asyncio.create_task(installed.install(InstallPackages(names=["first"])))
    await eventually_async((tmp_path / "began").exists, "it runs")
    second = asyncio.create_task(installed.install(InstallPackages(names=["second"])))
    third = asyncio.create_task(installed.remove(RemovePackages(names=["third"])))
    await asyncio.sleep(0)
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])
    assert (first.cancelled(), second.cancelled(), third.done()) == (True, True, False)
    (tmp_path / "go").touch()
    assert (await third).before == {}
    assert (tmp_path / "ended").exists()
    assert [call[-1] for call in fakes.told if call[0] == "apt-get"] == ["first"]


# --- power -----------------------------------------------------------------------------------------------------------


def power(place: Place, booted: Path) -> Power:
    return Power(place, Systemd(place, str(booted)))


async def test_a_workspace_that_shares_its_machine_refuses(tmp_path: Path, fakes: Fakes) -> None:
    for name in ("systemctl", "shutdown", "wall"):
        fakes.add(name)
    place = Place(Root(tmp_path), {"PATH": fakes.path})
    await refused("refused", power(place, tmp_path).shutdown(ChangePower()))
    await refused("refused", power(place, tmp_path).reboot(ChangePower(force=True, delay=5)))
    assert fakes.told == []


async def test_with_systemd(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    for name in ("systemctl", "systemd-run", "wall"):
        fakes.add(name)
    mine = power(place, tmp_path)
    await mine.shutdown(ChangePower())
    await mine.reboot(ChangePower())
    before = time.time()
    told = await mine.shutdown(ChangePower(delay=7.5, message="back soon"))
    assert 7 < told.at - before < 60
    await mine.reboot(ChangePower(force=True))
    order = ["wall", "systemctl", "wall", "systemctl", "systemd-run", "wall", "wall", "systemd-run"]
    assert [call[0] for call in fakes.told] == order, "telling takes nothing of a delay"
    calls = [call for call in fakes.told if call[0] != "wall"]
    systemctl = ["systemctl", "--no-ask-password", "--no-block"]
    timer = ["systemd-run", "--no-ask-password", "--collect", "--quiet"]
    exact = ["--timer-property=AccuracySec=100ms", "--"]
    assert calls == [
        [*systemctl, "poweroff"],
        [*systemctl, "reboot"],
        [*timer, "--on-active=7.5s", *exact, *systemctl, "poweroff"],
        [*timer, "--on-active=0.5s", *exact, *systemctl, "--force", "reboot"],
    ]


async def test_whoever_is_logged_in_is_told(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("systemctl")
    fakes.add("wall", does=f"cat > {tmp_path}/heard")
    await power(place, tmp_path).shutdown(ChangePower(message="back soon"))
    assert (tmp_path / "heard").read_text() == "The system is shutting down now. back soon\n"


async def test_without_systemd(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    for name in ("shutdown", "poweroff", "reboot"):
        fakes.add(name)
    mine = power(place, tmp_path / "nothing")
    await mine.shutdown(ChangePower())
    await mine.reboot(ChangePower())
    assert fakes.told == [["shutdown", "-h", "now"], ["shutdown", "-r", "now"]]
    await mine.reboot(ChangePower(force=True))
    await eventually_async(lambda: not place.own(Timers)._tasks, "it was forced")
    assert fakes.told[2] == ["reboot", "-f"]


async def test_a_delay_is_of_seconds_and_not_of_minutes(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    """59 s once meant now, and 61 s a minute."""
    fakes.add("shutdown")
    mine = power(place, tmp_path / "nothing")
    began = time.monotonic()
    await mine.shutdown(ChangePower(delay=0.3))
    await eventually_async(lambda: not place.own(Timers)._tasks, "it was shut down")
    assert len(fakes.told) == 1
    assert time.monotonic() - began >= 0.3
    await mine.shutdown(ChangePower(delay=59.0))
    place.close()
    assert len(fakes.told) == 1


async def test_a_system_without_shutdown_has_poweroff(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("poweroff")
    mine = power(place, tmp_path / "nothing")
    await mine.shutdown(ChangePower())
    assert fakes.told == [["poweroff"]]
    await refused("program_missing", mine.reboot(ChangePower()))


async def test_a_system_that_refuses_is_heard(place: Place, fakes: Fakes, tmp_path: Path) -> None:
    fakes.add("systemctl", complains="Failed to power off system via logind: Access denied", code=1)
    await refused("permission_denied", power(place, tmp_path).shutdown(ChangePower()))


@pytest.mark.parametrize(
    "asked",
    [ChangePower(delay=-1), ChangePower(delay=1e9), ChangePower(message="a\nb"), ChangePower(delay=float("nan"))],
)
async def test_impossible_wishes_are_refused(place: Place, fakes: Fakes, tmp_path: Path, asked: ChangePower) -> None:
    fakes.add("systemctl")
    await refused("invalid", power(place, tmp_path).shutdown(asked))
    assert fakes.told == []
