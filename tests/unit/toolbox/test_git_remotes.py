"""Other repositories: over HTTP with a credential that leaves no trace, and over bare ones with hooks."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.git.contract import Credential, Person
from support.areas import Here
from support.deadline import eventually_async
from support.git_http import GitServer, bare

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-%41 \u00fc:@/"  # with what must be escaped in a URL
CREDENTIAL = Credential(username="somebody", password=SECRET)
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
SOMEBODY = Person(name="Some Body", email="some@example.org")


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "w").mkdir()
    return Here(tmp_path / "w")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    (tmp_path / "srv").mkdir()
    bare(tmp_path / "srv/a.git")
    with GitServer(tmp_path / "srv", "somebody", SECRET) as running:
        yield running


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


async def refused(code: str, work: object) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await work  # type: ignore[misc]
    assert caught.value.code == code, caught.value.message
    return caught.value


def traces(root: Path) -> list[Path]:
    """Files below that have any form of the secret."""
    forms = [SECRET.encode(), b"s3cr3t", CREDENTIAL.username.encode() + b":", b"c29tZWJvZH"]
    files = [path for path in root.rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


# --- credentials -----------------------------------------------------------------------------------------------------


async def test_clone_commit_push_fetch_and_pull_with_a_credential(here: Here, server: GitServer) -> None:
    (here.root / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    at = await here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL)
    await here.git.clone(server.url("a.git"), "two", credential=CREDENTIAL)
    assert (at.root, at.branch) == ("one", "main")
    (here.root / "one/f").write_text("x\n")
    made = await here.git.commit("second", "one", author=SOMEBODY, all=True)
    pushed = await here.git.push("one", credential=CREDENTIAL)
    assert (pushed.commit, pushed.changed) == (made.commit, True)
    assert not (await here.git.push("one", credential=CREDENTIAL)).changed
    assert git("-C", str(server.root / "a.git"), "rev-parse", "main") == made.commit
    assert (await here.git.fetch("two", credential=CREDENTIAL)).changed == ["origin/main"]
    pulled = await here.git.pull("two", credential=CREDENTIAL)
    assert (pulled.before, pulled.commit, pulled.branch) == (at.commit, made.commit, "main")
    assert (here.root / "two/f").read_text() == "x\n"
    assert traces(here.root) == []


async def test_without_it_or_with_another_nothing_is_cloned(here: Here, server: GitServer) -> None:
    await refused("auth_failed", here.git.clone(server.url("a.git"), "one"))
    wrong = Credential(username="somebody", password="wr0ng-word")
    error = await refused("auth_failed", here.git.clone(server.url("a.git"), "one", credential=wrong))
    assert "wr0ng" not in error.message
    assert not (here.root / "one").exists()
    assert "wr0ng" not in repr(wrong)


@LINUX
async def test_nobody_sees_it_while_it_is_used(here: Here, server: GitServer) -> None:
    """A slow server holds the clone up; meanwhile no argument, no variable and no file has the secret."""
    server.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL))
        await eventually_async(server.held.is_set, "the server has the request")
        found = _seen_by_others()
        left = traces(here.root)
        server.go_on.set()
    assert found["git"] >= 1
    assert found["secret"] == 0
    assert left == []
    assert (await here.git.head("one")).branch == "main"


def _seen_by_others() -> dict[str, int]:
    """How many processes of git there are, and how many processes show the secret."""
    found = {"git": 0, "secret": 0}
    for entry in Path("/proc").iterdir():
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except (OSError, NotADirectoryError):
            continue
        found["git"] += b"git\0" in seen[:200] and b"clone" in seen
        found["secret"] += SECRET.encode() in seen or b"s3cr3t" in seen
    return found


async def test_another_host_does_not_get_it(here: Here, server: GitServer, tmp_path: Path) -> None:
    """Neither by a redirect, nor by a configuration that sends the URL elsewhere."""
    elsewhere = server.url("", host="localhost").rstrip("/")
    with GitServer(tmp_path, redirect=elsewhere) as first:
        await refused("auth_failed", here.git.clone(first.url("a.git"), "one", credential=CREDENTIAL))
        (here.root / ".gitconfig").write_text(f'[url "{elsewhere}/"]\n\tinsteadOf = {first.url("")}\n')
        await refused("auth_failed", here.git.clone(first.url("a.git"), "one", credential=CREDENTIAL))
    assert server.seen
    assert not any(server.seen)


async def test_a_credential_is_for_http_and_not_part_of_the_url(here: Here, tmp_path: Path) -> None:
    bare(here.root / "b.git")
    await refused("invalid", here.git.clone("b.git", "one", credential=CREDENTIAL))
    await refused("invalid", here.git.clone("http://me:word@127.0.0.1:9/a.git", "one"))
    await refused("invalid", here.git.clone("http://me@127.0.0.1:9/a.git", "one"))
    for bad in ("", "a\nb", "a\0b", "x" * 10_000):
        credential = Credential(password=bad)
        await refused("invalid", here.git.clone("http://127.0.0.1:9/a.git", "one", credential=credential))


async def test_what_git_says_is_told_without_names_in_urls(here: Here) -> None:
    git("init", "-q", str(here.root / "r"))
    git("-C", str(here.root / "r"), "remote", "add", "origin", "http://me:w0rd@127.0.0.1:9/a.git")
    error = await refused("unavailable", here.git.fetch("r"))
    assert "w0rd" not in error.message
    assert "127.0.0.1:9" in error.message


async def test_traces_asked_for_by_the_environment_are_off(here: Here, server: GitServer, tmp_path: Path) -> None:
    traced = Here(here.root, GIT_TRACE_CURL=str(tmp_path / "trace"), GIT_TRACE="1", GIT_TRACE_REDACT="0")
    await traced.git.clone(server.url("a.git"), "one", credential=CREDENTIAL)
    assert not (tmp_path / "trace").exists()


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "-x",
        "--upload-pack=touch x",
        "ext::sh -c 'touch x'",
        "fd::17",
        "",
        "ftp://h/x",
        "http://",
        "http://h/a b",
        "http://h:x/",
    ],
)
async def test_what_is_no_address_is_refused(here: Here, url: str) -> None:
    await refused("invalid", here.git.clone(url, "one"))
    assert list(here.root.iterdir()) == []


async def test_a_configuration_cannot_bring_commands_in_as_an_address(here: Here) -> None:
    marker = here.root / "ran"
    (here.root / ".gitconfig").write_text(f'[url "ext::touch {marker} #"]\n\tinsteadOf = http://nowhere.invalid/\n')
    await refused("refused", here.git.clone("http://nowhere.invalid/x", "one"))
    assert not marker.exists()


async def test_paths_are_inside_the_workspace(here: Here, tmp_path: Path) -> None:
    bare(here.root / "b c.git")
    bare(tmp_path / "outside.git")
    assert (await here.git.clone("b c.git", "one", depth=1)).branch == "main"
    for url in (str(tmp_path / "outside.git"), "../outside.git", f"file://{tmp_path}/outside.git"):
        await refused("path_outside", here.git.clone(url, "two"))
    await refused("path_outside", here.git.clone("b c.git", "../three"))
    assert not (tmp_path / "three").exists()


async def test_the_target_is_new_or_empty_and_as_before_after_a_failure(here: Here) -> None:
    bare(here.root / "b.git")
    (here.root / "full").mkdir()
    (here.root / "full/f").touch()
    (here.root / "empty").mkdir()
    await refused("not_empty", here.git.clone("b.git", "full"))
    await refused("ref_unknown", here.git.clone("b.git", "empty", branch="nothing"))
    assert list((here.root / "empty").iterdir()) == []
    await refused("ref_unknown", here.git.clone("b.git", "deep/new", branch="nothing"))
    assert not (here.root / "deep/new").exists()
    await refused("not_found", here.git.clone("nowhere.git", "new"))
    await refused("no_repository", here.git.status("full"))
    assert (await here.git.clone("b.git", "empty", branch="main")).branch == "main"


@pytest.mark.parametrize("directory", ["one", "."])
async def test_a_clone_that_is_given_up_leaves_nothing(here: Here, server: GitServer, directory: str) -> None:
    server.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.git.clone(server.url("a.git"), directory, credential=CREDENTIAL))
        await eventually_async(server.held.is_set, "the server has the request")
        tasks.cancel_scope.cancel()
    assert list(here.root.iterdir()) == []


async def test_the_same_clone_twice_at_once_is_made_once(here: Here, server: GitServer) -> None:
    (here.root / "one").mkdir()
    server.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL))
        await eventually_async(server.held.is_set, "the server has the request")
        await refused("in_progress", here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL))
        server.go_on.set()
    assert (await here.git.head("one")).branch == "main"


async def test_nobody_there_is_unavailable_and_no_repository_there_not_found(here: Here, server: GitServer) -> None:
    await refused("unavailable", here.git.clone("http://127.0.0.1:9/a.git", "one"))
    await refused("not_found", here.git.clone(server.url("other.git"), "one", credential=CREDENTIAL))


# --- pushing and pulling ---------------------------------------------------------------------------------------------


@pytest.fixture
async def pair(here: Here) -> Here:
    """Two clones of one bare repository, each with a commit of its own."""
    bare(here.root / "b.git")
    for name in ("one", "two"):
        await here.git.clone("b.git", name)
        (here.root / name / "f").write_text(name)
        await here.git.commit(name, name, author=SOMEBODY, all=True)
    return here


async def test_a_push_that_is_behind_is_rejected_with_the_reason(pair: Here) -> None:
    await pair.git.push("one")
    error = await refused("push_rejected", pair.git.push("two"))
    assert "fetch first" in error.message
    await pair.git.fetch("two")
    error = await refused("push_rejected", pair.git.push("two"))
    assert "non-fast-forward" in error.message
    await refused("conflict", pair.git.pull("two"))
    assert (await pair.git.push("two", force=True)).changed


async def test_a_hook_of_the_remote_is_heard(pair: Here) -> None:
    hook = pair.root / "b.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no pushes on Sundays >&2\nexit 1\n")
    hook.chmod(0o755)
    error = await refused("push_rejected", pair.git.push("one"))
    assert "no pushes on Sundays" in error.message


async def test_a_hook_of_ones_own_is_heard(pair: Here) -> None:
    hook = pair.root / "one/.git/hooks/pre-push"
    hook.write_text("#!/bin/sh\necho tests fail >&2\nexit 1\n")
    hook.chmod(0o755)
    error = await refused("program_failed", pair.git.push("one"))
    assert "tests fail" in error.message


@LINUX
async def test_a_hook_finds_no_credential_left(here: Here, server: GitServer) -> None:
    await here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL)
    (here.root / "one/f").touch()
    await here.git.commit("f", "one", author=SOMEBODY, all=True)
    _thief(here.root / "one/.git/hooks/pre-push")
    await here.git.push("one", credential=CREDENTIAL)
    assert (here.root / "stolen").exists()
    assert traces(here.root) == []


@LINUX
async def test_a_server_that_wants_no_credential_does_not_leave_it_to_hooks(here: Here, tmp_path: Path) -> None:
    bare(tmp_path / "a.git")
    _thief(here.root / "template/hooks/post-checkout")
    (here.root / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {here.root}/template\n")
    with GitServer(tmp_path) as server:
        await here.git.clone(server.url("a.git"), "one", credential=CREDENTIAL)
    assert (here.root / "one/.git/hooks/post-checkout").exists()
    assert traces(here.root) == []


def _thief(hook: Path) -> None:
    """A hook that reads whatever descriptors it has."""
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text(
        "#!/bin/sh\ncd /proc/$$/fd || exit\n"
        'for each in *; do test "$each" -lt 3 || dd if="$each" iflag=nonblock bs=64k count=1; done >> $HOME/stolen\nexit 0\n'
    )
    hook.chmod(0o755)


async def test_branches_are_pushed_by_name_and_get_their_upstream(pair: Here) -> None:
    await pair.git.create_branch("work", "one", checkout=True)
    assert (await pair.git.push("one")).branch == "work"
    assert (await pair.git.status("one")).upstream == "origin/work"
    await refused("ref_unknown", pair.git.push("one", branch="nothing"))
    await pair.git.checkout("one", commit="HEAD")
    await refused("conflict", pair.git.push("one"))
    await refused("conflict", pair.git.pull("one"))
    await refused("ref_unknown", pair.git.pull("two", branch="nothing"))
    await refused("not_found", pair.git.push("two", remote="nobody"))
    await refused("invalid", pair.git.push("two", remote="--all"))
    await pair.git.fetch("two")
    assert (await pair.git.checkout("two", branch="work")).branch == "work"
    assert (await pair.git.status("two")).upstream == "origin/work"
    names = {branch.name for branch in (await pair.git.branches("two", remote=True)).branches if branch.remote}
    assert {"origin/main", "origin/work"} <= names


# --- hostile repositories --------------------------------------------------------------------------------------------


async def test_looking_starts_nothing_that_the_repository_names(here: Here) -> None:
    """With the right to write alone one could leave these behind for others' calls."""
    bare(here.root / "b.git")
    await here.git.clone("b.git", "r")
    repository = here.root / "r"
    marker = here.root / "ran"
    trap = here.root / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 $* >> {marker}\ncat\n")
    trap.chmod(0o755)
    (repository / "f").write_text("x\n")
    await here.git.commit("f", "r", author=SOMEBODY, all=True)
    names = ["core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "diff.external", "gpg.program"]
    names += ["filter.t.clean", "filter.t.smudge", "filter.t.process", "diff.t.textconv", "diff.t.command"]
    for name in (*names, "core.alternateRefsCommand", "core.gitProxy", "interactive.diffFilter"):
        git("-C", str(repository), "config", name, str(trap))
    git("-C", str(repository), "config", "log.showSignature", "true")
    git("-C", str(repository), "config", "filter.t.required", "true")
    (repository / ".gitattributes").write_text("* filter=t diff=t\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (repository / ".git/hooks" / hook).symlink_to(trap)
    (repository / "f").write_text("y\n")
    (repository / "new").write_text("z\n")
    assert len((await here.git.status("r")).entries) == 3
    assert b"+y" in (await here.git.diff("r")).patch
    assert (await here.git.file_changes("r")).total == 3
    await here.git.file_changes("r", base="HEAD~1")
    await here.git.log("r", path="f")
    await here.git.messages("r")
    await here.git.branches("r", remote=True)
    await here.git.worktrees("r")
    await here.git.head("r")
    assert not marker.exists()


@pytest.mark.parametrize("name", [b"\xe9", b"", b"A b", b"a.b", b"a=b"])
async def test_looking_runs_no_filter_whatever_its_name(here: Here, name: bytes) -> None:
    """A name with `=` cannot be switched off on a command line: then nothing is told."""
    repository = here.root / "r"
    git("init", "-q", str(repository))
    (repository / "f").write_text("x\n")
    git("-C", str(repository), "add", "f")
    with (repository / ".git/config").open("ab") as file:
        file.write(b'[filter "%s"]\nclean = touch %s\n' % (name, bytes(here.root / "ran")))
    (repository / ".gitattributes").write_bytes(b"f filter=%s\n" % name)
    (repository / "f").write_text("y\n")
    for look in (here.git.status("r"), here.git.diff("r"), here.git.file_changes("r")):
        if b"=" in name:
            await refused("refused", look)
        else:
            await look
    assert not (here.root / "ran").exists()


async def test_a_repository_that_points_outside_is_refused(here: Here, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    git("init", "-q", str(outside))
    (outside / "secret").write_text("x")
    inside = here.root / "r"
    git("init", "-q", str(inside))
    git("-C", str(inside), "config", "core.worktree", str(outside))
    await refused("path_outside", here.git.status("r"))
    (here.root / "file").mkdir()
    (here.root / "file/.git").write_text(f"gitdir: {outside}/.git\n")
    await refused("path_outside", here.git.status("file"))
    (here.root / "link").mkdir()
    (here.root / "link/.git").symlink_to(outside / ".git")
    await refused("path_outside", here.git.status("link"))


async def test_objects_that_are_borrowed_are_inside(here: Here, tmp_path: Path) -> None:
    """Who may write files, but run nothing, could else read other repositories of the machine."""
    git("init", "-q", str(here.root / "r"))
    for other, code in ((bare(tmp_path / "outside.git"), "path_outside"), (bare(here.root / "inside.git"), "")):
        (here.root / "r/.git/objects/info/alternates").write_text(f"# those of another\n{other}/objects\n../none\n")
        commit = git("-C", str(other), "rev-parse", "main")
        if code:
            await refused(code, here.git.log("r", revision=commit))
        else:
            assert [each.commit for each in (await here.git.log("r", revision=commit)).commits] == [commit]
        (here.root / "inside.git/objects/info").mkdir(parents=True, exist_ok=True)
    outside = f"{tmp_path}/outside.git/objects\n"
    (here.root / "inside.git/objects/info/alternates").write_text(outside)
    await refused("path_outside", here.git.log("r"))
    (here.root / "r/.git/objects/info/alternates").write_text(f'"{outside.strip()}"\n')
    await refused("refused", here.git.log("r"))


@pytest.mark.parametrize("name", [b"../secret", b"../../secret", b"/etc/passwd", b"a/../../../secret"])
async def test_an_index_that_names_files_outside_tells_nothing_of_them(here: Here, tmp_path: Path, name: bytes) -> None:
    """It is a file like others, which git believes; with the right to write alone one could make one up."""
    repository = here.root / "r"
    git("init", "-q", str(repository))
    (repository / "a").mkdir()
    for place in (tmp_path, here.root):
        (place / "secret").write_text("secret\n")
    (repository / "f").write_text("x\n")
    git("-C", str(repository), "add", "f")
    await here.git.commit("f", "r", author=SOMEBODY)
    (repository / "f").write_text("y\n")
    _rename_in_index(repository / ".git/index", b"f", name)
    for look in (here.git.status("r"), here.git.diff("r"), here.git.file_changes("r")):
        error = await refused("path_outside", look)
        assert "secret" not in error.message


def _rename_in_index(index: Path, old: bytes, new: bytes) -> None:
    """Of an index with one entry, which begins after twelve bytes, its name after another sixty-two."""
    data = index.read_bytes()
    assert data[74 : 74 + len(old) + 1] == old + b"\0"
    entry = bytes(8) + data[20:72] + len(new).to_bytes(2, "big") + new
    made = data[:12] + entry + bytes(8 - len(entry) % 8)
    index.write_bytes(made + hashlib.sha1(made).digest())


async def test_a_repository_around_the_workspace_is_not_found(tmp_path: Path) -> None:
    git("init", "-q", str(tmp_path))
    (tmp_path / "w/sub").mkdir(parents=True)
    here = Here(tmp_path / "w")
    await refused("no_repository", here.git.status("."))
    await refused("no_repository", here.git.status("sub"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another owner")
async def test_a_repository_of_another_user_is_refused(here: Here) -> None:
    git("init", "-q", str(here.root / "r"))
    os.chown(here.root / "r", 12345, 12345)
    await refused("permission_denied", here.git.status("r"))
