"""Git: what a repository is told as, and what is done in it."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import NotTriedError, check, expect, refused, sh
from stead.toolbox.contract import Toolbox
from stead.toolbox.git.contract import Change, Person

NOT_FOUND = 127
"""How a shell ends that does not find a program."""


async def _repository(toolbox: Toolbox, place: str, line: str = "") -> None:
    """One with a commit that has the files `a`, `b` and `c`; then the line is run in it."""
    made = await sh(
        toolbox,
        "git init -q -b main . && git config user.name Somebody && git config user.email somebody@example.org"
        " && echo one > a && echo two > b && printf 'three\nfour\nfive\n' > c && git add . && git commit -qm first"
        f" && {line or 'true'}",
        cwd=place,
    )
    if made.status.exit_code == NOT_FOUND:
        raise NotTriedError("git is not installed in the workspace")
    expect(made.status.ok, f"git failed: {made.stderr.decode()}")


@check
async def git_status(toolbox: Toolbox, place: str) -> None:
    """Created, updated, deleted, renamed and untracked files, staged or not, with odd names."""
    await refused("no_repository", toolbox.git.status(place))
    await _repository(toolbox, place, "echo more >> a && git rm -q b && git mv c 'd \u00e4' && echo n > n && git add n")
    await toolbox.write(f"{place}/sub/new\nline", b"x", parents=True)
    status = await toolbox.git.status(f"{place}/sub")
    expect(status.root == place and status.branch == "main" and len(status.commit) == 40, f"said {status}")
    found = {entry.path: entry for entry in status.entries}
    expect(set(found) == {"a", "b", "d \u00e4", "n", "sub/new\nline"}, f"entries {found}")
    expect(found["a"].unstaged is Change.UPDATED and found["a"].staged is None, f"{found['a']}")
    expect(found["b"].staged is Change.DELETED and found["n"].staged is Change.CREATED, f"{found['b']} {found['n']}")
    moved = found["d \u00e4"]
    expect(moved.staged is Change.RENAMED and moved.previous == "c", f"{moved}")
    expect(found["sub/new\nline"].untracked, f"{found['sub/new' + chr(10) + 'line']}")
    cut = await toolbox.git.status(place, limit=2)
    expect(len(cut.entries) == 2 and cut.truncated and not status.truncated, "not cut at the limit")
    await refused("path_outside", toolbox.git.status(".."))


@check
async def git_commits_and_log(toolbox: Toolbox, place: str) -> None:
    """Any message is kept, nothing to commit is told, the log tells who and what."""
    await _repository(toolbox, place)
    await refused("nothing_to_commit", toolbox.git.commit("x", place))
    await toolbox.write(f"{place}/new", b"x\n")
    author, friend = (
        Person(name="An Author", email="author@example.org"),
        Person(name="A Friend", email="f@example.org"),
    )
    message = 'say "it"\n\n# it\'s no comment; $(nothing) `runs`\n'
    made = await toolbox.git.commit(message, place, author=author, co_authors=[friend], all=True)
    expect(made.branch == "main" and made.files == 1, f"said {made}")
    log = (await toolbox.git.log(place)).commits
    expect(log[0].commit == made.commit and len(log) == 2, f"the log has {log}")
    expect(log[0].author.name == "An Author" and log[0].committer.name == "Somebody", f"{log[0]}")
    expect(
        log[0].message == f"{message}\nCo-authored-by: A Friend <f@example.org>\n", f"the message is {log[0].message!r}"
    )
    expect((await toolbox.git.messages(place, limit=1)).messages == [log[0].message], "another newest message")
    await refused("ref_unknown", toolbox.git.log(place, revision="nothing"))


@check
async def git_branches_and_checkout(toolbox: Toolbox, place: str) -> None:
    """A branch checked out is the present branch; local changes are not overwritten."""
    await _repository(
        toolbox, place, "git switch -qc other && echo other > a && git commit -qam other && git switch -q main"
    )
    made = await toolbox.git.create_branch("work", place, base="other", checkout=True)
    expect((await toolbox.git.head(place)).branch == "work" and made.current, f"made {made}")
    await refused("already_exists", toolbox.git.create_branch("work", place))
    await refused("invalid", toolbox.git.create_branch("--force", place))
    await toolbox.write(f"{place}/a", b"mine\n")
    await refused("conflict", toolbox.git.checkout(place, branch="main"))
    at = await toolbox.git.checkout(place, branch="main", force=True)
    expect(at.branch == "main" and (await toolbox.read(f"{place}/a")).content == b"one\n", f"at {at}")
    detached = await toolbox.git.checkout(place, commit=made.commit)
    expect(detached.branch == "" and detached.commit == made.commit, f"at {detached}")
    await refused("ref_unknown", toolbox.git.checkout(place, branch="nothing"))
    await toolbox.git.delete_branch("work", place, force=True)
    names = {branch.name for branch in (await toolbox.git.branches(place)).branches}
    expect(names == {"main", "other"}, f"branches {names}")


@check
async def git_diffs_and_changes(toolbox: Toolbox, place: str) -> None:
    """Patches of the working tree, the index and against a base; files with their lines."""
    await _repository(toolbox, place, "git switch -qc work && echo x >> a && git add a && echo y >> a && git rm -q b")
    expect(b"+y\n" in (await toolbox.git.diff(place)).patch, "the working tree's change is missing")
    staged = (await toolbox.git.diff(place, staged=True, paths=["a"])).patch
    expect(b"+x\n" in staged and b"+y\n" not in staged and b"two" not in staged, f"staged: {staged!r}")
    against = await toolbox.git.diff(place, base="main")
    expect(b"+x\n+y\n" in against.patch and not against.truncated, f"against main: {against}")
    expect((await toolbox.git.diff(place, limit=10)).truncated, "a cut patch is not told")
    await toolbox.write(f"{place}/new", b"1\n2\n3\n")
    changes = await toolbox.git.file_changes(place, base="main")
    found = [(file.path, file.operation, file.additions, file.deletions) for file in changes.files]
    wanted = [("a", Change.UPDATED, 2, 0), ("b", Change.DELETED, 0, 1), ("new", Change.CREATED, 3, 0)]
    expect(found == wanted and (changes.additions, changes.deletions, changes.total) == (5, 1, 3), f"changes {changes}")


@check
async def git_clone_push_and_pull(toolbox: Toolbox, place: str) -> None:
    """Over a bare repository: what one clone pushes the other pulls, and one that is behind is told so."""
    await toolbox.mkdir(f"{place}/first")
    await _repository(toolbox, f"{place}/first", "git clone -q --bare . ../bare.git")
    author = Person(name="An Author", email="author@example.org")
    for name in ("one", "two"):
        await toolbox.git.clone(f"{place}/bare.git", f"{place}/{name}")
        await toolbox.write(f"{place}/{name}/new", name.encode())
        await toolbox.git.commit(name, f"{place}/{name}", author=author, all=True)
    pushed = await toolbox.git.push(f"{place}/one")
    expect(pushed.changed and pushed.branch == "main", f"pushed {pushed}")
    await refused("push_rejected", toolbox.git.push(f"{place}/two"))
    await refused("conflict", toolbox.git.pull(f"{place}/two"))
    await toolbox.git.checkout(f"{place}/two", branch="main", force=True)
    await toolbox.git.create_branch("aside", f"{place}/two", base="origin/main~1", checkout=True)
    before = (await toolbox.git.head(f"{place}/two")).commit
    pulled = await toolbox.git.pull(f"{place}/two", branch="main")
    told = (pulled.commit, pulled.branch, pulled.before, pulled.root)
    expect(told == (pushed.commit, "aside", before, f"{place}/two"), f"pulled {pulled}")
    await refused("not_empty", toolbox.git.clone(f"{place}/bare.git", f"{place}/one"))
    await refused("invalid", toolbox.git.clone("ext::sh -c true", f"{place}/three"))
    await refused("path_outside", toolbox.git.clone("../somewhere.git", f"{place}/three"))


@check
async def git_far_and_near(toolbox: Toolbox, place: str) -> None:
    """A clone of one branch and one commit; who commits here; what a fetch brings and what a push overwrites when asked."""
    await toolbox.mkdir(f"{place}/first")
    line = "git commit -qm second --allow-empty && git branch side && git clone -q --bare . ../bare.git"
    await _repository(toolbox, f"{place}/first", line)
    cloned = await toolbox.git.clone(f"{place}/bare.git", f"{place}/one", branch="side", depth=1)
    expect(cloned.branch == "side", f"cloned {cloned}")
    expect(len((await toolbox.git.log(f"{place}/one")).commits) == 1, "more than one commit came")
    await toolbox.git.clone(f"{place}/bare.git", f"{place}/two")
    expect(len((await toolbox.git.log(f"{place}/two", limit=1, skip=1)).commits) == 1, "commits are not passed over")
    for name in ("one", "two"):
        told = await toolbox.git.config(f"{place}/{name}", name=f"Ann {name}", email="ann@example.org")
        expect((told.name, told.email) == (f"Ann {name}", "ann@example.org"), f"said {told}")
    await toolbox.git.create_branch("new", f"{place}/one", checkout=True)
    made = await toolbox.git.commit("third", f"{place}/one", allow_empty=True)
    expect((await toolbox.git.log(f"{place}/one", limit=1)).commits[0].author.name == "Ann one", "another author")
    expect((await toolbox.git.push(f"{place}/one", branch="new")).commit == made.commit, "another commit was pushed")
    expect(not (await toolbox.git.push(f"{place}/one", branch="new")).changed, "it was pushed twice")
    mine = await toolbox.git.commit("mine", f"{place}/two", allow_empty=True)
    fetched = await toolbox.git.fetch(f"{place}/two")
    expect(fetched.changed == ["origin/new"], f"fetched {fetched}")
    remote = {
        branch.name: branch.commit for branch in (await toolbox.git.branches(f"{place}/two", remote=True)).branches
    }
    expect(remote.get("origin/new") == made.commit, f"branches of the remote: {remote}")
    status = await toolbox.git.status(f"{place}/two")
    against = (status.upstream, status.ahead, status.behind, status.commit)
    expect(against == ("origin/main", 1, 0, mine.commit), f"against the remote: {status}")
    own = [
        (branch.name, branch.commit, branch.current) for branch in (await toolbox.git.branches(f"{place}/two")).branches
    ]
    expect(own == [("main", mine.commit, True)], f"own branches: {own}")
    log = await toolbox.git.log(f"{place}/two", limit=1)
    expect(log.truncated and len(log.commits[0].parents) == 1, f"the newest is {log}")
    news = (await toolbox.git.messages(f"{place}/two", base="origin/main")).messages
    expect([message.strip() for message in news] == ["mine"], f"since the remote's: {news}")


@check
async def git_worktrees(toolbox: Toolbox, place: str) -> None:
    """A second working tree of the same repository, made and removed."""
    await toolbox.mkdir(f"{place}/first")
    await _repository(toolbox, f"{place}/first")
    added = await toolbox.git.add_worktree(f"{place}/second", "work", f"{place}/first", create=True)
    expect(added.path == f"{place}/second" and added.branch == "work" and not added.main, f"added {added}")
    expect((await toolbox.git.head(f"{place}/second")).branch == "work", "another branch there")
    trees = [(tree.path, tree.main) for tree in (await toolbox.git.worktrees(f"{place}/second")).worktrees]
    expect(trees == [(f"{place}/first", True), (f"{place}/second", False)], f"there are {trees}")
    left = await toolbox.git.remove_worktree(f"{place}/second", f"{place}/first")
    expect([tree.path for tree in left.worktrees] == [f"{place}/first"], f"left {left}")
