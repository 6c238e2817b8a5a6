"""What `.gitignore` files mean is what git says."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.toolbox.ignoring.patterns import Patterns
from stead.toolbox.trees.scope import Chosen, Scope

PIECES = [
    *[
        "a",
        "b",
        "c",
        "ab",
        "*",
        "**",
        "?",
        "/",
        "/",
        "[ab]",
        "[!a]",
        "[a-c]",
        "[^",
        "[",
        "]",
        "\\",
        "\\*",
        "!",
        "#",
        " ",
    ],
    *["-", ".", "[[:alpha:]]", "[[:nope:]]", "[]a]", "[a\\]b]", "[b-]", "[\\", "\u00e4", "*.c", "**/", "/**", "{a,b}"],
]
PATHS = sorted(
    {
        f"{top}{middle}{name}"
        for top in ("", "a/", "b/", "ab/", ".a/")
        for middle in ("", "a/", "b/c/", "c/")
        for name in ("a", "b", "c", "ab", "abc", "a.c", " a", "a ", "#a", "!a", "[", "]", "-", "\\", "\u00e4", "*")
    }
    - {"a"}
)
"""`a` is a directory there."""
LINES = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), min_size=1, max_size=4)


class Repository:
    """A repository whose ignore files change, and what git says of the paths."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {"HOME": str(place), "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "init", "-q", str(place)], check=True, env=self.environment)

    def ignored(self, files: dict[str, bytes], paths: list[str]) -> set[str]:
        for name, content in files.items():
            (self.place / name).parent.mkdir(parents=True, exist_ok=True)
            (self.place / name).write_bytes(content)
        done = subprocess.run(
            ["git", "check-ignore", "-z", "--no-index", "--stdin"],
            input=b"\0".join(path.encode() for path in paths),
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        return {path.decode() for path in done.stdout.split(b"\0") if path}


def _ours(files: dict[str, bytes], paths: list[str]) -> set[str]:
    """As the walk asks: from the top down, nothing inside of what is ignored."""
    bases = {name.encode().removesuffix(b".gitignore"): content for name, content in files.items()}
    known = {base: Patterns.of(content, base) for base, content in bases.items()}

    def scope(directory: bytes) -> Scope:
        found = Scope()
        for base in sorted(known, key=len):
            if directory.startswith(base):
                found = found.inside(known[base])
        return found

    def ignored(path: bytes) -> bool:
        names = path.split(b"/")
        for end in range(1, len(names) + 1):
            part = b"/".join(names[:end])
            directory = part[: len(part) - len(names[end - 1])]
            if scope(directory).ignores(part, directory=end < len(names)):
                return True
        return False

    return {path for path in paths if ignored(path.encode())}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.mark.needs_engine("git")
@settings(max_examples=80, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(top=LINES, below=LINES)
def test_as_git_has_it(repository: Repository, top: list[str], below: list[str]) -> None:
    files = {".gitignore": "\n".join(top).encode(), "a/.gitignore": "\r\n".join(below).encode()}
    theirs = repository.ignored(files, PATHS)
    ours = _ours(files, PATHS)
    assert ours == theirs, f"{files}: only ours {sorted(ours - theirs)[:5]}, only git's {sorted(theirs - ours)[:5]}"


@pytest.mark.needs_engine("git")
@pytest.mark.parametrize(
    "lines",
    [
        "\ufeffa\n",
        "a\r\n!ab\r\n",
        "a\\ \nb  \n\\#a\n\\!a\n",
        "/a\n/b/\n",
        "a/**/c\n",
        "**/c\n**/a/\n",
        "b/**\n!b/a\n",
        "*\n!*/\n!*.c\n",
        "a**c\n*b*c\n**\n",
        "/*\n!/a\n/a/*\n!/a/b\n",
        "[[:space:]]a\n[]-]\n",
    ],
)
def test_lines_that_people_write(repository: Repository, lines: str) -> None:
    files = {".gitignore": lines.encode(), "a/.gitignore": b""}
    assert _ours(files, PATHS) == repository.ignored(files, PATHS)


def test_a_hostile_pattern_takes_no_time() -> None:
    name = b"a" * 250 + b"b"
    assert not Patterns.of(b"*a" * 60 + b"*c").judge(name, directory=False)
    assert Patterns.of(b"*a" * 60 + b"*b").judge(name, directory=False)


def test_chosen() -> None:
    assert Chosen([]).fits(b"x", directory=False)
    globs = Chosen(["*.py", "docs/**", "#x", "!y"])
    rng = random.Random(1)
    fit = {b"a.py", b"src/a.py", b"docs/a", b"docs/a/b", b"#x", b"!y"}
    for path in sorted(fit | {b"a.pyc", b"doc/a", b"x", b"y", b"src/docs/a"}, key=lambda _: rng.random()):
        assert globs.fits(path, directory=False) == (path in fit), path
