"""Writes, or with --check compares, every file generated from the types. Each generator lives with its types."""

import subprocess
import sys
from pathlib import Path

GENERATORS = (
    [str(Path(__file__).parent / "generate_protocol.py")],
    [str(Path(__file__).parent / "generate_toolbox.py")],
    ["-m", "stead.control.http.generate"],
    ["-m", "stead.node.generate"],
)


def main(args: list[str]) -> int:
    """Runs every generator, also after one has failed."""
    return max(subprocess.run([sys.executable, *name, *args], check=False).returncode for name in GENERATORS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
