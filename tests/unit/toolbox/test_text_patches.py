"""Diffs: what git writes is applied as git applies it; what does not fit or is no diff is refused with its place."""

import random
import subprocess
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.text import patches
from stead.toolbox.text.contract import Change

WORDS = ["alpha", "beta", "gamma", "", "  indented", "delta\t", "}", "end"]


def _git(place: Path, *words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def _text(rng: random.Random, lines: int) -> str:
    text = "\n".join(rng.choice(WORDS) + str(rng.randrange(4)) for _ in range(lines))
    return text + rng.choice(["", "\n"]) if text else ""


def _changed(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(lines) + 1)
        lines[at : at + rng.randrange(3)] = [rng.choice(WORDS) for _ in range(rng.randrange(3))]
    return "\n".join(lines)


@pytest.mark.needs_engine("git")
@pytest.mark.parametrize("context", [0, 1, 3])
def test_what_git_writes_gives_the_other_file(tmp_path: Path, context: int) -> None:
    rng = random.Random(context)
    for _ in range(25):
        old = _text(rng, rng.randrange(30))
        new = _changed(rng, old)
        (tmp_path / "a").write_text(old)
        (tmp_path / "b").write_text(new)
        diff = _git(tmp_path, "diff", "--no-index", f"-U{context}", "a", "b").decode()
        if not diff:
            continue
        (part,) = patches.parse(diff)
        text, offsets = patches.apply(old, part)
        assert text == new
        assert set(offsets) <= {0}


def test_what_moved_is_found_and_told() -> None:
    (part,) = patches.parse("--- a/f\n+++ b/f\n@@ -2,3 +2,3 @@\n one\n-two\n+2\n three\n")
    text, offsets = patches.apply("\n" * 40 + "zero\none\ntwo\nthree\n", part)
    assert text.endswith("zero\none\n2\nthree\n")
    assert offsets == [40]
    near = "one\ntwo\nthree\n"
    text, offsets = patches.apply(near + "\n" * 9 + near, part)
    assert text == "one\n2\nthree\n" + "\n" * 9 + near, "the nearest place"


@pytest.mark.parametrize("old", ["one\ntwo\nfour\n", "", "two\none\nthree\n", "one\ntwo"])
def test_what_does_not_fit_names_the_hunk(old: str) -> None:
    diff = "--- a/f\n+++ b/f\n@@ -0,0 +1 @@\n+top\n@@ -1,3 +2,3 @@\n one\n-two\n+2\n three\n"
    (part,) = patches.parse(diff)
    with pytest.raises(SteadError) as found:
        patches.apply(old, part)
    assert found.value.code == "patch_rejected"
    assert found.value.details["hunk"] == 2
    assert found.value.details["expected"] == ["one", "two", "three"]


def test_windows_line_ends_are_kept_whatever_the_diff_has() -> None:
    diff = "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n-b\n+B\n+c\n"
    for written in (diff, diff.replace("\n", "\r\n")):
        (part,) = patches.parse(written)
        assert patches.apply("a\r\nb\r\n", part)[0] == "a\r\nB\r\nc\r\n"
    (part,) = patches.parse("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+a\r\n")
    assert patches.apply("a\n", part)[0] == "a\r\n", "a diff may change the ends"


def test_the_end_of_the_last_line() -> None:
    gets = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"
    loses = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
    plain = "--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n+b\n+c\n"
    assert patches.apply("a", patches.parse(gets)[0])[0] == "a\n"
    assert patches.apply("a\n", patches.parse(loses)[0])[0] == "a"
    assert patches.apply("a", patches.parse(plain)[0])[0] == "b\nc", "nobody said that it changes"


@pytest.mark.needs_engine("git")
def test_names_as_git_quotes_them(tmp_path: Path) -> None:
    for name in ("with space", "caf\u00e9", 'quo"te', "tab\there", "back\\slash"):
        (tmp_path / name).write_text("x\n")
        diff = _git(tmp_path, "diff", "--no-index", "/dev/null", name).decode()
        (part,) = patches.parse(diff)
        assert part.target == name
        assert part.change is Change.CREATED


def test_renames_copies_modes_and_empty_files() -> None:
    diff = (
        "diff --git a/x/one b/y/two\nsimilarity index 90%\nrename from x/one\nrename to y/two\n"
        "diff --git a/c b/d\ncopy from c\ncopy to d\n"
        "diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"
        "diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
        "diff --git a/gone b/gone\ndeleted file mode 100644\nindex e69de29..0000000\n"
    )
    parts = patches.parse("From: somebody\n\n---\n one | 2 +-\n\n" + diff + "-- \n2.39.5\n")
    assert [(part.change.value, part.source, part.target, part.mode) for part in parts] == [
        ("renamed", "x/one", "y/two", None),
        ("copied", "c", "d", None),
        ("modified", "run", "run", 0o755),
        ("created", "empty", "empty", 0o644),
        ("deleted", "gone", "gone", None),
    ]
    spaced = patches.parse("diff --git a/old name b/new name\nrename from old name\nrename to new name\n")
    assert (spaced[0].source, spaced[0].target) == ("old name", "new name")
    deep = patches.parse("diff --git a/p/x b/p/y\nrename from p/x\nrename to p/y\n", 2)
    assert (deep[0].source, deep[0].target) == ("x", "y")


@pytest.mark.parametrize(
    "diff",
    [
        "",
        "words",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n",
        "--- a/f\n+++ b/f\n@@ -1,5 +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n*b\n",
        "--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n+b",
        "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
        "diff --git a/l b/l\nnew mode 99\n",
        "diff --git one two three\nold mode 100644\nnew mode 100755\n",
        "--- a/f\n+++ b/f\n@@ -" + "9" * 5000 + " +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n+c\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n c\n+d\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n\n+d\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- c\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n@@ def f():\n-c\n+d\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n@@ -x,1 +1 @@\n-c\n+d\n",
    ],
)
def test_what_is_no_diff(diff: str) -> None:
    with pytest.raises(SteadError) as found:
        patches.parse(diff)
    assert found.value.code == "invalid"


@pytest.mark.parametrize(
    "end",
    [
        "",
        "\n",
        "-- \n2.39.5\n",
        "--\n2.39.5\n",
        "\ncommit 1234\n",
        "\n\n",
        "\n  text\n",
        "   \n",
        "diff -ru x y\n",
        "Only in x: z\n",
    ],
)
def test_what_may_follow_a_hunk(end: str) -> None:
    first = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    for diff in (first + end, first + end + "--- a/g\n+++ b/g\n@@ -1 +1 @@\n--- c\n+++ d\n"):
        assert len(patches.parse(diff)) == diff.count("b/")


def test_what_must_not_be_applied() -> None:
    for diff, code in (
        ("diff --git a/x b/x\nGIT binary patch\nliteral 1\nIc$@\n", "not_text"),
        ("diff --git a/x b/x\nBinary files a/x and b/x differ\n", "not_text"),
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "path_outside"),
    ):
        with pytest.raises(SteadError) as found:
            patches.parse(diff)
        assert found.value.code == code


def test_random_bytes_are_refused_or_parsed() -> None:
    rng = random.Random(3)
    pieces = [
        "diff --git ",
        "--- a/f\n",
        "+++ b/f\n",
        "@@ -1,2 +1 @@\n",
        "-a\n",
        "+b\n",
        " c\n",
        "\\ No\n",
        "rename from x\n",
    ]
    for _ in range(500):
        diff = "".join(rng.choice(pieces) for _ in range(rng.randrange(12)))
        try:
            for part in patches.parse(diff):
                patches.apply("a\nc\n", part)
        except SteadError as error:
            assert error.code in {"invalid", "patch_rejected", "path_outside", "too_large"}
