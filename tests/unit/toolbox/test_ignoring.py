"""What ignore files leave out is what ripgrep leaves out."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.ignoring.expressions import Syntax
from stead.toolbox.ignoring.globs import GLOBS, Chosen
from stead.toolbox.ignoring.patterns import parse
from stead.toolbox.watch.pending import Pending
from stead.toolbox.watch.polling import Polled
from stead.toolbox.watch.tree import Tree

RIPGREP = Path(sys.executable).with_name("rg")
NAMES = ["a", "b.log", "c.py", ".d", "build", "a b", "[x]", "é"]
LINES = [
    *("a", "*.log", "/a", "build/", "!b.log", "a/b.log", "**/c.py", "build/**", "a/**/c.py", "[ab]*", "[!a]", "?", "*"),
    *(
        "!*.py",
        "#a",
        "",
        "  ",
        "\\#a",
        "\\!a",
        "a b",
        ".d",
        ".*",
        "!/a/",
        "*/b.log",
        "{a,c.py}",
        "a/",
        "/*",
        "!/build",
        "\\[x]",
    ),
    *(
        "*.{log,py}",
        "b.log ",
        "a\\ b",
        "[x",
        "a/*",
        "!a/c.py",
        "é",
        "**",
        "**/build",
        "build/*.log",
        "*é",
        "[[]x]",
        "[a-c]*",
    ),
]


@pytest.mark.skipif(not RIPGREP.exists(), reason="the ripgrep that comes with Stead is not installed")
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join), min_size=1, max_size=12),
    rules=st.dictionaries(
        st.sampled_from(
            [
                *(".gitignore", "a/.gitignore", "build/.gitignore", ".ignore", "a/.ignore", ".git/info/exclude"),
                *(".rgignore", "build/.rgignore"),
            ]
        ),
        st.lists(st.sampled_from(LINES), max_size=6),
        min_size=1,
        max_size=3,
    ),
    repository=st.sampled_from(["", "a", "build"]),
)
def test_both_ways_to_watch_see_what_ripgrep_sees(
    files: list[str], rules: dict[str, list[str]], repository: str
) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        _make(Path(name), files, rules, repository)
        argv = [str(RIPGREP), "--no-config", "--no-require-git", "--files", "--hidden", "--glob=!.git", "--null", "./"]
        listed = subprocess.run(argv, cwd=name, capture_output=True, check=False).stdout
        expected = {path.removeprefix(b"./").decode() for path in listed.split(b"\0") if path}
        root = Root(name)
        polled = Polled(root, Pending())
        polled.begin()
        assert {path for path, seen in polled._entries.items() if not seen.directory} == expected
        if Path("/proc/sys/fs/inotify").exists():
            tree = Tree(root, Pending())
            tree.begin()
            assert {node.of(file) for node in tree.top.all() for file in node.files} == expected
            tree.close()
        root.close()


def _make(place: Path, files: list[str], rules: dict[str, list[str]], repository: str) -> None:
    for path in [*rules, *files]:
        try:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).touch()
        except OSError:
            continue
    for path, lines in rules.items():
        if (place / path).is_file():
            (place / path).write_text("\n".join(lines))
    if (place / repository).is_dir():
        (place / repository / ".git").mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("*.py", "a/b.py", True),
        ("*.py", "a/b.pyc", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "lib/src/a.py", False),
        ("src/**", "src/a/b/c", True),
        ("**/tests/*", "a/tests/b", True),
        ("*.{ts,tsx}", "a.tsx", True),
        ("lib", "lib/a/b", True),
        ("lib/", "lib/a", True),
        ("lib/", "lib", False),
        ("[a-c].txt", "b.txt", True),
        ("[!a-c].txt", "b.txt", False),
        ("!x", "!x", True),
        ("#x", "#x", True),
        ("a?c", "a/c", False),
    ],
)
def test_globs(glob: str, path: str, fits: bool) -> None:
    assert Chosen([glob], "include").has(path) is fits


@pytest.mark.parametrize("glob", ["", "/", "[a", "{a", "a\0b", "a\nb", "[z-a]"])
def test_what_is_no_glob_is_refused(glob: str) -> None:
    with pytest.raises(SteadError) as found:
        Chosen([glob], "include")
    assert (found.value.code, found.value.details) == ("invalid", {"field": "include"})


def test_globs_are_bounded() -> None:
    for globs in (["a"] * (GLOBS + 1), ["a" * 20_000]):
        with pytest.raises(SteadError):
            Chosen(globs, "exclude")


def test_lines_that_mean_nothing() -> None:
    assert [parse(line, Syntax.RIPGREP) for line in (b"", b"   ", b"# a", b"!", b"/", b"[z-a]", b"a" * 5000)] == [
        None
    ] * 7
