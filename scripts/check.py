"""Every check that needs no running program. All run, also after one has failed; the exit code tells if any did.

Arguments name the checks to run, such as `types imports`.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
CODE = ("src", "scripts", "benchmarks", "examples", "tests/support")

Command = tuple[str, ...]

CHECKS: dict[str, Command] = {
    "lint": (f"{BIN}/ruff", "check", "--quiet", "."),
    "format": (f"{BIN}/ruff", "format", "--check", "--quiet", "."),
    "types": (f"{BIN}/mypy", "--no-error-summary", *(name for name in CODE if list((ROOT / name).glob("**/*.py")))),
    "windows": (f"{BIN}/mypy", "--no-error-summary", "--platform", "win32", "-p", "stead.guest.windows"),
    "imports": (f"{BIN}/lint-imports", "--no-logo"),
    "generated": (sys.executable, "scripts/generate.py", "--check"),
    "web": ("npm", "--prefix", "web", "run", "--silent", "check"),
    "web tests": ("npm", "--prefix", "web", "run", "--silent", "test"),
}


def main(names: list[str]) -> int:
    """Runs the named checks, or all."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"check: unknown: {', '.join(unknown)}; there are: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = [name for name in names or CHECKS if not passes(name)]
    print(f"check: failed: {', '.join(failed)}" if failed else "check: all passed")
    return 1 if failed else 0


def passes(name: str) -> bool:
    """Runs one check; its output is shown only when it fails."""
    start = time.monotonic()
    done = subprocess.run(CHECKS[name], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    good = done.returncode == 0
    print(f"check: {name:9} {'passed' if good else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)
    if not good:
        print(done.stdout + done.stderr, flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
