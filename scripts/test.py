"""Runs pytest once. In CI the failed tests, at most ten, run once more alone; those that then pass are named as FLAKY.

The exit code is that of the last run. The output closes with pytest's own line or with `N passed, N failed, N skipped`.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

RERUN_AT_MOST = 10
TESTS_FAILED = 1
ENDED_EARLY = 3


def main(args: list[str]) -> int:
    """Runs what the arguments name, or everything."""
    with tempfile.TemporaryDirectory(prefix="stead-test-") as folder:
        first = Path(folder, "first.xml")
        code = run(first, *args)
        if code == 0 and os.environ.get("CI") and not first.exists():
            print("test: the run ended early, without its results", flush=True)
            return ENDED_EARLY
        if code != TESTS_FAILED or not os.environ.get("CI"):
            return code
        failed = failures(first)
        if not 0 < len(failed) <= RERUN_AT_MOST:
            return code
        return rerun(first, failed, Path(folder, "second.xml"), args)


def rerun(first: Path, failed: list[str], second: Path, args: list[str]) -> int:
    """Gives the failed tests one more chance, and tells which of them were flaky."""
    print(f"\ntest: {len(failed)} failed; once more, alone:", *failed, sep="\n  ", flush=True)
    code = run(second, "--last-failed", "--last-failed-no-failures=none", *args)
    flaky = sorted(set(failed) - set(failures(second)))
    for name in flaky:
        print(f"FLAKY: {name}")
    totals = counts(first)
    still = len(failed) - len(flaky)
    print(f"{totals['passed'] + len(flaky)} passed, {still} failed, {totals['skipped']} skipped", flush=True)
    return code


def run(report: Path, *args: str) -> int:
    """One run of pytest, with its results in a file."""
    argv = [sys.executable, "-m", "pytest", f"--junitxml={report}", *args]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode


def failures(report: Path) -> list[str]:
    """The names of the tests that failed or broke."""
    return [f"{case.get('classname')}::{case.get('name')}" for case in cases(report) if outcome(case) == "failed"]


def counts(report: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped."""
    return Counter(outcome(case) for case in cases(report))


def cases(report: Path) -> list[ET.Element]:
    """The single results in a report; none where there is no report."""
    return list(ET.parse(report).iter("testcase")) if report.exists() else []


def outcome(case: ET.Element) -> str:
    """passed, failed or skipped."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
