"""The system: what is told of it agrees with its own programs, and signals reach the one meant."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from ipaddress import ip_interface

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.behaviour.checks import NotTriedError, check, expect, refused, script, sh
from stead.toolbox.contract import LIST_ENTRIES, ExecState, Toolbox
from stead.toolbox.system.contract import Process

SECONDS = 60.0
"""How long it may be between two calls."""
TICKS = 100
"""What the kernel counts processor time in, a second; the same wherever Linux runs."""
CLOUD_REFUSALS = frozenset({"invalid", "permission_denied", "conflict"})
"""For user data that is wrong: where only root may run it, or the boot's is not done yet, it is not even read."""


@check
async def system_information(toolbox: Toolbox, place: str) -> None:
    """Kernel, memory and processors as the workspace's own programs see them."""
    info = await toolbox.system.info()
    line = "uname -n; uname -r; uname -m; sed -n 's/MemTotal: *//p' /proc/meminfo; cat /proc/uptime"
    seen = await sh(toolbox, f"{line}; sed -n 's/^btime //p' /proc/stat")
    node, release, machine, memory, uptime, booted = seen.stdout.decode().splitlines()
    expect((info.hostname, info.kernel, info.architecture) == (node, release, machine), f"{info} instead of {seen}")
    expect(info.memory_total_bytes == int(memory.split()[0]) * 1024, f"memory {info.memory_total_bytes}, not {memory}")
    expect(0 < info.memory_available_bytes <= info.memory_total_bytes, f"{info.memory_available_bytes} available")
    expect(
        0 <= float(uptime.split()[0]) - info.uptime_seconds < SECONDS, f"up for {info.uptime_seconds} s, not {uptime}"
    )
    expect(abs(info.boot_time - float(booted)) <= 2, f"started {info.boot_time}, not {booted}")
    known = await sh(toolbox, "cat /etc/os-release /usr/lib/os-release | sed -n 's/^ID=//p' | head -n 1")
    release = known.stdout.decode().strip().strip("\"'") or "linux"
    expect(info.os_id == release and info.cpu_count >= 1 and len(info.load) == 3, f"{info} is not of {release}")


@check
async def system_network(toolbox: Toolbox, place: str) -> None:
    """The loopback is there with its address, its true state and its size of packets; all have their addresses."""
    before, addresses = await _interfaces(toolbox), await _addresses(toolbox)
    interfaces = {interface.name: interface for interface in (await toolbox.system.network()).interfaces}
    after, later = await _interfaces(toolbox), await _addresses(toolbox)
    expect(before & after <= set(interfaces) <= before | after, f"interfaces {set(interfaces)} instead of {before}")
    loopback = interfaces["lo"]
    expect(loopback.loopback and loopback.mtu > 1500, f"the loopback is {loopback}")
    if loopback.state == "up":
        expect("127.0.0.1/8" in loopback.ipv4, f"the loopback is {loopback}")
    told = {(name, ip_interface(address)) for name, each in interfaces.items() for address in each.ipv6}
    expect(addresses & later <= told <= addresses | later, f"addresses {told} instead of {addresses}")


async def _addresses(toolbox: Toolbox) -> set[tuple[str, object]]:
    """Those of IPv6, by their interfaces."""
    seen = (await sh(toolbox, "cat /proc/net/if_inet6")).stdout.decode().splitlines()
    return {(line.split()[-1], ip_interface((bytes.fromhex(line[:32]), int(line.split()[2], 16)))) for line in seen}


async def _interfaces(toolbox: Toolbox) -> set[str]:
    seen = await sh(toolbox, "tail -n +3 /proc/net/dev")
    return {line.partition(":")[0].strip() for line in seen.stdout.decode().splitlines()}


@check
async def system_disks(toolbox: Toolbox, place: str) -> None:
    """Every filesystem with a size, its numbers adding up; that of the workspace as `df` has it."""
    seen = (await sh(toolbox, "df -kP . | tail -n 1")).stdout.decode().split()
    filesystems = (await toolbox.system.disks()).filesystems
    if len(seen) > 4 and seen[-5].isdigit():  # what a machine starts from has no size, and no line
        told = [one.total_bytes // 1024 for one in filesystems]
        expect(int(seen[-5]) in told or any(one.remote for one in filesystems), f"none of {told} is that of {seen}")
    for one in filesystems:
        expect(one.mount_point.startswith("/") and one.type, f"told {one}")
        expect(one.remote or one.total_bytes >= one.used_bytes >= 0, f"told {one}")
        expect(0 <= one.used_percent <= 100, f"told {one}")
    points = [one.mount_point for one in filesystems]
    expect(points == sorted(set(points)), f"mount points {points}")


@check
async def system_processes(toolbox: Toolbox, place: str) -> None:
    """An exec is among the processes; its identity, and only that, ends it; gone, it is not signalled again."""
    users = (await sh(toolbox, "id -u; id -un")).stdout.decode().split()
    running = await toolbox.start(script("echo $$; exec sleep 1000"))
    pid = int((await anext(running.output())).data)
    found = await _listed(toolbox, pid)
    expect(found.started > 1e9 and "sleep" in " ".join(found.command) and found.parent > 0, f"told {found}")
    expect(found.user in users and found.state in "RSD" and found.threads == 1, f"told {found}, of {users}")
    one = await toolbox.system.processes(limit=1)
    expect(one.truncated and len(one.processes) == 1 < one.total, f"one of them: {one}")
    by_memory = [
        process.memory_bytes for process in (await toolbox.system.processes(order="memory", limit=3)).processes
    ]
    expect(by_memory == sorted(by_memory, reverse=True) and 0 < len(by_memory) <= 3, f"by memory: {by_memory}")
    other = re.sub(r"-\d+-", "-1-", found.identity)
    expect(not (await toolbox.system.kill_process(other)).signalled, "another process was signalled")
    expect((await toolbox.system.kill_process(found.identity)).signalled, "it was not signalled")
    expect((await running.wait()).state is ExecState.SIGNALLED, "it ended otherwise")
    expect(not (await toolbox.system.kill_process(found.identity)).signalled, "a process that is gone was signalled")


async def _listed(toolbox: Toolbox, pid: int) -> Process:
    """One that runs; while it becomes another program it has no command line."""
    while True:
        listed = await toolbox.system.processes(limit=LIST_ENTRIES)
        found = next((process for process in listed.processes if process.pid == pid), None)
        assert found is not None, f"process {pid} is not among {listed.total}"
        if found.command:
            return found
        await anyio.sleep(0.05)


@check
async def system_metrics(toolbox: Toolbox, place: str) -> None:
    """Counters only grow, and what the workspace's own programs see in between is in between."""
    before = await toolbox.system.metrics()
    seen = (await sh(toolbox, "cat /proc/uptime; head -n 1 /proc/stat; sed -n 's/^ *lo: *//p' /proc/net/dev")).stdout
    after = await toolbox.system.metrics()
    uptime, ticks, *loopback = seen.decode().splitlines()
    expect(before.time <= after.time and before.memory_total_bytes == after.memory_total_bytes > 0, f"{before} {after}")
    expect(
        before.uptime_seconds <= float(uptime.split()[0]) <= after.uptime_seconds, f"{uptime} between {before} {after}"
    )
    for kind, count in zip(("user", "nice", "system"), ticks.split()[1:], strict=False):
        times = before.cpu_seconds[kind], int(count) / TICKS, after.cpu_seconds[kind]
        expect(times[0] <= times[1] <= times[2], f"{kind}: {times}")
    counted = [each for found in (before, after) for each in found.networks if each.name == "lo"]
    if loopback and len(counted) == 2:
        received = counted[0].received_bytes, int(loopback[0].split()[0]), counted[1].received_bytes
        expect(received[0] <= received[1] <= received[2], f"received: {received}")
    expect(after.processes > 0 and after.cpu_count > 0 and after.memory_available_bytes > 0, f"{after}")


@check
async def system_users(toolbox: Toolbox, place: str) -> None:
    """The accounts are those of the workspace; one that is not there has no keys."""
    told = {account.name: account for account in (await toolbox.system.users()).accounts}
    seen = (await sh(toolbox, "cut -d: -f1,3,4,6,7 /etc/passwd")).stdout.decode().splitlines()
    for name, *facts in (line.split(":") for line in seen if line.count(":") == 4 and line[0] not in "#+-"):
        account = told.get(name)
        expect(account is not None, f"the account {name} is missing in {list(told)}")
        if account is not None:
            known = [str(account.uid), str(account.gid), account.home, account.shell]
            expect(known == facts, f"{name} is told as {known}, not as {facts}")
    await refused("not_found", toolbox.system.keys("no-such-user-here"))
    await refused("invalid", toolbox.system.add_key("ssh-ed25519 AAAA", "no-such-user-here"))
    await refused("not_found", toolbox.system.remove_key("SHA256:none", "no-such-user-here"))


@check
async def system_log_is_followed(toolbox: Toolbox, place: str) -> None:
    """The last lines, what is added, and the new file after the old one was moved away."""
    log = f"{place}/log"
    await toolbox.write(log, b"one\ntwo\nthree\n")
    expect((await toolbox.system.log(log, lines=2)).content == b"two\nthree\n", "other last lines")
    seen = b""
    async for piece in toolbox.system.follow(log, lines=1):
        step, seen = seen.count(b"\n"), seen + piece
        if step == 0:
            await toolbox.append(log, b"four\n")
        elif step == 1:
            await toolbox.move(log, f"{log}.1")
            await toolbox.append(f"{log}.1", b"five\n")
            await toolbox.write(log, b"six\n")
        if b"six\n" in seen:
            break
    expect(seen == b"three\nfour\nfive\nsix\n", f"followed {seen!r}")
    await refused("not_found", toolbox.system.log(f"{place}/nothing"))
    await refused("not_found", _first(toolbox.system.follow(f"{place}/nothing")))
    await refused("invalid", toolbox.system.log(log, unit="too"))


async def _first(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces)


@check
async def system_packages(toolbox: Toolbox, place: str) -> None:
    """What the system's manager lists; names that would be options or files are refused."""
    packages = await toolbox.system.packages()
    expect(packages.manager and len(packages.packages) <= packages.total, f"told {packages.manager} {packages.total}")
    names = [package.name for package in packages.packages]
    expect(names == sorted(names) and all(package.version for package in packages.packages), f"told {names}")
    some = await toolbox.system.packages(limit=1)
    expect(some.packages == packages.packages[:1] and some.truncated == (packages.total > 1), f"one of them: {some}")
    await refused("invalid", toolbox.system.install_packages(["--allow-downgrades"]))
    await refused("invalid", toolbox.system.install_packages(["./local.deb"]))
    await refused("invalid", toolbox.system.remove_packages(["-f"]))


@check
async def system_cloud_init(toolbox: Toolbox, place: str) -> None:
    """A script, broken YAML and a directive that nobody knows are refused, and nothing is run; its status is told."""
    trace = f"#cloud-config\nwrite_files: [{{path: {place}/trace, content: x}}]\n"
    told = await refused("invalid", toolbox.system.cloud_init("#!/bin/sh\nexit 0\n"))
    expect("exec" in told.message, f"a script is refused without the way that it goes: {told.message}")
    await refused("invalid", toolbox.system.cloud_init(trace, timeout=-1.0))
    if not (await toolbox.system.cloud_init_status()).installed:
        await refused("program_missing", toolbox.system.cloud_init(trace))
        raise NotTriedError("cloud-init is not installed in the workspace")
    for wrong in ("runcmd: [", "no_such_directive_here: 1\n"):
        expect(await _cloud_refusal(toolbox, trace + wrong) in CLOUD_REFUSALS, f"not refused: {wrong}")
    await refused("not_found", toolbox.stat(f"{place}/trace"))


async def _cloud_refusal(toolbox: Toolbox, user_data: str) -> str:
    try:
        return str(await toolbox.system.cloud_init(user_data))
    except SteadError as error:
        return error.code


@check
async def system_services(toolbox: Toolbox, place: str) -> None:
    """Those of systemd, where it runs."""
    services = (await toolbox.system.services()).services
    expect(services and all(service.name.endswith(".service") for service in services), f"told {services[:3]}")
    await refused("not_found", toolbox.system.service("no-such-service-here"))
    await refused("invalid", toolbox.system.service("--help"))
    await refused("invalid", toolbox.system.control_service("--help", "stop"))


@check
async def system_power_is_for_machines(toolbox: Toolbox, place: str) -> None:
    """A workspace that shares its machine refuses; elsewhere an impossible delay is refused, and nothing happens."""
    own = (await toolbox.info()).isolation == "vm"
    await refused("invalid" if own else "refused", toolbox.system.shutdown(delay=-1.0))
    await refused("invalid" if own else "refused", toolbox.system.reboot(delay=-1.0))
