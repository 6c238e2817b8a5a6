"""What a workspace sees of the machine, whatever the machine does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from support.repository import ROOT

SYSTEM = ("passwd", "group", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")
"""What programs need of /etc."""


@pytest.fixture
def machine(tmp_path: Path) -> list[str]:
    """The beginning of a command line that runs a program as root of a machine with an /etc of its own."""
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    for name in filter(lambda name: Path("/etc", name).exists(), SYSTEM):
        subprocess.run(["cp", "-a", f"/etc/{name}", str(etc)], check=True)
    for name, mode in ("resolv.conf", 0o644), ("hosts", 0o644), ("shadow", 0o600), ("key", 0o600):
        (etc / name).write_text("SECRET" if mode == 0o600 else "one")
        (etc / name).chmod(mode)
    (etc / "closed").mkdir()
    (etc / "closed" / "key").write_text("told")
    user = ["--unshare-user", "--uid", "0", "--gid", "0"] if os.geteuid() != 0 else []
    devices = ["--dev-bind", "/dev", "/dev", "--dev-bind", "/proc", "/proc"]
    return ["bwrap", *user, "--cap-add", "ALL", "--bind", "/", "/", *devices, "--bind", str(etc), "/etc", "--"]


@pytest.mark.needs_engine("bwrap")
@pytest.mark.timeout(240)
def test_what_root_of_the_machine_keeps_secret_in_etc_stays_so(machine: list[str], tmp_path: Path) -> None:
    """A mask over a file falls off when the machine puts another file in its place."""
    (tmp_path / "state").mkdir()
    argv = [*machine, sys.executable, "-m", "unit.drivers.rootnode", str(tmp_path / "state")]
    done = subprocess.run(argv, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["node"]["uid"] == "0"
    assert (told["before"]["resolv.conf"], told["before"]["closed/key"]) == ("one", "told")
    assert (told["after"]["resolv.conf"], told["after"]["hosts"]) == ("two", "one and more")
    assert "told" not in told["after"].values()
    assert told["late"]["late"] == "late"
    for seen in (told["before"], told["after"], told["late"]):
        assert "SECRET" not in json.dumps(seen)
        assert {"shadow", "key"}.isdisjoint(seen["names"].split())
        assert seen["touch"] == "refused"


def test_a_node_with_its_data_in_etc_gives_no_isolation_and_says_why(tmp_path: Path) -> None:
    driver = ProcessDriver(ProcessSettings(state=tmp_path, hidden=(Path("/etc/stead"),)))
    assert driver.facts().isolation == ["none"]
    assert "lies in /etc" in driver.facts().note
