"""The system: what is told of it agrees with its own programs, and signals reach the one meant."""

from __future__ import annotations

import re

from stead.toolbox.behaviour.checks import check, expect, script, sh
from stead.toolbox.contract import ExecState, Toolbox


@check
async def system_information(toolbox: Toolbox, place: str) -> None:
    """Kernel, memory and processors as the workspace's own programs see them."""
    info = await toolbox.system.info()
    seen = await sh(toolbox, "uname -n; uname -r; uname -m; sed -n 's/MemTotal: *//p' /proc/meminfo")
    node, release, machine, memory = seen.stdout.decode().splitlines()
    expect((info.hostname, info.kernel, info.architecture) == (node, release, machine), f"{info} instead of {seen}")
    expect(info.memory_total_bytes == int(memory.split()[0]) * 1024, f"memory {info.memory_total_bytes}, not {memory}")
    expect(0 < info.memory_available_bytes <= info.memory_total_bytes, f"{info.memory_available_bytes} available")
    expect(info.cpu_count >= 1 and info.uptime_seconds > 0 and info.boot_time > 1e9 and len(info.load) == 3, f"{info}")


@check
async def system_network(toolbox: Toolbox, place: str) -> None:
    """The loopback is there with its address, its true state and its size of packets."""
    interfaces = {interface.name: interface for interface in (await toolbox.system.network()).interfaces}
    loopback = interfaces["lo"]
    expect(loopback.loopback and loopback.mtu > 1500, f"the loopback is {loopback}")
    if loopback.state == "up":
        expect("127.0.0.1/8" in loopback.ipv4, f"the loopback is {loopback}")
    seen = await sh(toolbox, "tail -n +3 /proc/net/dev")
    names = {line.partition(":")[0].strip() for line in seen.stdout.decode().splitlines()}
    expect(set(interfaces) == names, f"interfaces {set(interfaces)} instead of {names}")


@check
async def system_disks(toolbox: Toolbox, place: str) -> None:
    """Every filesystem with a size, its numbers adding up."""
    filesystems = (await toolbox.system.disks()).filesystems
    for one in filesystems:
        expect(one.mount_point.startswith("/") and one.type, f"told {one}")
        expect(one.remote or one.total_bytes >= one.used_bytes >= 0, f"told {one}")
        expect(0 <= one.used_percent <= 100, f"told {one}")
    points = [one.mount_point for one in filesystems]
    expect(points == sorted(set(points)), f"mount points {points}")


@check
async def system_processes(toolbox: Toolbox, place: str) -> None:
    """An exec is among the processes; its identity, and only that, ends it; gone, it is not signalled again."""
    running = await toolbox.start(script("echo $$; exec sleep 1000"))
    pid = int((await anext(running.output())).data)
    listed = await toolbox.system.processes()
    found = next(process for process in listed.processes if process.pid == pid)
    expect(listed.total >= 1 and found.memory_bytes >= 0 and found.started > 1e9, f"told {found}")
    other = re.sub(r"-\d+-", "-1-", found.identity)
    expect(not (await toolbox.system.kill_process(other)).signalled, "another process was signalled")
    expect((await toolbox.system.kill_process(found.identity)).signalled, "it was not signalled")
    expect((await running.wait()).state is ExecState.SIGNALLED, "it ended otherwise")
    expect(not (await toolbox.system.kill_process(found.identity)).signalled, "a process that is gone was signalled")
