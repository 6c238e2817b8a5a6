"""Every point that the inside of a workspace passes is one at which it can be killed."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stead
from stead.testing.guestprogram import GUEST, HOLDER, KillOnce

SOURCE = Path(stead.__file__).parent


def test_the_points_are_those_of_the_code() -> None:
    files = [*(SOURCE / "guest").rglob("*.py"), *(SOURCE / "toolbox").rglob("*.py")]
    passed = [point for file in files for point in re.findall(r"observer\.at\(\"([a-z.]+)\"", file.read_text())]
    assert sorted(passed) == sorted([*GUEST, *HOLDER])


@pytest.mark.parametrize("armed", ["exec.claimed", "ws_b-exec.claimed"])
def test_who_passes_an_armed_point_dies_and_the_next_one_does_not(tmp_path: Path, armed: str) -> None:
    KillOnce(tmp_path, "ws_a").at("exec.claimed", "nobody armed it")
    (tmp_path / armed).touch()
    passes = "import sys, pathlib; from stead.testing.guestprogram import KillOnce"
    passes += "; KillOnce(pathlib.Path(sys.argv[1]), 'ws_b').at('exec.claimed', 'it dies here')"
    ends = [subprocess.run([sys.executable, "-c", passes, tmp_path], check=False).returncode for _ in range(2)]
    assert ends == [-signal.SIGKILL, 0]
