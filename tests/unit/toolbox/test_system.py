"""What the kernel tells of the system, against other ways to find out."""

import os
import pwd
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.system import disks, host, metrics, network, processes, users
from stead.toolbox.system.contract import KillProcess, ListProcesses
from support.deadline import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")


def test_information_is_in_bytes_and_seconds() -> None:
    info = host.info()
    assert info.memory_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") or (
        info.memory_total_bytes > 1 << 28
    )
    assert abs(info.boot_time + info.uptime_seconds - time.time()) < 60
    assert info.os_id
    assert info.os_name


# --- network ---------------------------------------------------------------------------------------------------------


def test_the_state_of_an_interface_is_true() -> None:
    """In a network of its own the loopback is down and has no address."""
    line = "from stead.toolbox.system.network import network; print(network())"
    argv = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", line]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr.strip()[:100]}")
    told = next(word for word in done.stdout.split("Interface(") if "name='lo'" in word)
    assert "state='down'" in told
    assert "ipv4=[]" in told


def test_interfaces_have_what_sys_says() -> None:
    for interface in network.network().interfaces:
        folder = Path("/sys/class/net") / interface.name
        if not folder.exists():
            pytest.skip("/sys shows another network")
        assert interface.mtu == int((folder / "mtu").read_text())
        told = (folder / "operstate").read_text().strip()
        up = int((folder / "flags").read_text(), 16) & 1
        assert interface.state == (told if told != "unknown" and up else interface.state)
        assert up or interface.state == "down"
        if interface.mac:
            assert interface.mac == (folder / "address").read_text().strip()


# --- disks -----------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_df(tmp_path: Path) -> None:
    told = {one.mount_point: one for one in disks.disks().filesystems}
    argv = ["df", "-B1", "--output=target,fstype,size,pcent", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("df is another one")
    target, kind, size, percent = done.stdout.splitlines()[1].split()
    if target not in told:
        pytest.skip(f"{target} is mounted several times")
    assert (told[target].type, told[target].total_bytes) == (kind, int(size))
    assert abs(told[target].used_percent - int(percent.rstrip("%"))) <= 1


@pytest.mark.parametrize(
    ("used", "available", "expected"), [(0, 0, 0), (0, 10, 0), (1, 999, 1), (10, 0, 100), (1, 2, 34)]
)
def test_a_percentage_is_rounded_up(used: int, available: int, expected: int) -> None:
    assert disks.percent(used, available) == expected


def test_mounts_with_odd_names_and_of_servers() -> None:
    table = (
        "30 1 8:1 / /with\\040space rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "31 1 0:50 / /far ro - nfs4 server:/export rw\n"
        "32 1 8:2 / /odd\\134name ro,nosuid - xfs /dev/sdb rw,attr2\nnonsense\n"
    )
    found = disks._mounts(table)
    assert [(mount.mount_point, mount.type, mount.read_only) for mount in found] == [
        ("/with space", "ext4", False),
        ("/far", "nfs4", True),
        ("/odd\\name", "xfs", True),
    ]
    far = disks._measured(found[1])
    assert far is not None
    assert (far.remote, far.total_bytes) == (True, 0)


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_process_with_an_odd_name(tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to(shutil.which("sleep") or "/bin/sleep")
    child = subprocess.Popen([str(odd), "1000"])
    try:
        eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text().startswith("a)"), "it runs")
        found = next(each for each in processes.processes(ListProcesses()).processes if each.pid == child.pid)
        assert found.name == "a) S 1 (b"
        assert found.parent == os.getpid()
        assert found.command == [str(odd), "1000"]
        assert abs(found.started - time.time()) < 60
        assert processes.kill(KillProcess(identity=found.identity, signal=signal.SIGTERM)).signalled
        assert child.wait(30) == -signal.SIGTERM
        assert not processes.kill(KillProcess(identity=found.identity)).signalled
    finally:
        child.kill()
        child.wait()


def test_a_process_of_the_same_number_is_not_hit() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    try:
        found = next(each for each in processes.processes(ListProcesses()).processes if each.pid == child.pid)
        pid, ticks, boot = found.identity.split("-")
        for other in (f"{pid}-{int(ticks) - 1}-{boot}", f"{pid}-{ticks}-00000000"):
            assert not processes.kill(KillProcess(identity=other, signal=signal.SIGKILL)).signalled
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("identity", ["", "1", "-1-1-a", "0-1-a", "1-1-a; kill", "1" * 30])
def test_what_is_no_identity_is_refused(identity: str) -> None:
    with pytest.raises(SteadError, match="identity"):
        processes.kill(KillProcess(identity=identity))


def test_a_signal_that_is_none_is_refused() -> None:
    with pytest.raises(SteadError, match="signal"):
        processes.kill(KillProcess(identity=f"{os.getpid()}-1-a", signal=1000))


def test_the_list_is_ordered_and_cut() -> None:
    by_memory = processes.processes(ListProcesses(order="memory", limit=2))
    assert len(by_memory.processes) <= 2
    sizes = [process.memory_bytes for process in by_memory.processes]
    assert sizes == sorted(sizes, reverse=True)
    assert by_memory.truncated == (by_memory.total > 2)
    pids = [process.pid for process in processes.processes(ListProcesses(order="pid")).processes]
    assert pids == sorted(pids)


# --- users, metrics --------------------------------------------------------------------------------------------------


def test_sessions_of_the_login_manager(tmp_path: Path) -> None:
    (tmp_path / "1").write_text(
        "# private\nUID=1000\nUSER=ann\nTTY=pts/0\nREMOTE_HOST=10.0.0.9\nCLASS=user\nREALTIME=5000000\nLEADER=7\n"
    )
    (tmp_path / "2").write_text("USER=gdm\nCLASS=greeter\n")
    os.mkfifo(tmp_path / "1.ref")
    held = os.open(tmp_path / "1.ref", os.O_RDWR)  # as by the one who is logged in
    try:
        found = users.users(str(tmp_path)).sessions
    finally:
        os.close(held)
    assert [(one.user, one.terminal, one.host, one.since, one.pid) for one in found] == [
        ("ann", "pts/0", "10.0.0.9", 5.0, 7)
    ]


def test_sessions_of_the_old_record(tmp_path: Path) -> None:
    record = struct.pack("=hxxi32s4s32s256shhiii16s20x", 7, 42, b"pts/3", b"", b"bob", b"far", 0, 0, 1, 99, 500000, b"")
    (tmp_path / "utmp").write_bytes(record + struct.pack("=hxx380x", 8) + record[:100])
    found = users.users(str(tmp_path / "none"), (str(tmp_path / "utmp"),)).sessions
    assert [(one.user, one.terminal, one.host, one.since, one.pid) for one in found] == [
        ("bob", "pts/3", "far", 99.5, 42)
    ]


def test_what_is_no_text_or_no_number_is_told_nevertheless(tmp_path: Path) -> None:
    entry = pwd.struct_passwd(("a\udcff", "x", 7, 8, "\udcff,room", "/home/\udcfe", "/bin/sh"))
    account = users._account(entry)
    assert (account.name, account.home, account.full_name) == ("a\ufffd", "/home/\ufffd", "\ufffd")
    (tmp_path / "1").write_text("CLASS=user\nUSER=ann\nREALTIME=soon\nLEADER=-1\n")
    assert [(each.user, each.since, each.pid) for each in users.users(str(tmp_path)).sessions] == [("ann", 0.0, 0)]


def test_accounts_are_told_with_whose_they_are() -> None:
    root = users.users().accounts[0]
    assert (root.name, root.uid, root.system) == ("root", 0, False)


def test_metrics_are_those_of_the_kernel() -> None:
    found = metrics.metrics()
    assert "lo" in {one.name for one in found.networks}
    assert 0 < found.memory_available_bytes <= found.memory_total_bytes
    assert found.cpu_seconds["idle"] >= 0
    assert not any(one.name.startswith("loop") for one in found.disks)
