"""What workspaces see as the machine's /etc: a copy with only what everybody may read, kept as the machine's is.

Contract: `Etc(folder)` keeps the copies in a folder of the node. `mounts` tells what is to be shown where. `keep` begins to
follow the machine, in a thread; `get_fresh` returns when the copies are as the machine's files are now, and costs next to
nothing where these have not changed; `close` ends it. What is secret is not in a copy, so nothing that the machine does to a
file of its own can uncover it in a workspace. Files change inside the folders that workspaces have mounted: they see it.

Changes are told by inotify. As it tells neither of new mounts nor of what others do to a file in the network, everything is
looked at now and then; without it, often, and before each start.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import select
import sys
import threading
from pathlib import Path

from stead.drivers.process.mirror import mirror

log = logging.getLogger(__name__)

ETC = Path("/etc")
SOURCES = (ETC, Path("/run/NetworkManager"))
"""The second has a resolv.conf, which is replaced with every change of the network."""
LOOK_SECONDS = 60.0
UNTOLD_SECONDS = 5.0
"""How often everything is looked at where changes are not told."""
SETTLE_SECONDS = 0.2
"""Who changes one file often changes others: so long they are waited for, but never by a start."""
_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
"""modify, attributes, close after writing, moved from and to, create, delete, deleted or moved itself."""
_DONT_FOLLOW = 0x02000000
_PIECE = 1 << 16


class _StoppedError(Exception):
    """It was closed while it copied."""


class Etc:
    """The copies of one node."""

    def __init__(
        self, folder: Path, sources: tuple[Path, ...] = SOURCES, untold_seconds: float = UNTOLD_SECONDS
    ) -> None:
        self._folder = folder
        self._copies = {source: folder / str(source).strip("/").replace("/", "-") for source in sources}
        self._untold_seconds = untold_seconds
        self._changes = Changes()
        self._lock = threading.Lock()
        self._is_fresh = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._stopped = os.pipe()

    @property
    def mounts(self) -> dict[Path, Path]:
        """The copy by the place where it is to be seen, of those that there are."""
        return {source: copy for source, copy in self._copies.items() if source.is_dir()}

    def keep(self) -> None:
        """Follows the machine from now on; does not wait."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="etc", daemon=True)
                self._thread.start()

    def get_fresh(self) -> None:
        """OSError when a change cannot be written down."""
        with self._lock:
            if self._changes.take():
                self._is_fresh = False
            if not self._is_fresh:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                for source, copy in self._copies.items():
                    mirror(source, copy, self._look)
                self._is_fresh = True

    def close(self) -> None:
        """May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        os.close(self._stopped[1])
        if self._thread is not None:
            self._thread.join()
        os.close(self._stopped[0])
        self._changes.close()

    def _look(self, path: str) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self._changes.follow(path)

    def _follow(self) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                self.get_fresh()
                told = ""
            except _StoppedError:
                return
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("workspaces may not see what has changed in the machine's /etc: %s", error)
            if not self._something(
                self._changes.descriptor, LOOK_SECONDS if self._changes.told else self._untold_seconds
            ):
                with self._lock:
                    self._is_fresh = False
            self._stop.wait(SETTLE_SECONDS)

    def _something(self, changes: int, seconds: float) -> bool:
        """Whether there was a change, or the end, within this time."""
        poll = select.poll()
        for descriptor in self._stopped[0], changes:
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class Changes:
    """What inotify tells. `told` is False where it tells nothing; then all may have changed at any time."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._c.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if sys.platform == "linux" else -1

    @property
    def told(self) -> bool:
        return self.descriptor >= 0

    def follow(self, path: str) -> None:
        """What is followed already goes on to be."""
        if not self.told:
            return
        followed = self._c.inotify_add_watch(self.descriptor, path.encode(), _CHANGES | _DONT_FOLLOW)
        if followed < 0 and ctypes.get_errno() in {errno.ENOSPC, errno.ENOMEM}:
            self.close()

    def take(self) -> bool:
        """Whether anything may have changed since this was last asked."""
        changed = not self.told
        with contextlib.suppress(BlockingIOError):
            while self.told and os.read(self.descriptor, _PIECE):
                changed = True
        return changed

    def close(self) -> None:
        """May be called twice."""
        if self.told:
            os.close(self.descriptor)
            self.descriptor = -1
