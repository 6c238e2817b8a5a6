"""Every point that the inside of a workspace passes is one at which it can be killed."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import stead
from stead.testing.guestprogram import GUEST, HOLDER, KillOnce

SOURCE = Path(stead.__file__).parent


def test_the_points_are_those_of_the_code() -> None:
    files = [*(SOURCE / "guest").rglob("*.py"), *(SOURCE / "toolbox").rglob("*.py")]
    passed = [point for file in files for point in re.findall(r"observer\.at\(\"([a-z.]+)\"", file.read_text())]
    assert sorted(passed) == sorted([*GUEST, *HOLDER])


def test_who_passes_an_armed_point_dies_and_the_next_one_does_not(tmp_path: Path) -> None:
    KillOnce(tmp_path).at("exec.claimed", "nobody armed it")
    (tmp_path / "exec.claimed").touch()
    passes = "import sys, pathlib; from stead.testing.guestprogram import KillOnce"
    passes += "; KillOnce(pathlib.Path(sys.argv[1])).at('exec.claimed', 'it dies here')"
    ends = [subprocess.run([sys.executable, "-c", passes, tmp_path], check=False).returncode for _ in range(2)]
    assert ends == [-signal.SIGKILL, 0]
