"""Directives run by a real cloud-init: a Debian in a folder, the guest in it as its whole system."""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.link import GuestLink
from stead.toolbox import behaviour
from stead.toolbox.system.cloud import STATE
from stead.toolbox.system.contract import CloudInitModule, CloudInitRun, System
from support import machines
from support.deadline import PATIENCE, eventually
from support.managers import KINDS, REPOSITORY, ROOTS, Managed, Tiny, managed, serving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300), pytest.mark.needs_engine("cloud")]

SECRET = "hunter2-and-more"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPzg0sCxLcvXIbCkUVrR9J8aJ5Yl0xYQ0T3b0sGx1eYb someone"
HEAD = "#cloud-config\n"
TRACE = "write_files: [{path: /opt/trace, content: x}]\n"
"""What a run would leave that is to be refused."""


def _unpack(root: Path) -> None:
    argv = ["tar", "-xpf", str(ROOTS / "cloud.tar"), "--numeric-owner", "--exclude=./dev/*", "-C", str(root)]
    subprocess.run(argv, check=True)
    for file in (root / "etc/apt/sources.list.d").iterdir():
        file.unlink()
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:/{REPOSITORY} ./\n")
    (root / "usr/share/zoneinfo/Europe").mkdir(parents=True, exist_ok=True)
    (root / "usr/share/zoneinfo/Europe/Berlin").write_bytes(b"TZif2")


KIND = KINDS["apt"]._replace(engine="cloud", unpack=_unpack, also=["--unshare-uts"])
"""With a host name of its own."""


@pytest.fixture(scope="module")
def real(standalone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managed]:
    with managed(KIND, tmp_path_factory.mktemp("cloud"), standalone) as found:
        found.publish(Tiny("tiny"))
        yield found


@contextlib.asynccontextmanager
async def _link(socket: Path) -> AsyncIterator[GuestLink]:
    with anyio.fail_after(PATIENCE * 4):
        async with GuestLink(socket) as link:
            yield link


@contextlib.asynccontextmanager
async def _system(real: Managed) -> AsyncIterator[System]:
    """Afterwards nothing is left of the runs."""
    async with _link(real.socket) as link:
        yield link.toolbox.system
    assert list(_state(real).glob("*")) == []


def _state(real: Managed) -> Path:
    return real.root / STATE.lstrip("/")


def _told(done: CloudInitRun, name: str) -> CloudInitModule:
    [found] = [module for module in done.modules if module.name == name]
    return found


DIRECTIVES = f"""{HEAD}
groups: [crew]
users:
  - name: agent
    groups: [crew]
    shell: /bin/bash
    ssh_authorized_keys: ["{KEY}"]
write_files:
  - path: /etc/made
    permissions: "0640"
    content: made
  - path: /home/agent/later
    owner: agent:agent
    content: later
    defer: true
hostname: cloudy
timezone: Europe/Berlin
package_update: true
packages: [tiny]
runcmd:
  - cd /opt
  - [touch, "with space"]
  - |
    token={SECRET}
    echo "the token has ${{#token}} letters" | tee /opt/told
"""
MODULES = [
    *("write_files", "set_hostname", "update_etc_hosts", "users_groups", "timezone", "runcmd"),
    *("package_update_upgrade_install", "write_files_deferred", "scripts_user"),
]


async def test_directives_are_run(real: Managed) -> None:
    async with _system(real) as system:
        done = await system.cloud_init(DIRECTIVES)
        assert (await system.info()).hostname == "cloudy"
    assert done.ok, done
    assert [module.name for module in done.modules] == MODULES
    assert all(module.seconds > 0 for module in done.modules)
    assert f"the token has {len(SECRET)} letters" in _told(done, "scripts_user").output
    assert (real.root / "etc/made").stat().st_mode & 0o777 == 0o640
    agent = next(line for line in (real.root / "etc/passwd").read_text().splitlines() if line.startswith("agent:"))
    assert (real.root / "home/agent/later").stat().st_uid == int(agent.split(":")[2]) > 0
    assert (real.root / "home/agent/.ssh/authorized_keys").read_text().strip().endswith(KEY)
    assert "debian:" not in (real.root / "etc/passwd").read_text()
    assert (real.root / "etc/timezone").read_text() == "Europe/Berlin\n"
    assert (real.root / "opt/tiny").read_text() == "1.0"
    assert (real.root / "opt/with space").exists()
    left = subprocess.run(
        ["grep", "-rlF", SECRET, *(real.root / name for name in ("etc", "var", "opt", "root", "tmp"))], check=False
    )
    assert left.returncode == 1
    assert not (real.root / "var/lib/cloud/instance").exists()


async def test_a_module_that_fails_is_told_and_the_others_run(real: Managed) -> None:
    async with _system(real) as system:
        done = await system.cloud_init(
            f"{HEAD}timezone: No/Where\nruncmd: [echo first, ls /no/such, 'echo last >&2; exit 3']\n"
            "write_files: [{path: /opt/after, content: x}, {path: /proc/no, content: x}]\n"
        )
    assert not done.ok
    assert [(module.name, module.ok) for module in done.modules] == [
        *(("write_files", False), ("timezone", False)),
        *(("runcmd", True), ("scripts_user", False)),
    ]
    assert "Invalid timezone No/Where" in _told(done, "timezone").errors[0]
    assert "/proc/no" in " ".join(_told(done, "write_files").errors)
    assert (real.root / "opt/after").exists()
    scripts = _told(done, "scripts_user")
    assert scripts.errors[0] == "runcmd: exit code 3"
    for line in ("first", "No such file or directory", "last"):
        assert line in scripts.output


async def test_what_complains_only_has_not_failed(real: Managed) -> None:
    async with _system(real) as system:
        done = await system.cloud_init(f"{HEAD}groups: [adm]\n")
    assert done.ok
    assert "existing group 'adm'" in done.modules[0].errors[0]


REFUSED = {
    "yaml": ("a: [1, 2\n", "invalid", "while parsing a flow sequence"),
    "list": ("- a\n", "invalid", "directives with their names"),
    "unknown": (f"{TRACE}no_such_directive: 1\n", "invalid", "no_such_directive"),
    "schema": (f"{TRACE}runcmd: {{a: b}}\n", "invalid", "runcmd"),
    "not listed": (f"{TRACE}ansible: {{install_method: pip, package_name: a}}\n", "invalid", "ansible"),
    "not for debian": (f"{TRACE}yum_repos: {{a: {{baseurl: 'http://a.example/'}}}}\n", "invalid", "yum_add_repo"),
    "own paths": (f"{TRACE}system_info: {{paths: {{cloud_dir: /tmp/x}}}}\n", "invalid", "system_info"),
    "power": (f"{TRACE}power_state: {{mode: reboot}}\n", "refused", "shutdown and reboot"),
    "host keys": (f"{TRACE}ssh_deletekeys: true\n", "refused", "ssh_deletekeys"),
    "disks": (f"{TRACE}fs_setup: [{{device: /dev/vdz, filesystem: ext4}}]\n", "refused", "fs_setup"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_refused_and_nothing_runs(real: Managed, case: str) -> None:
    text, code, words = REFUSED[case]
    async with _system(real) as system:
        with pytest.raises(SteadError) as caught:
            await system.cloud_init(HEAD + text)
    assert (caught.value.code, words in caught.value.message) == (code, True), caught.value.message
    assert STATE not in caught.value.message
    assert not (real.root / "opt/trace").exists()


async def test_the_boot_is_told_and_its_scripts_are_not_run_again(real: Managed) -> None:
    async with _link(real.socket) as link:
        system = link.toolbox.system
        assert (await system.cloud_init_status(wait=0.2)).status in {"not run", "not started"}
        seed = "/var/lib/cloud/seed/nocloud"
        boot = f"{HEAD}runcmd: ['echo {SECRET} >> /opt/boots']\n"
        await link.toolbox.write(f"{seed}/user-data", boot.encode(), parents=True)
        await link.toolbox.write(f"{seed}/meta-data", b"instance-id: i-1\n")
        for stage in (["init", "--local"], ["init"], ["modules", "--mode", "config"]):
            await link.toolbox.exec(["cloud-init", *stage])
        assert (await system.cloud_init_status()).status in {"running", "error"}
        with pytest.raises(SteadError) as caught:
            await system.cloud_init(f"{HEAD}{TRACE}")
        assert caught.value.code == "conflict"
        await link.toolbox.exec(["cloud-init", "modules", "--mode", "final"])
        status = await system.cloud_init_status(wait=20.0)
        assert (status.installed, status.source) == (True, "nocloud")
        assert status.status in {"done", "error"}
        assert bool(status.errors) == (status.status == "error")
        done = await system.cloud_init(f"{HEAD}runcmd: [': our-{SECRET}; echo again > /opt/again']\n")
        assert done.ok, done
        left = await link.toolbox.exec(["grep", "-rlF", f"our-{SECRET}", "/run/cloud-init", "/var", "/etc", "/opt"])
        assert (left.status.exit_code, left.stdout) == (1, b"")
    assert (real.root / "opt/boots").read_text() == f"{SECRET}\n"
    assert (real.root / "opt/again").exists()
    assert SECRET in (real.root / "var/lib/cloud/instances/i-1/scripts/runcmd").read_text()


async def test_runs_wait_for_each_other(real: Managed) -> None:
    line = "runcmd: ['mkdir /opt/alone && sleep 0.3 && rmdir /opt/alone']\n"
    async with _system(real) as system:
        done: list[CloudInitRun] = []

        async def run() -> None:
            done.append(await system.cloud_init(HEAD + line))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(run)
    assert [run.ok for run in done] == [True, True]


LONG = """write_files: [{{path: /opt/{name}, content: x}}]
runcmd:
  - echo {secret} > /dev/null
  - setsid sleep {time} &
  - sleep {time}
"""


def _long(name: str, time: int) -> str:
    return HEAD + LONG.format(name=name, secret=SECRET, time=time)


async def _sleeping(link: GuestLink, time: int) -> int:
    listed = await link.toolbox.system.processes(limit=10_000)
    return sum(process.command == ["sleep", str(time)] for process in listed.processes)


async def test_over_its_time_everything_is_ended(real: Managed) -> None:
    async with _link(real.socket) as link:
        with pytest.raises(SteadError) as caught:
            await link.toolbox.system.cloud_init(_long("timed", 4242), timeout=3.0)
        assert caught.value.code == "timeout"
        names = [module["name"] for module in caught.value.details["modules"]]
        assert names == ["write_files", "runcmd"][: len(names)]
        assert await _sleeping(link, 4242) == 0
    assert list(_state(real).glob("*")) == []


async def test_a_guest_that_is_killed_leaves_nothing(real: Managed, standalone: Path, tmp_path: Path) -> None:
    """A second one on the same machine; meanwhile the first one is told of the conflict."""
    binds = ["--dir", machines.GUEST, "--ro-bind", str(standalone), machines.GUEST]
    command = [*machines.command(), "serve"]
    with serving(KIND, real.root, tmp_path / "run", command, binds) as socket:
        async with _link(socket) as link, _link(real.socket) as first, anyio.create_task_group() as tasks:
            tasks.start_soon(_lost, link, _long("killed", 4343))
            while await _sleeping(link, 4343) != 2:
                await anyio.sleep(0.05)
            assert len(list(_state(real).glob("*/user-data"))) == 1
            with pytest.raises(SteadError) as caught:
                await first.toolbox.system.cloud_init(f"{HEAD}{TRACE}")
            assert caught.value.code == "conflict"
            listed = await link.toolbox.system.processes(limit=10_000)
            [guest] = [each.parent for each in listed.processes if "stead.toolbox.system.leash" in each.command]
            await link.toolbox.exec(["sh", "-c", f"kill -9 {guest}"], background=True)
            await anyio.to_thread.run_sync(eventually, lambda: not list(_state(real).glob("*")), "the folder is gone")
            tasks.cancel_scope.cancel()


async def _lost(link: GuestLink, user_data: str) -> None:
    with contextlib.suppress(SteadError):
        await link.toolbox.system.cloud_init(user_data)


async def test_what_a_machine_left_that_was_switched_off_is_removed(real: Managed) -> None:
    left = _state(real) / "left"
    left.mkdir(parents=True)
    (left / "user-data").write_text(SECRET)
    async with _system(real) as system:
        assert (await system.cloud_init(f"{HEAD}runcmd: ['true']\n")).ok
    assert not left.exists()


async def test_the_check_for_anyone_holds(real: Managed) -> None:
    """As `stead selfcheck` does it."""
    async with _link(real.socket) as link:
        [outcome] = [outcome async for outcome in behaviour.run(link.toolbox, ["system-cloud-init"])]
    assert (outcome.ok, outcome.skipped) == (True, False), outcome.detail
