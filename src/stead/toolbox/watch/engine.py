"""The thread that watches: it takes what happens, lets it settle for the debounce, and hands it over.

Contract: `Engine(root, ignored, poll, tell)` begins at `start`; `tell` is called in the thread, with `Begun` once, then lists
of changes, then perhaps a SteadError, after which nothing comes. `sync` asks for what has happened so far without waiting
for the debounce, and for `Synced` after it. `sync` and `stop` may be called from anywhere.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.watch import mounts
from stead.toolbox.watch.contract import DEBOUNCE, POLL_SECONDS, Change, Watched
from stead.toolbox.watch.pending import Pending
from stead.toolbox.watch.polling import Polled
from stead.toolbox.watch.tree import Tree, cannot

CHECK_SECONDS = 5.0
"""How often a quiet workspace is asked whether it is still there."""
POLL_SHARE = 20
"""A polled workspace is looked at so seldom that looking takes at most this part of the time."""

log = logging.getLogger(__name__)


class Begun(NamedTuple):
    """All there is, is watched from now on."""


class Synced(NamedTuple):
    """All that happened before the token was given has been told."""

    token: int


Tell = Callable[[Begun | Synced | list[Change] | SteadError], None]


class Engine:
    """One watch of the whole workspace."""

    def __init__(self, root: Root, tell: Tell, *, ignored: bool, poll: bool) -> None:
        self._root = root
        self._tell = tell
        self._ignored = ignored
        self._poll = poll
        self._pending = Pending()
        self._source: Tree | Polled | None = None
        self._reason = "asked for" if poll else ""
        self._stopped = False
        self._token = 0
        self._synced = 0
        self._wake, self._waker = os.pipe()
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="stead-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._closing:
            if not self._stopped:
                self._stopped = True
                os.close(self._waker)

    def sync(self, token: int) -> None:
        """The token is larger than the ones before."""
        with self._closing:
            if not self._stopped:
                self._token = token
                os.write(self._waker, b"s")

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def watched(self, readers: int) -> Watched:
        source = self._source
        return Watched(
            mode="polling" if isinstance(source, Polled) else "inotify",
            directories=0 if source is None else source.directories,
            readers=readers,
            ignored=self._ignored,
            reason=self._reason,
            missed=0 if source is None else source.missed,
        )

    def _run(self) -> None:
        try:
            self._watch()
        except SteadError as error:
            self._tell(error)
        except Exception as error:
            log.exception("the watch of a workspace failed")
            self._tell(SteadError("internal", f"the watch failed: {type(error).__name__}"))
        finally:
            self.stop()
            if isinstance(self._source, Tree):
                self._source.close()
            os.close(self._wake)

    def _watch(self) -> None:
        source = self._source = self._begin()
        self._tell(Begun())
        while not self._stopped:
            if isinstance(source, Polled):
                self._look(source)
            elif not self._follow(source):
                source = self._fall_back(source)
            if source.gone:
                self._hand_over()
                raise SteadError("not_found", "the directory of the workspace is gone; nothing is watched any more")

    # --- inotify -----------------------------------------------------------------------------------------------------

    def _begin(self) -> Tree | Polled:
        if not self._reason:
            if sys.platform != "linux":
                self._reason = "this system has no inotify"
            elif kind := mounts.deaf(os.path.realpath(self._root.path)):
                self._reason = f"the file system ({kind}) does not tell of all changes"
            else:
                tree = self._tree()
                if tree is not None:
                    return tree
        return self._polled()

    def _tree(self) -> Tree | None:
        """None when the system cannot watch so much."""
        tree: Tree | None = None
        try:
            tree = Tree(self._root, self._pending, ignored=self._ignored)
            tree.begin()
        except OSError as error:
            if tree is not None:
                tree.close()
            self._reason = self._why_not(error)
            return None
        return tree

    def _why_not(self, error: OSError) -> str:
        reason = cannot(error)
        if not reason:
            raise SteadError("unavailable", f"the workspace cannot be watched: {error}") from error
        return reason

    def _follow(self, tree: Tree) -> bool:
        """What happens until something can be told, which is told; False when there is too much to watch."""
        try:
            until: float | None = None
            while not self._stopped and tree.there():
                wait = tree.settle()
                if self._pending and until is None:
                    until = time.monotonic() + DEBOUNCE
                if until is not None:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    wait = min(wait, left) if wait else left
                self._wait(tree.descriptor, wait or CHECK_SECONDS)
                token = self._token
                tree.read()
                if token != self._synced:
                    self._sync(tree, token)
                    until = None
        except OSError as error:
            self._reason = self._why_not(error)
            return False
        self._hand_over()
        return True

    def _sync(self, tree: Tree, token: int) -> None:
        """All that the kernel has to say by now."""
        tree.catch_up()
        tree.settle(now=True)
        self._hand_over()
        self._answer(token)

    def _answer(self, token: int) -> None:
        self._synced = token
        self._tell(Synced(token))

    def _fall_back(self, tree: Tree) -> Polled:
        """From now on by looking; what happened meanwhile may be missed."""
        tree.close()
        polled = self._source = self._polled()
        self._pending.overflow()
        self._hand_over()
        return polled

    def _wait(self, other: int | None, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if other is not None:
            poll.register(other, select.POLLIN)
        for descriptor, event in poll.poll(None if seconds is None else max(1.0, seconds * 1000)):
            if descriptor == self._wake and event & select.POLLIN:
                os.read(self._wake, 4096)

    # --- polling -----------------------------------------------------------------------------------------------------

    def _polled(self) -> Polled:
        polled = Polled(self._root, self._pending, ignored=self._ignored)
        polled.begin()
        return polled

    def _look(self, polled: Polled) -> None:
        began, token = time.thread_time(), self._token
        polled.look()
        self._hand_over()
        if token != self._synced:
            self._answer(token)
        self._wait(None, max(POLL_SECONDS, (time.thread_time() - began) * POLL_SHARE))

    def _hand_over(self) -> None:
        if changes := self._pending.take():
            self._tell(changes)
