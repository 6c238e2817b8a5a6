"""What several changes become together; and that what is told, step by step, always leads to what is there."""

import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stead.toolbox.confine import Root
from stead.toolbox.watch.contract import Change, ChangeKind
from stead.toolbox.watch.pending import MOST, Pending
from stead.toolbox.watch.polling import Polled
from stead.toolbox.watch.tree import Tree
from support.churn import act, there

CREATED, MODIFIED, DELETED, RENAMED = ChangeKind.CREATED, ChangeKind.MODIFIED, ChangeKind.DELETED, ChangeKind.RENAMED
Steps = Callable[[Pending], object]


def made(path: str) -> Steps:
    return lambda pending: pending.created(path, directory=False)


def changed(path: str) -> Steps:
    return lambda pending: pending.modified(path, directory=False)


def gone(path: str) -> Steps:
    return lambda pending: pending.deleted(path, directory=False)


def moved(previous: str, path: str, *, over: bool = False) -> Steps:
    return lambda pending: pending.renamed(previous, path, directory=False, over=over)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([made("a"), changed("a"), changed("a")], [(CREATED, "a", "")]),
        ([made("a"), changed("a"), gone("a")], []),
        ([changed("a"), changed("a")], [(MODIFIED, "a", "")]),
        ([changed("a"), gone("a")], [(DELETED, "a", "")]),
        ([gone("a"), made("a")], [(MODIFIED, "a", "")]),
        ([gone("a"), made("a"), gone("a")], [(DELETED, "a", "")]),
        ([moved("a", "b")], [(RENAMED, "b", "a")]),
        ([moved("a", "b"), moved("b", "c")], [(RENAMED, "b", "a"), (RENAMED, "c", "b")]),
        ([moved("a", "b"), gone("b")], [(RENAMED, "b", "a"), (DELETED, "b", "")]),
        ([changed("a"), moved("a", "b"), made("a")], [(MODIFIED, "a", ""), (RENAMED, "b", "a"), (CREATED, "a", "")]),
        ([made("a"), gone("b"), moved("a", "b")], [(MODIFIED, "b", "")]),
        ([moved("a", "b"), changed("b")], [(RENAMED, "b", "a"), (MODIFIED, "b", "")]),
        ([made("a"), moved("a", "b")], [(CREATED, "b", "")]),
        ([made("a"), moved("a", "b", over=True)], [(MODIFIED, "b", "")]),
        ([changed("a"), moved("a", "b")], [(MODIFIED, "a", ""), (RENAMED, "b", "a")]),
        ([moved("a", "b"), made("a")], [(RENAMED, "b", "a"), (CREATED, "a", "")]),
    ],
)
def test_together(steps: list[Steps], told: list[tuple[ChangeKind, str, str]]) -> None:
    pending = Pending()
    for step in steps:
        step(pending)
    assert [(change.kind, change.path, change.previous) for change in pending.take()] == told
    assert not pending


def test_a_new_directory_that_is_renamed_takes_along_what_is_in_it() -> None:
    pending = Pending()
    pending.created("a", directory=True)
    pending.created("a/b", directory=False)
    pending.renamed("a", "c", directory=True, over=False)
    pending.modified("c/b", directory=False)
    assert [(change.kind, change.path) for change in pending.take()] == [(CREATED, "c"), (CREATED, "c/b")]


def test_what_happened_in_a_directory_that_left_is_told_where_something_came_out_of_it() -> None:
    for out in (False, True):
        pending = Pending()
        pending.created("a/b/c", directory=False)
        if out:
            pending.renamed("a/b", "d", directory=True, over=False)
        pending.forget_below("a")
        pending.deleted("a", directory=True)
        told = [(CREATED, "a/b/c"), (RENAMED, "d"), (DELETED, "a")] if out else [(DELETED, "a")]
        assert [(change.kind, change.path) for change in pending.take()] == told


def test_too_many_are_an_overflow() -> None:
    pending = Pending()
    for number in range(MOST + 10):
        pending.created(f"{number}", directory=False)
    assert [change.kind for change in pending.take()] == [ChangeKind.OVERFLOW]


class Model:
    """A reader that believes what it is told."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.paths: dict[str, bool] = {}
        self.overflows = 0

    def take(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind is ChangeKind.OVERFLOW:
                self.overflows += 1
                self.paths = there(self._root)
            elif change.kind is CREATED:
                self.paths[change.path] = change.directory
            elif change.kind is DELETED:
                self._drop(change.path)
            elif change.kind is RENAMED:
                self._move(change.previous, change.path)

    def _drop(self, path: str) -> None:
        self.paths = {
            each: kind for each, kind in self.paths.items() if each != path and not each.startswith(f"{path}/")
        }

    def _move(self, previous: str, path: str) -> None:
        inside = {
            each: kind for each, kind in self.paths.items() if each == previous or each.startswith(f"{previous}/")
        }
        self._drop(previous)
        self._drop(path)
        self.paths |= {path + each[len(previous) :]: kind for each, kind in inside.items()}


SEEDS = {"inotify": [0, 1, 2, 3, 62, 155, 156, 189, 201, 309, 311], "polling": [0, 1, 195]}
"""The later ones are of what went wrong once."""


@pytest.mark.parametrize(("way", "seed"), [(way, seed) for way, seeds in SEEDS.items() for seed in seeds])
def test_what_is_told_leads_to_what_is_there(way: str, seed: int) -> None:
    if way == "inotify" and sys.platform != "linux":
        pytest.skip("inotify is of Linux")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as name:
        base = Path(name, "root")
        base.mkdir()
        root, pending, model = Root(base), Pending(), Model(base)
        source = Tree(root, pending) if way == "inotify" else Polled(root, pending)
        source.begin()
        for _ in range(60):
            for _ in range(chance.randrange(1, 12)):
                act(base, chance)
                if isinstance(source, Tree) and chance.random() < 0.3:
                    source.read()
            if isinstance(source, Tree):
                while source.read():
                    pass
                source.settle(now=True)
            else:
                source.look()
            model.take(pending.take())
            assert model.paths == there(base)
        assert model.overflows < 20
        if isinstance(source, Tree):
            source.close()
        root.close()


RULES = ["/a/b", "b/", "/c", "a/c", "*/e/f/g", "/d/**", "!a", "g", "e/"]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
@pytest.mark.parametrize("seed", [1, 2, 30, 35, 53, 88, 96, 115])
def test_what_is_known_is_what_a_new_watch_finds_whatever_ignore_files_come_and_go(seed: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as name:
        base = Path(name, "root")
        base.mkdir()
        root = Root(base)
        tree = Tree(root, Pending())
        tree.begin()
        for _ in range(25):
            for _ in range(chance.randrange(1, 8)):
                act(base, chance)
                if chance.random() < 0.15:
                    _ignore(base, chance)
                if chance.random() < 0.3:
                    tree.read()
            tree.catch_up()
            tree.settle(now=True)
            new = Tree(root, Pending())
            new.begin()
            assert _known(tree) == _known(new)
            assert tree.directories == new.directories
            new.close()
        tree.close()
        root.close()


def _ignore(base: Path, chance: random.Random) -> None:
    """Somewhere an ignore file comes, changes or goes."""
    file = chance.choice([Path(directory) for directory, _, _ in os.walk(base)]) / ".gitignore"
    if chance.random() < 0.7:
        file.write_text("\n".join(chance.sample(RULES, chance.randrange(1, 4))))
    else:
        file.unlink(missing_ok=True)


def _known(tree: Tree) -> set[str]:
    nodes = list(tree.top.all())
    return {node.of(file) for node in nodes for file in node.files} | {node.of(b"") for node in nodes}
