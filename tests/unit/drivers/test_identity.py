"""Who a process is, where there is no /proc: what other systems tell."""

import os
import subprocess

import psutil

from stead.drivers.process.identity import boot_elsewhere, started_elsewhere
from support.deadline import eventually


def test_the_boot_is_what_the_system_calls_it_or_when_it_was() -> None:
    assert boot_elsewhere(("echo", "a-boot")) == "a-boot"
    for nothing in (("/no/such/program",), ("false",)):
        assert abs(int(boot_elsewhere(nothing)) - psutil.boot_time()) <= 1


def test_a_process_is_known_by_pid_and_start() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        mine, its = started_elsewhere(os.getpid()), started_elsewhere(child.pid)
        assert mine == started_elsewhere(os.getpid())
        assert None not in {mine, its}
        assert mine != its
        child.kill()
        eventually(lambda: started_elsewhere(child.pid) is None, "it is only a corpse")
    finally:
        child.kill()
        child.wait()
    assert started_elsewhere(child.pid) is None
