"""The test runner of CI: a failed test gets one more chance and is named; one that fails again stays failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT

FLAKY = """
from pathlib import Path

def test_passes_the_second_time():
    marker = Path(__file__).with_name("seen")
    seen = marker.exists()
    marker.touch()
    assert seen

def test_passes():
    pass
"""
BROKEN = (
    FLAKY
    + """
def test_never_passes():
    assert False
"""
)


@pytest.mark.parametrize(
    "source, code, last",
    [(FLAKY, 0, "2 passed, 0 failed, 0 skipped"), (BROKEN, 1, "2 passed, 1 failed, 0 skipped")],
    ids=["flaky", "broken"],
)
def test_a_failed_test_gets_one_more_chance(tmp_path: Path, source: str, code: int, last: str) -> None:
    done = run(tmp_path, source, CI="true")
    lines = done.stdout.strip().splitlines()
    assert done.returncode == code
    assert lines[-1] == last
    assert [line for line in lines if line.startswith("FLAKY: ")] == ["FLAKY: test_it::test_passes_the_second_time"]


def test_outside_ci_a_failure_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, FLAKY)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout.strip().splitlines()[-1]


def test_a_run_that_ends_early_is_no_success(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\ndef test_leaves():\n    os._exit(0)\n", CI="true")
    assert done.returncode == 3
    assert "ended early" in done.stdout


def run(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    clean = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/test.py"), f"--rootdir={folder}", str(folder)],
        cwd=folder,
        env={**clean, **environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
