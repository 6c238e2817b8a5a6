"""A real machine with a real Debian: systemd is its first process, apt installed our package, and its unit starts the guest."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.client import GuestClient
from stead.sdk.guest.link import GuestLink
from stead.transport import unix
from support import machines
from support.cli import PROGRAM
from support.machines import BOOT_SECONDS, Machine

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.needs_engine("qemu"),
    pytest.mark.needs_engine("debian"),
    pytest.mark.timeout(900),
]

UNIT = """[Service]
ExecStart=/bin/sh -c 'echo it is on; exec sleep 100000'
"""
PACKAGE = "/var/tmp/stead-guest.deb"
PROMISES = [
    "a-result-has-everything",
    "system-disks",
    "system-information",
    "system-log-is-followed",
    "system-metrics",
    "system-network",
    "system-packages",
    "system-processes",
    "system-services",
    "system-users",
    "upload-then-download",
    "watch-some-files",
]
LOOPING = "while :; do sleep 1; done"


@pytest.fixture(scope="module")
def debian(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    place = tmp_path_factory.mktemp("debian")
    root = machines.debian_with(place / "root", packages["deb"], PACKAGE)
    (root / "etc/systemd/system/tiny.service").write_text(UNIT)
    first, disk = machines.disk(place, root)
    with Machine(place, first, disk=disk) as machine:
        yield machine


async def _ready(machine: Machine) -> None:
    """Until the guest says by itself that it is there."""
    with anyio.fail_after(BOOT_SECONDS):
        stream = await unix.connect(machine.socket)
        seen = b""
        try:
            while b'"agent_ready"' not in seen:
                piece = await stream.read(1 << 16)
                assert piece, machine.console.read_text(errors="replace")
                seen += piece
        finally:
            await stream.close()


async def _said(client: GuestClient, *argv: str) -> str:
    done = await client.exec(argv[0], list(argv[1:]), seconds=120)
    assert done.exit_code == 0, done
    return done.stdout.strip()


async def test_the_unit_starts_the_guest_and_it_says_so(debian: Machine) -> None:
    await _ready(debian)
    async with debian.client() as client:
        assert (await client.info()).platform == "linux"
        assert (await client.system()).hostname == "debian"
        assert await _said(client, "cat", "/proc/1/comm") == "systemd"
        assert await _said(client, "systemctl", "is-enabled", "stead-guest") == "enabled"
        assert await _said(client, "dpkg-query", "-W", "-f", "${db:Status-Status}", "stead-guest") == "installed"
        await client.write("/etc/motd", b"\0well")
        assert await client.read("/etc/motd") == b"\0well"


async def test_services_are_systemds(debian: Machine) -> None:
    await debian.up()
    with anyio.fail_after(BOOT_SECONDS):
        async with GuestLink(debian.socket) as link:
            system = link.toolbox.system
            names = {service.name: service for service in (await system.services()).services}
            assert (names["stead-guest.service"].active, names["stead-guest.service"].enabled) == ("active", "enabled")
            began = await system.control_service("tiny", "start")
            assert (began.active, began.sub, began.load) == ("active", "running", "loaded")
            info = await system.info()
            assert began.since is not None
            assert info.boot_time - 5 < began.since < info.boot_time + info.uptime_seconds + 5
            again = await system.control_service("tiny", "restart")
            assert again.pid not in {0, began.pid}
            stopped = await system.control_service("tiny.service", "stop")
            assert (stopped.active, stopped.pid) == ("inactive", 0)
            with pytest.raises(SteadError) as caught:
                await system.control_service("nothing-such", "start")
            assert caught.value.code == "not_found"


async def test_a_journal_is_followed(debian: Machine) -> None:
    await debian.up()
    with anyio.fail_after(BOOT_SECONDS):
        async with GuestLink(debian.socket) as link:
            system = link.toolbox.system
            await system.control_service("tiny", "restart")
            seen, had = b"", 0
            async for piece in system.follow(unit="tiny", lines=1000):
                seen += piece
                if not had and b"it is on" in seen:
                    had = seen.count(b"it is on")
                    await system.control_service("tiny", "restart")
                if had and seen.count(b"it is on") > had:
                    break
            assert b"it is on" in (await system.log(unit="tiny", lines=50)).content


async def test_what_a_machine_promises_holds_and_nothing_of_systemd_is_skipped(debian: Machine) -> None:
    """The whole selfcheck, as a user runs it."""
    await debian.up()
    argv = [PROGRAM, "guest", "selfcheck", "--socket", str(debian.socket), "--json"]
    done = await anyio.run_process(argv, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each for each in outcomes if not each["ok"]] == []
    assert {each["name"] for each in outcomes if not each["skipped"]} >= set(PROMISES)
    assert done.returncode == 0


async def test_what_it_runs_outlives_the_guest(debian: Machine) -> None:
    async with debian.client() as client:
        await _said(client, "sh", "-c", f"setsid sh -c '{LOOPING}' > /dev/null 2>&1 & echo $! > /run/looping")
        loop = await _said(client, "cat", "/run/looping")
        state = json.loads(await _said(client, "cat", "/run/stead-guest/holder.json"))
        with contextlib.suppress(SteadError):
            await client.exec("kill", ["-KILL", str(state["guest_pid"])])
    async with debian.client() as client:
        after = json.loads(await _said(client, "cat", "/run/stead-guest/holder.json"))
        assert (after["guest_restarts"], after["guest_pid"]) > (state["guest_restarts"], 0)
        assert await _said(client, "cat", f"/proc/{loop}/comm") == "sh"


async def test_the_unit_starts_a_guest_that_was_killed_whole(debian: Machine) -> None:
    """What runs in units of their own is not the guest's, and lives on."""
    async with debian.client() as client:
        await _said(client, "systemctl", "start", "tiny")
        tiny = await _said(client, "systemctl", "show", "-P", "MainPID", "tiny")
        before = await _said(client, "systemctl", "show", "-P", "MainPID", "stead-guest")
        with contextlib.suppress(SteadError):
            await client.exec("systemctl", ["kill", "-s", "KILL", "stead-guest"])
    async with debian.client() as client:
        assert await _said(client, "systemctl", "show", "-P", "MainPID", "stead-guest") != before
        assert int(await _said(client, "systemctl", "show", "-P", "NRestarts", "stead-guest")) >= 1
        assert await _said(client, "systemctl", "show", "-P", "MainPID", "tiny") == tiny


async def test_a_package_goes_and_comes_while_systemd_runs(debian: Machine) -> None:
    line = f"dpkg --purge stead-guest && ! test -e /usr/lib/stead-guest/bin && dpkg -i {PACKAGE} && touch /run/came"
    async with debian.client() as client:
        await _said(client, "systemd-run", "--collect", "--unit=change", "sh", "-c", line)
    await _ready(debian)
    async with debian.client() as client:
        while (await client.exec("systemctl", ["is-active", "change"])).stdout.strip() in {"active", "activating"}:
            await anyio.sleep(0.5)
        assert await _said(client, "ls", "/run/came") == "/run/came"
        assert await _said(client, "systemctl", "is-enabled", "stead-guest") == "enabled"


async def test_it_starts_again_and_switches_itself_off(debian: Machine) -> None:
    """The last one here: its machine is off afterwards."""
    async with debian.client() as client:
        boot = await _said(client, "cat", "/proc/sys/kernel/random/boot_id")
        await _said(client, "sh", "-c", "echo kept > /srv/kept; sync")
        assert (await client.reboot()).initiated
    await _ready(debian)
    async with debian.client() as client:
        assert await _said(client, "cat", "/proc/sys/kernel/random/boot_id") != boot
        assert await _said(client, "cat", "/srv/kept") == "kept"
        assert (await client.shutdown()).initiated
    assert await anyio.to_thread.run_sync(debian.off)
