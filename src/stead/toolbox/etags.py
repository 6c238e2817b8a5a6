"""The mark of a file's version, to notice that somebody changed it.

Contract: `of(stat)` is another text after every write through Stead, and after any other write that changes size or time.
"""

from __future__ import annotations

import os

from stead.protocol.errors import SteadError


def of(found: os.stat_result) -> str:
    """Size, time and inode."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"


def check(wanted: str, found: str, path: str) -> None:
    """Refuses when the caller knows another version; an empty one is any."""
    if wanted and wanted != found:
        raise SteadError("precondition_failed", f"{path} is not what it was when it was read", path=path, etag=found)
