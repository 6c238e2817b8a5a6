"""Numbers of one instant: counters since the start, and what is there now."""

from __future__ import annotations

import os
import time
from pathlib import Path

from stead.toolbox.system import kernel
from stead.toolbox.system.contract import DiskCounters, Metrics, NetworkCounters

SECTOR = 512
"""What the kernel counts transfers of disks in, whatever the disk has."""
_KINDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_NOT_DISKS = ("loop", "ram", "zram", "fd")


def metrics() -> Metrics:
    """Counters only grow; two of them and the time between give rates."""
    kernel.needs_linux("metrics")
    memory = kernel.memory()
    ticks = next((line.split()[1:] for line in kernel.text("/proc/stat").splitlines() if line.startswith("cpu ")), [])
    return Metrics(
        time=time.time(),
        uptime_seconds=kernel.uptime(),
        load=[round(number, 2) for number in os.getloadavg()],
        cpu_count=kernel.processors(),
        cpu_seconds={kind: int(count) / kernel.TICKS for kind, count in zip(_KINDS, ticks, strict=False)},
        memory_total_bytes=memory.get("MemTotal", 0),
        memory_available_bytes=memory.get("MemAvailable", 0),
        memory_free_bytes=memory.get("MemFree", 0),
        memory_cached_bytes=memory.get("Cached", 0),
        swap_total_bytes=memory.get("SwapTotal", 0),
        swap_free_bytes=memory.get("SwapFree", 0),
        processes=sum(entry.name.isdigit() for entry in Path("/proc").iterdir()),
        disks=[_disk(line.split()) for line in kernel.text("/proc/diskstats").splitlines() if _whole(line)],
        networks=[_network(line) for line in kernel.text("/proc/net/dev").splitlines()[2:]],
    )


def _whole(line: str) -> bool:
    """Disks, not their parts, where the kernel tells them apart."""
    fields = line.split()
    if len(fields) < 13 or fields[2].startswith(_NOT_DISKS):
        return False
    return not Path(f"/sys/class/block/{fields[2]}/partition").exists()


def _disk(fields: list[str]) -> DiskCounters:
    return DiskCounters(
        name=fields[2],
        reads=int(fields[3]),
        read_bytes=int(fields[5]) * SECTOR,
        writes=int(fields[7]),
        written_bytes=int(fields[9]) * SECTOR,
        busy_seconds=int(fields[12]) / 1000,
    )


def _network(line: str) -> NetworkCounters:
    name, _, rest = line.partition(":")
    count = [int(field) for field in rest.split()]
    return NetworkCounters(
        name=name.strip(),
        received_bytes=count[0],
        received_packets=count[1],
        receive_errors=count[2],
        receive_drops=count[3],
        sent_bytes=count[8],
        sent_packets=count[9],
        send_errors=count[10],
        send_drops=count[11],
    )
