"""Git in a workspace: what is read and what is changed, over real repositories."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.git import names
from stead.toolbox.git.contract import Change, Person
from support.areas import Here
from support.deadline import eventually_async
from support.fakes import Fakes

pytestmark = pytest.mark.anyio

SOMEBODY = Person(name="Some Body", email="some@example.org")


def sh(root: Path, line: str) -> str:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _NAMED.items()},
    }
    done = subprocess.run(["sh", "-ec", line], cwd=root, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


_NAMED = {"NAME": "First", "EMAIL": "first@example.org"}
FILES = (
    "git init -q -b main r && cd r && echo one > a && printf '1\n2\n3\n4\n5\n' > b && git add . && git commit -qm first"
)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "w").mkdir()
    sh(tmp_path / "w", FILES)
    return Here(tmp_path / "w")


async def refused(code: str, work: object) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await work  # type: ignore[misc]
    assert caught.value.code == code, caught.value.message
    return caught.value


# --- looking ---------------------------------------------------------------------------------------------------------


async def test_status_tells_conflicts_upstream_and_a_detached_head(here: Here) -> None:
    line = """cd r; git clone -q . ../c; cd ../c; echo x > a; git commit -qam mine; cd ../r; echo y > a
    git commit -qam theirs; cd ../c; git fetch -q; git merge -q origin/main || true"""
    sh(here.root, line)
    status = await here.git.status("c")
    assert (status.upstream, status.ahead, status.behind) == ("origin/main", 1, 1)
    assert [(entry.path, entry.conflicted) for entry in status.entries] == [("a", True)]
    sh(here.root, "cd c; git reset -q --hard; git checkout -q --detach")
    status = await here.git.status("c")
    assert (status.branch, status.upstream, status.clean) == ("", "", True)


async def test_a_configuration_changes_no_answer(here: Here) -> None:
    settings = """status.aheadBehind=false status.showUntrackedFiles=no status.renames=false color.ui=always core.quotePath=true
    diff.noprefix=true diff.mnemonicPrefix=true diff.submodule=diff diff.renames=false log.decorate=full format.pretty=oneline
    log.date=relative status.relativePaths=true core.pager=false status.short=true branch.sort=-refname
    status.showStash=true log.follow=true"""
    line = "cd r; git clone -q . ../c; cd ../c; git mv b e; git commit -qm moved; echo 7 >> e; git stash -q; git mv a d"
    sh(here.root, f"{line}; echo x > new; echo 6 >> e")

    async def answers() -> list[object]:
        git = here.git
        told = [await git.status("c"), await git.diff("c"), await git.file_changes("c"), await git.log("c")]
        return [*told, await git.log("c", path="e")]

    before = await answers()
    sh(here.root, "cd c; " + "; ".join(f"git config {' '.join(word.split('='))}" for word in settings.split()))
    assert await answers() == before


async def test_a_submodule_is_told_by_its_commit_and_not_entered(here: Here) -> None:
    line = """git -c protocol.file.allow=always -C r submodule -q add "$PWD/r" sub; cd r; git commit -qm sub
    git -C sub commit -q --allow-empty -m more; echo dirty > sub/a; git -C sub config core.fsmonitor "touch $HOME/ran #"
    git config diff.submodule diff; printf '[diff \"t\"]\n\ttextconv = touch %s/ran #\n' "$HOME" >> .git/modules/sub/config"""
    sh(here.root, line)
    assert [(entry.path, entry.unstaged) for entry in (await here.git.status("r")).entries] == [("sub", Change.UPDATED)]
    assert b"+Subproject commit" in (await here.git.diff("r")).patch
    assert (await here.git.file_changes("r")).total == 1
    assert not (here.root / "ran").exists()


async def test_a_diff_of_a_conflict_has_both_sides_and_the_other_files_too(here: Here) -> None:
    line = """cd r; git switch -qc other; echo theirs > a; git commit -qam theirs; git switch -q main; echo mine > a
    git commit -qam mine; git merge -q other >&2 || true; echo 6 >> b"""
    sh(here.root, line)
    patch = (await here.git.diff("r")).patch
    assert patch.startswith(b"diff --cc a\n")
    assert b"++<<<<<<< HEAD" in patch
    assert patch.count(b"diff --git a/b b/b\n") == 1
    assert b"+6\n" in patch
    assert (await here.git.diff("r", paths=["a"], limit=20)).truncated


async def test_a_repository_without_a_commit(here: Here) -> None:
    sh(here.root, "git init -q -b trunk e; echo x > e/f")
    status = await here.git.status("e")
    assert (status.branch, status.commit, status.entries[0].untracked) == ("trunk", "", True)
    assert (await here.git.log("e")).commits == []
    assert (await here.git.messages("e")).messages == []
    assert (await here.git.branches("e")).branches == []
    changes = await here.git.file_changes("e")
    assert [(change.path, change.operation, change.additions) for change in changes.files] == [("f", Change.CREATED, 1)]
    assert (await here.git.diff("e")).patch == b""


async def test_a_bare_repository_has_no_working_tree(here: Here) -> None:
    sh(here.root, "git init -q --bare bare.git")
    await refused("no_repository", here.git.status("bare.git"))


async def test_diffs_of_every_pair(here: Here) -> None:
    sh(
        here.root,
        "cd r; git switch -qc work; echo two > a; git commit -qam second; echo three > a; git add a; echo 4 > a",
    )
    first = sh(here.root, "cd r; git rev-parse main")
    assert b"-three\n+4\n" in (await here.git.diff("r")).patch
    assert b"-two\n+three\n" in (await here.git.diff("r", staged=True)).patch
    whole = await here.git.diff("r", base="main")
    assert b"-one\n+4\n" in whole.patch
    assert whole.base == first
    assert b"-one\n+three\n" in (await here.git.diff("r", base="main", staged=True)).patch
    assert b"-one\n+two\n" in (await here.git.diff("r", base="main", committed=True)).patch
    assert (await here.git.diff("r", paths=["b"])).patch == b""
    cut = await here.git.diff("r", limit=20)
    assert (len(cut.patch), cut.truncated) == (20, True)


async def test_a_diff_against_a_base_leaves_out_what_the_base_has_got_since(here: Here) -> None:
    line = (
        "cd r; git switch -qc work; echo w > w; git add w; git commit -qm w; git switch -q main; echo m > m; git add m"
    )
    sh(here.root, f"{line}; git commit -qm m; git switch -q work")
    patch = (await here.git.diff("r", base="main")).patch
    assert b"+w\n" in patch
    assert b"b/m" not in patch
    assert [change.path for change in (await here.git.file_changes("r", base="main")).files] == ["w"]
    assert (await here.git.messages("r", base="main")).messages == ["w\n"]


async def test_a_patch_can_be_applied_also_with_binary_content(here: Here) -> None:
    (here.root / "r/bin").write_bytes(bytes(range(256)))
    sh(here.root, "cd r; git add bin; git commit -qm bin")
    (here.root / "r/bin").write_bytes(bytes(reversed(range(256))))
    (here.root / "r/latin").write_bytes(b"caf\xe9\n")
    sh(here.root, "cd r; git add latin")
    patch = await here.git.diff("r", base="HEAD")
    (here.root / "p").write_bytes(patch.patch)
    sh(here.root, "cd r; git reset -q --hard; git apply ../p")
    assert (here.root / "r/bin").read_bytes() == bytes(reversed(range(256)))
    assert (here.root / "r/latin").read_bytes() == b"caf\xe9\n"


async def test_changes_count_lines_and_tell_operations(here: Here) -> None:
    line = """cd r; printf 'l\n%.0s' 1 2 3 4 5 6 7 8 > old; git add .; git commit -qm more; git mv old new; echo x >> new
    git rm -q a; echo 6 >> b; printf 'no end' > fresh; printf 'a\\0b' > bin; ln -s / link; echo ig > .gitignore; echo i > ig"""
    sh(here.root, line)
    changes = await here.git.file_changes("r")
    found = {c.path: (c.operation.value, c.additions, c.deletions, c.binary, c.previous) for c in changes.files}
    assert found == {
        ".gitignore": ("created", 1, 0, False, ""),
        "a": ("deleted", 0, 1, False, ""),
        "b": ("updated", 1, 0, False, ""),
        "bin": ("created", 0, 0, True, ""),
        "fresh": ("created", 1, 0, False, ""),
        "link": ("created", 0, 0, False, ""),
        "new": ("renamed", 1, 0, False, "old"),
    }
    assert (changes.additions, changes.deletions, changes.total, changes.truncated) == (4, 1, 7, False)
    cut = await here.git.file_changes("r", limit=2)
    assert (len(cut.files), cut.total, cut.truncated) == (2, 7, True)


async def test_the_log_has_whole_messages_and_can_be_narrowed(here: Here) -> None:
    message = "second\n\n# no comment\nwith \"quotes\" and '\u00fcml\u00e4ut'\n"
    await here.git.commit(message, "r", author=SOMEBODY, allow_empty=True)
    sh(here.root, "cd r; echo 2 >> b; git commit -qam third")
    log = await here.git.log("r")
    assert [commit.message for commit in log.commits] == ["third\n", message, "first\n"]
    assert log.commits[1].author.name == "Some Body"
    assert log.commits[1].parents == [log.commits[2].commit]
    assert log.commits[2].author.time > 1e9
    assert len((await here.git.log("r", path="b")).commits) == 2
    assert [c.message for c in (await here.git.log("r", revision="HEAD~2..HEAD~1")).commits] == [message]
    cut = await here.git.log("r", limit=1, skip=1)
    assert ([c.message for c in cut.commits], cut.truncated) == ([message], True)
    await refused("ref_unknown", here.git.log("r", revision="nothing"))
    await refused("invalid", here.git.log("r", revision="--output=/tmp/x"))


async def test_commits_that_no_git_makes_are_told(here: Here) -> None:
    """Without a time, or with one that has no end."""
    for seconds in ("", f" {'9' * 400} +0000"):
        commit = f"tree $(git write-tree)\nauthor X <x>{seconds}\ncommitter Y <y>{seconds}\n\nodd\n"
        line = (
            f'cd r; printf "{commit}" > ../made; git update-ref refs/heads/odd $(git hash-object --literally -wt commit'
        )
        sh(here.root, f"{line} ../made)")
        [odd] = (await here.git.log("r", revision="odd")).commits
        assert (odd.message, odd.author.name) == ("odd\n", "X")
        assert odd.author.time == (1e18 if seconds else 0)
        assert {branch.name for branch in (await here.git.branches("r")).branches} == {"main", "odd"}


async def test_answers_fit_one_message(here: Here) -> None:
    subject = "\u4e2d" * 990
    commit = sh(here.root, f"cd r; git commit -q --allow-empty -m {subject}; git rev-parse HEAD")
    (here.root / "r/.git/packed-refs").write_text("".join(f"{commit} refs/heads/b{number}\n" for number in range(900)))
    found = await here.git.branches("r")
    assert found.truncated
    assert CALL_BYTES - 4000 < len(msgspec.json.encode(found)) < CALL_BYTES + 100
    name = "\u4e2d" * 80
    (here.root / "r" / name / name).mkdir(parents=True)
    for number in range(1500):
        (here.root / "r" / name / name / f"{number}{name}").touch()
    status, changes = await here.git.status("r"), await here.git.file_changes("r")
    assert status.truncated
    assert changes.truncated
    assert changes.total == 1500
    assert max(len(msgspec.json.encode(each)) for each in (status, changes)) < CALL_BYTES + 1000


async def test_more_paths_than_a_program_takes_are_too_large(here: Here) -> None:
    await refused("too_large", here.git.diff("r", paths=[f"{number:0200}" for number in range(40_000)]))


async def test_names_that_would_be_options_or_magic_are_names(here: Here) -> None:
    for name in ("-rf", "--cached", ":(top)a", "*"):
        (here.root / "r" / name).write_text("x\n")
        await here.git.commit(f"add {name}", "r", author=SOMEBODY, paths=[name])
        assert len((await here.git.log("r", path=name)).commits) == 1
    for bad in ("-x", "--upload-pack=touch y", "a..b", "a b", "HEAD", "a/", ".a", "a.lock", "a~1", "@{-1}", ""):
        await refused("invalid", here.git.create_branch(bad, "r"))
    for bad in ("/etc/passwd", "../x", "a\0b"):
        await refused("path_invalid", here.git.diff("r", paths=[bad]))


# --- changing --------------------------------------------------------------------------------------------------------


async def test_who_commits_is_set_for_the_repository(here: Here) -> None:
    assert (await here.git.config("r", name="Ann O'Neil", email="ann@example.org")).name == "Ann O'Neil"
    assert (await here.git.config("r")).email == "ann@example.org"
    sh(here.root, "cd r; echo x > x; git add x")
    await here.git.commit("x", "r")
    assert (await here.git.log("r")).commits[0].author.email == "ann@example.org"
    await refused("invalid", here.git.config("r", name="a\nb"))
    await refused("invalid", here.git.config("r", email="<x>"))
    await refused("invalid", here.git.config("r", name=""))


async def test_without_anybody_configured_the_author_is_needed(here: Here) -> None:
    sh(here.root, "cd r; git config user.useConfigOnly true; echo x > x; git add x")
    error = await refused("invalid", here.git.commit("x", "r"))
    assert error.details["field"] == "author"
    made = await here.git.commit("x", "r", author=SOMEBODY)
    found = (await here.git.log("r")).commits[0]
    assert (found.commit, found.author.name, found.committer.name, made.files) == (
        made.commit,
        "Some Body",
        "Some Body",
        1,
    )


async def test_nothing_to_commit_is_told(here: Here) -> None:
    await refused("nothing_to_commit", here.git.commit("x", "r", author=SOMEBODY))
    sh(here.root, "cd r; echo x > new; echo y > a")
    await refused("nothing_to_commit", here.git.commit("x", "r", author=SOMEBODY))
    await refused("nothing_to_commit", here.git.commit("x", "r", author=SOMEBODY, paths=["b"]))
    assert (await here.git.commit("x", "r", author=SOMEBODY, all=True)).files == 2


async def test_only_the_paths_named_are_committed(here: Here) -> None:
    sh(here.root, "cd r; echo x > new; echo y > a; echo z > b; git add b")
    made = await here.git.commit("some", "r", author=SOMEBODY, paths=["new", "a"])
    assert (made.files, made.branch) == (2, "main")
    status = await here.git.status("r")
    assert [(entry.path, entry.staged) for entry in status.entries] == [("b", Change.UPDATED)]
    await refused("not_found", here.git.commit("x", "r", author=SOMEBODY, paths=["no such file"]))


async def test_paths_that_are_gone_are_committed_however_they_went(here: Here) -> None:
    sh(
        here.root,
        "cd r; mkdir d; echo x > d/e; git add d; git commit -qm d; git rm -q a; git rm -qr d; rm b; echo x > new",
    )
    made = await here.git.commit("gone", "r", author=SOMEBODY, paths=["a", "b", "d", "new"])
    assert (made.files, (await here.git.status("r")).clean) == (4, True)
    await refused("not_found", here.git.commit("x", "r", author=SOMEBODY, paths=["a"]))


async def test_commits_at_once_are_made_one_after_the_other_each_with_its_message(here: Here) -> None:
    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(partial(here.git.commit, f"{number}\n", "r", author=SOMEBODY, allow_empty=True))
    messages = (await here.git.messages("r", limit=10)).messages
    assert sorted(messages) == [*(f"{number}\n" for number in range(6)), "first\n"]


async def test_what_another_git_has_locked_is_a_conflict(here: Here) -> None:
    sh(here.root, "cd r; touch .git/index.lock .git/config.lock .git/refs/heads/new.lock; echo x > a")
    await refused("conflict", here.git.commit("x", "r", author=SOMEBODY, all=True))
    await refused("conflict", here.git.config("r", name="Ann"))
    await refused("conflict", here.git.create_branch("new", "r"))


async def test_a_commit_that_is_given_up_leaves_no_lock(here: Here) -> None:
    line = "cd r; echo x > a; printf '#!/bin/sh\ntouch $HOME/ran; sleep 1000\n' > .git/hooks/pre-commit"
    sh(here.root, f"{line}; chmod +x .git/hooks/pre-commit")
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: here.git.commit("x", "r", author=SOMEBODY, paths=["a"]))
        await eventually_async((here.root / "ran").exists, "the hook runs")
        group.cancel_scope.cancel()
    assert list((here.root / "r/.git").glob("*.lock")) == []
    (here.root / "r/.git/hooks/pre-commit").unlink()
    assert (await here.git.commit("x", "r", author=SOMEBODY, paths=["a"])).files == 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("subject", "subject\n\nCo-authored-by: Some Body <some@example.org>\n"),
        ("subject\n\nbody\n", "subject\n\nbody\n\nCo-authored-by: Some Body <some@example.org>\n"),
        ("fix: subject", "fix: subject\n\nCo-authored-by: Some Body <some@example.org>\n"),
        ("s\n\nIssue: 3", "s\n\nIssue: 3\nCo-authored-by: Some Body <some@example.org>\n"),
    ],
)
async def test_co_authors_are_trailers(here: Here, message: str, expected: str) -> None:
    await here.git.commit(message, "r", author=SOMEBODY, co_authors=[SOMEBODY], allow_empty=True)
    assert (await here.git.log("r")).commits[0].message == expected


@pytest.mark.parametrize("message", ["# only\n#lines", "$(touch x) `id` \"'", "\n\n lead\n\n\n", "--amend", "\u4e2d\n"])
async def test_any_message_is_kept(here: Here, message: str) -> None:
    await here.git.commit(message, "r", author=SOMEBODY, allow_empty=True)
    raw = sh(here.root, "cd r; git cat-file commit HEAD; printf .")
    assert raw.partition("\n\n")[2] == message + "."


async def test_a_message_is_kept_where_others_write_in_another_encoding(here: Here) -> None:
    sh(here.root, "cd r; git config i18n.commitEncoding ISO-8859-1")
    await here.git.commit("\u00fcml\u4e2d\n", "r", author=SOMEBODY, allow_empty=True)
    assert (await here.git.log("r")).commits[0].message == "\u00fcml\u4e2d\n"


async def test_empty_messages_are_refused(here: Here) -> None:
    await refused("invalid", here.git.commit(" \n", "r", author=SOMEBODY))
    await refused("invalid", here.git.commit("a\0b", "r", author=SOMEBODY))
    await refused("invalid", here.git.commit("a\ud800", "r", author=SOMEBODY))
    await refused("invalid", here.git.commit("a", "r", author=Person(name="x\ny", email="z")))


async def test_a_hook_that_refuses_is_heard(here: Here) -> None:
    hook = here.root / "r/.git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho lint says no\nexit 1\n")
    hook.chmod(0o755)
    sh(here.root, "cd r; echo x > a")
    error = await refused("program_failed", here.git.commit("x", "r", author=SOMEBODY, all=True))
    assert "lint says no" in error.message


async def test_branches_are_made_listed_and_removed(here: Here) -> None:
    first = sh(here.root, "cd r; git rev-parse HEAD")
    made = await here.git.create_branch("feature/one", "r", base="main")
    assert (made.commit, made.current, made.subject) == (first, False, "first")
    await refused("already_exists", here.git.create_branch("feature/one", "r"))
    await refused("ref_unknown", here.git.create_branch("two", "r", base="nothing"))
    assert (await here.git.create_branch("two", "r", checkout=True)).current
    sh(here.root, "cd r; git -c user.name=x -c user.email=y commit -q --allow-empty -m two")
    listed = await here.git.branches("r")
    assert {branch.name: branch.current for branch in listed.branches} == {
        "main": False,
        "feature/one": False,
        "two": True,
    }
    assert (await here.git.branches("r", limit=1)).truncated
    await refused("conflict", here.git.delete_branch("two", "r"))
    await here.git.checkout("r", branch="main")
    await refused("conflict", here.git.delete_branch("two", "r"))
    assert (await here.git.delete_branch("two", "r", force=True)).name == "two"
    await refused("ref_unknown", here.git.delete_branch("two", "r"))


async def test_a_branch_checked_out_is_no_detached_head(here: Here) -> None:
    first = sh(here.root, "cd r; git tag v1; git tag v2; git branch v1; git branch other; git rev-parse HEAD")
    assert (await here.git.checkout("r", branch="other")).branch == "other"
    assert (await here.git.checkout("r", branch="v1")).branch == "v1"
    for nothing in ("nothing", "v2"):
        await refused("ref_unknown", here.git.checkout("r", branch=nothing))
    at = await here.git.checkout("r", commit=first[:10])
    assert (at.branch, at.commit) == ("", first)
    await refused("ref_unknown", here.git.checkout("r", commit="f" * 40))
    await refused("invalid", here.git.checkout("r"))
    await refused("invalid", here.git.checkout("r", branch="main", commit=first))


SLOW = """git init -q -b main r && cd r && echo '*.slow filter=slow' > .gitattributes && echo 1 > a && echo 1 > b.slow
echo 1 > gone && git config filter.slow.clean cat && git config filter.slow.smudge cat && git add . && git commit -qm first
git switch -qc other && echo 2 > a && echo 2 > b.slow && mkdir d && echo 2 > d/new && git rm -q gone && git add .
git commit -qm second && git switch -q main && git config filter.slow.smudge "$PWD/../filter" && echo mine > notes
printf '#!/bin/sh\nif mkdir $HOME/ran 2> /dev/null; then sleep 1000; fi; cat\n' > ../filter && chmod +x ../filter"""
"""A branch on the way to which a filter does not end, the first time."""


@pytest.mark.parametrize("how", ["branch", "commit", "new", "pull"])
async def test_a_move_that_is_given_up_is_taken_back_and_can_be_made_again(tmp_path: Path, how: str) -> None:
    (tmp_path / "w").mkdir()
    sh(tmp_path / "w", SLOW)
    here = Here(tmp_path / "w")
    sh(here.root, "cd r; git remote add origin ../r; git fetch -q")
    moves: dict[str, Callable[[], Coroutine[object, object, object]]] = {
        "branch": lambda: here.git.checkout("r", branch="other"),
        "commit": lambda: here.git.checkout("r", commit="other"),
        "new": lambda: here.git.create_branch("new", "r", base="other", checkout=True),
        "pull": lambda: here.git.pull("r", branch="other"),
    }
    shows = "cd r; git status --porcelain=v2 --branch; git branch -a; cat a b.slow gone notes; ls -A; find .git -name '*.lock'"
    before = sh(here.root, f"rm -f r/.git/FETCH_HEAD; {shows}")
    async with anyio.create_task_group() as group:
        group.start_soon(moves[how])
        await eventually_async((here.root / "ran").exists, "the filter runs")
        group.cancel_scope.cancel()
    assert sh(here.root, f"rm -f r/.git/FETCH_HEAD; {shows}") == before
    await moves[how]()
    assert sh(here.root, "cd r; git rev-parse HEAD; cat d/new b.slow") == sh(
        here.root, "cd r; git rev-parse other; echo 2; echo 2"
    )


async def test_a_move_whose_hook_does_not_end_is_made(here: Here) -> None:
    hook = here.root / "r/.git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch $HOME/ran; sleep 1000\n")
    hook.chmod(0o755)
    sh(here.root, "cd r; git branch other; git commit -q --allow-empty -m second; echo 2 > a; git commit -qam third")
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: here.git.checkout("r", branch="other"))
        await eventually_async((here.root / "ran").exists, "the hook runs")
        group.cancel_scope.cancel()
    status = await here.git.status("r")
    assert (status.branch, status.clean, (here.root / "r/a").read_text()) == ("other", True, "one\n")


async def test_local_changes_are_not_overwritten_unless_asked(here: Here) -> None:
    sh(here.root, "cd r; git switch -qc other; echo x > a; git commit -qam other; git switch -q main; echo mine > a")
    await refused("conflict", here.git.checkout("r", branch="other"))
    assert (here.root / "r/a").read_text() == "mine\n"
    assert (await here.git.checkout("r", branch="other", force=True)).branch == "other"
    assert (here.root / "r/a").read_text() == "x\n"


async def test_worktrees(here: Here) -> None:
    added = await here.git.add_worktree("trees/new one", "feature", "r", create=True, base="main")
    assert (added.path, added.branch, added.main) == ("trees/new one", "feature", False)
    assert (await here.git.head("trees/new one")).branch == "feature"
    assert [tree.path for tree in (await here.git.worktrees("trees/new one")).worktrees] == ["r", "trees/new one"]
    await refused("conflict", here.git.add_worktree("other", "feature", "r"))
    assert not (here.root / "other").exists()
    await refused("already_exists", here.git.add_worktree("r", "feature", "r"))
    await refused("path_outside", here.git.add_worktree("../out", "x", "r", create=True))
    await refused("not_found", here.git.remove_worktree("trees", "r"))
    (here.root / "way").symlink_to("trees")
    assert (await here.git.add_worktree("way/two", "two", "r", create=True)).path == "trees/two"
    await here.git.remove_worktree("way/two", "r")
    (here.root / "trees/new one/a").write_text("changed")
    await refused("conflict", here.git.remove_worktree("trees/new one", "r"))
    left = await here.git.remove_worktree("trees/new one", "r", force=True)
    assert [tree.path for tree in left.worktrees] == ["r"]


async def test_a_worktree_whose_directory_is_gone_can_be_removed(here: Here) -> None:
    await here.git.add_worktree("trees/gone", "gone", "r", create=True)
    sh(here.root, "rm -rf trees")
    [_, tree] = (await here.git.worktrees("r")).worktrees
    assert (tree.path, tree.prunable) == ("trees/gone", True)
    await refused("not_found", here.git.remove_worktree("trees/other", "r"))
    assert [tree.path for tree in (await here.git.remove_worktree("trees/gone", "r")).worktrees] == ["r"]
    assert (await here.git.add_worktree("trees/gone", "gone", "r")).path == "trees/gone"


async def test_a_worktree_that_is_given_up_leaves_nothing(here: Here) -> None:
    hook = here.root / "r/.git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch $HOME/ran; sleep 1000\n")
    hook.chmod(0o755)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: here.git.add_worktree("tree", "new", "r", create=True))
        await eventually_async((here.root / "ran").exists, "the hook runs")
        group.cancel_scope.cancel()
    assert [tree.path for tree in (await here.git.worktrees("r")).worktrees] == ["r"]
    hook.unlink()
    assert (await here.git.add_worktree("tree", "new", "r", create=True)).path == "tree"


async def test_a_git_that_knows_less_tells_the_same_worktrees(here: Here, tmp_path: Path) -> None:
    fakes = Fakes(tmp_path / "bin")
    fakes.add("git", does=f'case "$*" in *"--porcelain -z") exit 129;; esac; exec {shutil.which("git")} "$@"')
    sh(here.root, "cd r; git worktree add -q ../two -b two; git worktree lock ../two")
    old = Here(here.root, PATH=f"{fakes.path}:{os.environ['PATH']}")
    assert await old.git.worktrees("r") == await here.git.worktrees("r")


async def test_a_repository_whose_name_has_a_line_break_is_refused(here: Here) -> None:
    (here.root / "a\n").mkdir()
    (here.root / "r").rename(here.root / "a\n/r")
    await refused("path_invalid", here.git.status("a\n/r"))


def test_names_of_branches_are_those_that_git_takes() -> None:
    """What is taken here, git takes; what it takes and is refused here is its own shorthand."""
    rng = random.Random(5)
    for _ in range(200):
        name = "".join(rng.choice("ab/.-@{~^:?*[\\ \x7f\u00e4") for _ in range(rng.randrange(1, 7)))
        done = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, check=False)
        try:
            names.branch(name)
        except SteadError:
            assert done.returncode or name.startswith("@"), name
        else:
            assert done.returncode == 0, name
