"""The repository's own files, as git knows them."""

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    """The tracked files that exist, optionally only those that match a git pattern such as `*.md`."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *patterns]
    names = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())


def short(path: Path) -> str:
    """The path as a person says it, from the root."""
    return str(path.relative_to(ROOT))
