"""The directories of a workspace under inotify: what is known to be there, and what an event means. Those in which the kernel
shows its own state (`mounts.state`) are known and not looked into.

Contract: `Tree(root, pending, ignored)` watches everything when `begin` is done; `read` takes what the kernel has to say into
`pending`, `settle` decides about what was moved away and did not arrive. `gone` is true when the root is no more. All of it
happens in one thread. OSError of `begin` and `read` means that the system cannot watch (so much).

Names are bytes, as the kernel gives them; of files only the names are kept. A round lasts until the kernel has nothing more to
say: what was looked at in the same round in which it moves may have been something else of that name, and is looked at again.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from enum import Enum

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.ignoring.levels import NAMES, Level, entered
from stead.toolbox.watch import inotify, mounts
from stead.toolbox.watch.inotify import Event, Inotify
from stead.toolbox.watch.pending import Pending

ARRIVAL_SECONDS = 0.05
"""How long what was moved away may take to arrive."""
DEPTH = 512
"""Deeper directories are not watched."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IGNORE_FILES = frozenset(name.encode() for name in NAMES)
_MATTER = NAMES | {".git"}
_COMES_OR_GOES = inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO
_CLOSED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EINVAL, errno.ESRCH})
"""Of a directory that is gone, or cannot be looked into, as some of /proc are whose process has just ended."""
_FULL = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Telling(Enum):
    """What a scan tells: nothing; all that is new; what came or went, but not what other ignore files let in or leave out;
    or that too, because it is elsewhere."""

    NOTHING = 0
    ALL = 1
    WAS_IN = 2
    MOVED = 3


class Node:
    """One watched directory. `round`: in which it was looked at."""

    __slots__ = ("above", "depth", "directories", "files", "level", "name", "number", "parent", "round")

    def __init__(self, name: bytes, parent: Node | None, above: Level | None) -> None:
        self.name = name
        self.parent = parent
        self.above = above
        self.level = above
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.number = -1
        self.round = -1
        self.files: set[bytes] = set()
        self.directories: dict[bytes, Node] = {}

    @property
    def path(self) -> bytes:
        names = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            names.append(node.name)
            node = node.parent
        return b"/".join(reversed(names))

    def of(self, name: bytes) -> str:
        """The path of what is in it, as it is told."""
        path = self.path
        return (path + b"/" + name if path else name).decode(errors="replace")

    def all(self) -> Iterator[Node]:
        """Itself and what is below."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.directories.values())


class Moved:
    """What was moved away and has not arrived."""

    __slots__ = ("directory", "name", "node", "since")

    def __init__(self, node: Node, name: bytes, directory: bool) -> None:
        self.node = node
        self.name = name
        self.directory = directory
        self.since = time.monotonic()


class Tree:
    """All that is watched, and what is known of it."""

    def __init__(self, root: Root, pending: Pending, *, ignored: bool = False) -> None:
        self.gone = False
        self.missed = 0
        self._root = root
        self._base = os.path.abspath(root.path).rstrip("/")  # noqa: PTH100 (links stay)
        self._pending = pending
        self._ignored = ignored
        self._state = mounts.state(self._base or "/")
        self._queue = Inotify()
        self._numbers: dict[int, Node] = {}
        self._moved: dict[int, Moved] = {}
        self._stale: list[Node] = []
        self._round = 0
        self.top = Node(b"", None, None)

    @property
    def descriptor(self) -> int:
        return self._queue.descriptor

    @property
    def directories(self) -> int:
        return len(self._numbers)

    def begin(self) -> None:
        """Watches all there is."""
        self.top.above = None if self._ignored else Level.above(self._base or "/")
        self._scan(self.top, Telling.NOTHING)

    def close(self) -> None:
        self._queue.close()

    def there(self) -> bool:
        """Whether the root is still there; while it is held open, its removal is no event."""
        self.gone = self.gone or os.fstat(self._root.descriptor).st_nlink == 0
        return not self.gone

    # --- what happened -----------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Takes all that is there by now."""
        for _ in range(self._queue.pieces):
            self.read()

    def read(self) -> bool:
        """Takes what is there; False when nothing was."""
        any_event = False
        for event in self._queue.read():
            any_event = True
            if event.mask & inotify.Q_OVERFLOW:
                self._overflow()
                continue
            if self._stale and event.name not in _IGNORE_FILES:
                self._refresh()
            if (node := self._numbers.get(event.number)) is not None:
                self._take(node, event)
        self._refresh()
        self._round += not any_event
        return any_event

    def _refresh(self) -> None:
        """Where ignore files changed, all is judged anew."""
        stale, self._stale = self._stale, []
        for node in stale:
            if self._numbers.get(node.number) is node:
                self._scan(node, Telling.WAS_IN)

    def settle(self, *, now: bool = False) -> float:
        """What did not arrive in time (or `now`) is gone; seconds until the next may be."""
        late = time.monotonic() - ARRIVAL_SECONDS
        for cookie, moved in list(self._moved.items()):
            if now or moved.since <= late:
                self._give_up(cookie)
        return ARRIVAL_SECONDS if self._moved else 0.0

    def _take(self, node: Node, event: Event) -> None:
        mask, directory = event.mask, bool(event.mask & inotify.ISDIR)
        if mask & (inotify.CREATE | inotify.MOVED_TO):
            self._vacate(node, event.name, event.cookie)
        if not event.name:
            self._itself(node, event)
        elif mask & inotify.CREATE:
            self._created(node, event.name, directory)
        elif mask & inotify.DELETE:
            self._deleted(node, event.name, directory)
        elif mask & inotify.MOVED_FROM:
            self._moved[event.cookie] = Moved(node, event.name, directory)
        elif mask & inotify.MOVED_TO:
            self._arrived(node, event.name, directory, self._moved.pop(event.cookie, None))
        elif self._known(node, event.name, directory):
            self._pending.modified(node.of(event.name), directory=directory)
        if not self._ignored and (event.name in _IGNORE_FILES or (event.name == b".git" and mask & _COMES_OR_GOES)):
            self._stale = [*(each for each in self._stale if each is not node), node]

    def _vacate(self, node: Node, name: bytes, cookie: int) -> None:
        """What was moved away from where something else is now is not waited for."""
        for key, moved in list(self._moved.items()):
            if key != cookie and moved.node is node and moved.name == name:
                self._give_up(key)

    def _itself(self, node: Node, event: Event) -> None:
        if event.mask & inotify.IGNORED:
            self._numbers.pop(event.number, None)
        if node is self.top and event.mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.IGNORED):
            self.gone = True

    def _created(self, node: Node, name: bytes, directory: bool) -> None:
        if self._known(node, name, directory) or self._out(node, name, directory):
            return
        self._pending.created(node.of(name), directory=directory)
        if directory:
            self._enter(node, name)
        else:
            node.files.add(name)

    def _deleted(self, node: Node, name: bytes, directory: bool) -> None:
        if not self._known(node, name, directory):
            return
        if directory:
            self._forget(node.directories.pop(name))
        else:
            node.files.discard(name)
        self._pending.deleted(node.of(name), directory=directory)

    def _arrived(self, node: Node, name: bytes, directory: bool, moved: Moved | None) -> None:
        if moved is not None and not self._known(moved.node, moved.name, directory):
            moved = None
        if self._out(node, name, directory):
            if moved is not None:
                self._lost(moved)
            return
        over = name in node.files
        if moved is not None:
            self._pending.renamed(moved.node.of(moved.name), node.of(name), directory=directory, over=over)
            self._put(moved, node, name)
        elif over and not directory:
            self._pending.modified(node.of(name), directory=False)
        elif directory and name in node.directories:
            self._forget(node.directories.pop(name))
            self._enter(node, name)
        else:
            self._created(node, name, directory)

    def _put(self, moved: Moved, node: Node, name: bytes) -> None:
        """In its new place, with all that is below."""
        if not moved.directory:
            moved.node.files.discard(moved.name)
            node.files.add(name)
            return
        child = moved.node.directories.pop(moved.name)
        there = node.directories.get(name)
        if there is not None and child.number < 0:
            self._scan(there, Telling.MOVED)
            return
        if there is not None:
            self._forget(there)
            self._forget(child)
            self._lose()
            self._enter(node, name, Telling.NOTHING)
            return
        same = child.above is node.level and not (node.level is not None and node.level.of_places)
        child.name, child.parent, child.above, child.depth = name, node, node.level, node.depth + 1
        node.directories[name] = child
        if not same or any(each.round == self._round or each.level is not each.above for each in child.all()):
            self._scan(child, Telling.MOVED)

    def _give_up(self, cookie: int) -> None:
        """It is not waited for any more; with it may go what was moved out of it before."""
        moved = self._moved.pop(cookie, None)
        if moved is not None:
            self._lost(moved)

    def _lost(self, moved: Moved) -> None:
        """It went where nobody looks."""
        if not self._known(moved.node, moved.name, moved.directory):
            return
        path = moved.node.of(moved.name)
        if moved.directory:
            self._forget(moved.node.directories.pop(moved.name))
            self._pending.forget_below(path)
        else:
            moved.node.files.discard(moved.name)
        self._pending.deleted(path, directory=moved.directory)

    def _overflow(self) -> None:
        """The kernel dropped events: all is looked at anew."""
        self._moved.clear()
        self._lose()
        self._scan(self.top, Telling.NOTHING)

    def _lose(self) -> None:
        self.missed += 1
        self._pending.overflow()

    # --- what is there -----------------------------------------------------------------------------------------------

    def _known(self, node: Node, name: bytes, directory: bool) -> bool:
        return name in (node.directories if directory else node.files)

    def _out(self, node: Node, name: bytes, directory: bool) -> bool:
        """Whether it is left out."""
        return not self._ignored and _left_out(node.level, self._absolute(node), name, directory)

    def _absolute(self, node: Node) -> str:
        return f"{self._base}/{os.fsdecode(node.path)}".rstrip("/")

    def _enter(self, node: Node, name: bytes, telling: Telling | None = None) -> None:
        """A directory that is new here."""
        if node.depth < DEPTH:
            child = node.directories[name] = Node(name, node, node.level)
            self._scan(child, telling or Telling.ALL)

    def _scan(self, start: Node, telling: Telling) -> None:
        """Makes what is known of a directory and all below what is there, and watches it."""
        todo = [(start, telling)]
        while todo:
            node, how = todo.pop()
            if self._state and node.parent is not None and self._absolute(node) in self._state:
                continue
            if node.parent is not None:
                node.above = node.parent.level
            before = node.level
            entries = self._look(node)
            node.round = self._round
            if entries is not None:
                todo += self._compare(node, before, entries, how)

    def _compare(
        self, node: Node, before: Level | None, entries: list[tuple[bytes, bool]], how: Telling
    ) -> list[tuple[Node, Telling]]:
        """Takes what is in one directory; what has to be scanned next."""
        base = self._absolute(node)
        visible: tuple[set[bytes], set[bytes]] = (set(), set())
        todo: list[tuple[Node, Telling]] = []
        for name, directory in entries:
            if not self._ignored and _left_out(node.level, base, name, directory):
                continue
            visible[directory].add(name)
            if not self._known(node, name, directory):
                was_out = how is Telling.WAS_IN and _left_out(before, base, name, directory)
                todo += self._add(node, name, directory, Telling.NOTHING if was_out else how)
            elif directory and how is not Telling.ALL:
                todo.append((node.directories[name], how))
        self._drop(node, visible, {name for name, _ in entries}, how)
        return todo

    def _add(self, node: Node, name: bytes, directory: bool, how: Telling) -> list[tuple[Node, Telling]]:
        """Something new; a directory has to be scanned."""
        if directory and node.depth >= DEPTH:
            return []
        if how is not Telling.NOTHING:
            self._pending.created(node.of(name), directory=directory)
        if not directory:
            node.files.add(name)
            return []
        child = node.directories[name] = Node(name, node, node.level)
        return [(child, Telling.NOTHING if how is Telling.NOTHING else Telling.ALL)]

    def _drop(self, node: Node, visible: tuple[set[bytes], set[bytes]], there: set[bytes], how: Telling) -> None:
        """What is known and is not there any more, or is left out now, is forgotten."""
        for name in node.files - visible[False]:
            node.files.discard(name)
            if how is Telling.MOVED or (how is Telling.WAS_IN and name not in there):
                self._pending.deleted(node.of(name), directory=False)
        for name in node.directories.keys() - visible[True]:
            self._forget(node.directories.pop(name))
            if how is Telling.MOVED or (how is Telling.WAS_IN and name not in there):
                self._pending.forget_below(node.of(name))
                self._pending.deleted(node.of(name), directory=True)

    def _look(self, node: Node) -> list[tuple[bytes, bool]] | None:
        """Watches first, then reads, so that nothing comes in between; None when it is gone or closed to us."""
        try:
            descriptor = self._root.open(os.fsdecode(node.path) or ".", _OPEN)
        except SteadError as error:
            if error.code == "too_many":
                raise OSError(errno.EMFILE, error.message) from error
            return None
        try:
            self._number(node, self._queue.add(descriptor))
            with os.scandir(descriptor) as found:
                entries = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in found]
            node.level = self._level(node, descriptor, entries)
            return entries
        except OSError as error:
            if error.errno in _CLOSED:
                return None
            raise
        finally:
            os.close(descriptor)

    def _level(self, node: Node, descriptor: int, entries: list[tuple[bytes, bool]]) -> Level | None:
        names = {name.decode(errors="replace") for name, _ in entries if name.startswith(b".")}
        if self._ignored or names.isdisjoint(_MATTER):
            return node.above
        return entered(node.above, self._absolute(node), descriptor, names)

    def _number(self, node: Node, number: int) -> None:
        if node.number not in {-1, number} and self._numbers.get(node.number) is node:
            del self._numbers[node.number]
        node.number = number
        self._numbers[number] = node

    def _forget(self, node: Node) -> None:
        """It is not watched any more, nor what is below; what was moved away from there is not waited for."""
        nodes = list(node.all())
        for cookie, moved in list(self._moved.items()):
            if moved.node in nodes:
                self._give_up(cookie)
        for each in nodes:
            if self._numbers.get(each.number) is each:
                del self._numbers[each.number]
                self._queue.remove(each.number)


def _left_out(level: Level | None, base: str, name: bytes, directory: bool) -> bool:
    """Whether something in the directory `base` is left out."""
    if name == b".git":
        return True
    return level is not None and level.ignores(f"{base}/{os.fsdecode(name)}", directory=directory)


def cannot(error: OSError) -> str:
    """Why the system cannot watch; empty when that is not what the error says."""
    if error.errno == errno.ENOSPC:
        return "fs.inotify.max_user_watches is used up"
    if error.errno in _FULL:
        return "fs.inotify.max_user_instances is used up"
    return "" if error.errno else str(error)
