"""`stead cp` and `stead sync`: directories, between workspaces, cut off and begun again, with a person watching."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.cli import PROGRAM, Cli, ended, in_process
from support.deadline import eventually
from support.disk import small_disk
from support.terminal import Terminal

Work = dict[str, Any]
Facts = dict[str, tuple[object, ...]]


def make(top: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


def facts(top: Path) -> Facts:
    """What must be the same on both sides."""
    found: Facts = {}
    for path in sorted(top.rglob("*")):
        about = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        time = None if path.is_dir() else about.st_mtime_ns
        found[str(path.relative_to(top))] = (0 if path.is_symlink() else about.st_mode, time, content)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project."""
    top = make(tmp_path / "project", {"a": b"a", "src/x.py": b"x = 1\n" * 1000, "src/deep/y": b"", "caf\u00e9/z": b"z"})
    (top / "src/x.py").chmod(0o755)
    (top / "link").symlink_to("src/x.py")
    return top


def test_a_directory_there_and_back(both: Cli, work: Work, tree: Path, tmp_path: Path) -> None:
    name = work["name"]
    both.ok("cp", str(tree), f"{name}:copied")
    both.ok("cp", f"{name}:copied", str(tmp_path / "back"))
    assert facts(tmp_path / "back") == facts(tree)
    both.ok("cp", "-r", str(tree), f"{name}:copied/")
    assert both.json("files", "stat", name, "copied/project/a")["size"] == 1, "into a directory that is there"
    both.ok("cp", f"{tree}/.", f"{name}:copied")
    (tmp_path / "into").mkdir()
    both.ok("cp", f"{name}:copied/src", f"{name}:copied/a", str(tmp_path / "into"))
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["a", "src"]
    both.ok("files", "rm", name, "-r", "copied")


def test_what_is_left_out(cli: Cli, work: Work, tree: Path, tmp_path: Path) -> None:
    name = work["name"]
    make(tree, {".gitignore": b"*.log\n", "x.log": b"", ".git/HEAD": b"", "src/z.tmp": b""})
    (tree / "out").symlink_to("/etc")
    done = cli("cp", "--gitignore", "--exclude", "*.tmp", str(tree), f"{name}:chosen")
    assert b"--links keep takes them): out" in done.stderr
    paths = [entry["path"] for entry in cli.json("files", "ls", name, "chosen", "--depth", "9")["items"]]
    assert "chosen/src/x.py" in paths
    assert not [path for path in paths if path.endswith((".log", ".tmp", ".git", "/out"))]
    told = cli.json("cp", "--links", "keep", str(tree), f"{name}:whole")
    assert (told["links"], told["directories"]) == (2, 5)
    assert cli("cp", "--links", "refuse", str(tree), f"{name}:refused").returncode == 1
    cli.ok("cp", "--include", "*.py", f"{name}:whole", str(tmp_path / "python"))
    assert [str(path.relative_to(tmp_path / "python")) for path in (tmp_path / "python").rglob("*.*")] == ["src/x.py"]
    cli.ok("files", "rm", name, "-r", "chosen", "whole", "refused")


def test_between_and_within_workspaces(cli: Cli, work: Work, tree: Path, tmp_path: Path) -> None:
    name = work["name"]
    other = cli.json("ws", "create", "copy-other")
    cli.ok("cp", str(tree), f"{name}:one")
    cli.ok("cp", f"{name}:one", f"{other['name']}:two")
    cli.ok("cp", f"{name}:one/src/x.py", f"{other['id']}:two/again.py")
    cli.ok("cp", f"{other['name']}:two", f"{other['name']}:three")
    cli.ok("cp", f"{other['name']}:three", str(tmp_path / "three"))
    assert (tmp_path / "three/again.py").read_bytes() == (tree / "src/x.py").read_bytes()
    (tmp_path / "three/again.py").unlink()
    assert facts(tmp_path / "three") == facts(tree)
    cli.ok("files", "rm", name, "-r", "one")
    cli.ok("ws", "rm", other["id"])


def test_a_choice_counts_within_a_workspace_too(cli: Cli, work: Work, tree: Path) -> None:
    name = work["name"]
    (tree / "out").symlink_to("/etc")
    cli.ok("cp", "--links", "keep", str(tree), f"{name}:one")
    cli.ok("cp", "--exclude", "*.py", "--links", "keep", f"{name}:one", f"{name}:two")
    assert cli.ok("files", "find", name, "*.py", "out", "--in", "two") == "two/out -> /etc\n"
    assert cli.json("cp", "--links", "skip", f"{name}:one", f"{name}:three")["skipped"] == ["out"]
    assert cli.json("cp", f"{name}:one", f"{name}:four")["links"] == 2
    cli.ok("files", "rm", name, "-r", "one", "two", "three", "four")


def test_a_directory_is_not_copied_into_itself(cli: Cli, work: Work, tree: Path) -> None:
    name = work["name"]
    cli.ok("cp", str(tree), f"{name}:self")
    for source, target in (("self", "self/src"), ("./self/.", "self/src"), (".", "self"), ("self", "self/new")):
        done = cli("cp", f"{name}:{source}", f"{name}:{target}")
        assert (done.returncode, b"not copied into itself" in done.stderr) == (1, True)
    assert cli.ok("files", "find", name, "x.py") == "self/src/x.py\n"
    cli.ok("files", "rm", name, "-r", "self")


def test_a_link_has_the_mode_of_what_it_leads_to(cli: Cli, work: Work, tmp_path: Path) -> None:
    name = work["name"]
    line = "echo x >secret; chmod 600 secret; mkdir -p d; ln -s ../secret d/link; ln -s d/link link"
    cli.ok("exec", name, "--shell", "--", line)
    cli.ok("cp", f"{name}:link", str(tmp_path / "here"))
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o600
    cli.ok("files", "rm", name, "-r", "secret", "d", "link")


def test_pipes_and_links_that_are_the_target_stay_what_they_are(cli: Cli, work: Work, tmp_path: Path) -> None:
    name, pipe, link = work["name"], tmp_path / "pipe", tmp_path / "link"
    content = os.urandom(30_000)
    cli.ok("files", "put", name, "-", "content", input=content)
    os.mkfifo(pipe)
    with ended(subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)) as reader:
        cli.ok("cp", f"{name}:content", str(pipe))
        assert reader.communicate(timeout=60)[0] == content
    assert pipe.is_fifo()
    (tmp_path / "real").write_bytes(b"before")
    link.symlink_to("real")
    cli.ok("files", "get", name, "content", str(link))
    assert link.is_symlink()
    assert (tmp_path / "real").read_bytes() == content
    cli.ok("files", "rm", name, "content")


def test_names_of_any_length_and_of_any_bytes(cli: Cli, work: Work, tmp_path: Path) -> None:
    name, long, odd = work["name"], tmp_path / ("\u65e5" * 85), tmp_path / "\udcff"
    long.write_bytes(b"long")
    odd.write_bytes(b"odd")
    cli.ok("cp", str(long), f"{name}:")
    long.unlink()
    cli.ok("cp", f"{name}:{long.name}", str(tmp_path))
    assert long.read_bytes() == b"long"
    cli.ok("cp", str(odd), f"{name}:even")
    for words, code in ((("cp", str(odd), f"{name}:"), 1), (("exec", name, "--", "echo", "\udcff"), 125)):
        done = cli(*words)
        assert (done.returncode, done.stderr.count(b"\n"), b"UTF-8" in done.stderr) == (code, 2, True)
    cli.ok("files", "rm", name, long.name, "even")


def test_mistakes_are_told(cli: Cli, work: Work, tree: Path, tmp_path: Path) -> None:
    name = work["name"]
    assert b"there is nothing" in cli("cp", f"{name}:nothing", str(tmp_path)).stderr
    assert b"into a directory" in cli("cp", str(tree / "a"), str(tree / "link"), f"{name}:nowhere").stderr
    assert b"leads out" in cli("cp", str(tree), f"{name}:../x").stderr
    assert b"not a directory" in cli("sync", str(tree / "a"), f"{name}:x").stderr
    assert b"not a directory" in cli("sync", str(tree / "nothing"), f"{name}:x").stderr
    assert b"one side" in cli("sync", "a", "b").stderr
    assert cli("sync", f"{name}:nothing", str(tmp_path / "x")).returncode == 1
    missing = cli("files", "put", name, str(tmp_path / "nothing"), "--json")
    assert json.loads(missing.stderr)["error"]["code"] == "not_found"


def test_sync_sends_only_what_differs(both: Cli, work: Work, tree: Path, tmp_path: Path) -> None:
    name, back = work["name"], tmp_path / "back"
    first = both.json("sync", str(tree), f"{name}:synced")
    assert (len(first["new"]), first["unchanged"]) == (8, 0)
    both.ok("sync", f"{name}:synced", str(back))
    assert facts(back) == facts(tree)
    again = both.json("sync", str(tree), f"{name}:synced")
    assert again["unchanged"] == 5
    assert again["new"] == again["changed"] == []
    (tree / "a").write_bytes(b"b")
    (tree / "link").unlink()
    (tree / "link").symlink_to("a")
    (tree / "src/x.py").chmod(0o700)
    make(tree, {"new/file": b"new"})
    (tree / "src/deep/y").unlink()
    dry = both.json("sync", "--delete", "--dry-run", str(tree), f"{name}:synced")
    assert (dry["new"], dry["changed"], dry["deleted"]) == (
        ["new", "new/file"],
        ["a", "link", "src/x.py"],
        ["src/deep/y"],
    )
    assert both.json("files", "stat", name, "synced/a")["size"] == 1
    both.ok("sync", f"{tree}/", f"{name}:synced/")
    assert both.json("files", "stat", name, "synced/src/deep/y")["size"] == 0, "deleted without being asked"
    both.ok("sync", "--delete", str(tree), f"{name}:synced")
    both.ok("sync", "--delete", f"{name}:synced", str(back))
    assert facts(back) == facts(tree)
    both.ok("files", "rm", name, "-r", "synced")


def test_sync_by_content_and_kinds_that_change(cli: Cli, work: Work, tree: Path) -> None:
    name = work["name"]
    root = cli.ok("exec", name, "--", "pwd").strip()
    assert b"leads out" in cli("sync", str(tree), f"{name}:/etc").stderr
    cli.ok("sync", str(tree), f"{name}:{root}/kinds")
    assert cli.json("sync", "-n", str(tree), f"{name}:./kinds/")["unchanged"] == 5
    os.utime(tree / "a", ns=(0, 1))
    (tree / "src/x.py").write_bytes(b"y = 2\n" * 1000)
    told = cli.json("sync", "--checksum", "-n", str(tree), f"{name}:kinds")
    assert told["changed"] == ["src/x.py"]
    (tree / "caf\u00e9/z").unlink()
    (tree / "caf\u00e9").rmdir()
    (tree / "caf\u00e9").write_bytes(b"now a file")
    (tree / "a").unlink()
    make(tree, {"a/b": b"now a directory"})
    refused = cli("sync", str(tree), f"{name}:kinds")
    assert b"--delete removes it" in refused.stderr
    cli.ok("sync", "--delete", str(tree), f"{name}:kinds")
    again = cli.json("sync", "--delete", str(tree), f"{name}:kinds")
    assert again["new"] == again["changed"] == again["deleted"] == []
    cli.ok("files", "rm", name, "-r", "kinds")


def test_sync_keeps_what_the_source_ignores(cli: Cli, work: Work, tree: Path) -> None:
    name = work["name"]
    make(tree, {".gitignore": b"node_modules/\n*.log\n", ".git/HEAD": b"", "packages/foo/index.js": b"1"})
    for path in ("node_modules/x/y", "extra", "sub/run.log"):
        cli.ok("files", "put", name, "-", f"foo/{path}", "--parents", input=b"there")
    told = cli.json("sync", "--gitignore", "--delete", str(tree / "packages/foo"), f"{name}:foo")
    assert (told["new"], told["deleted"]) == (["index.js"], ["extra", "sub"]), "a directory that is not ignored goes"
    assert cli.json("files", "stat", name, "foo/node_modules/x/y")["size"] == 5
    cli.ok("files", "rm", name, "-r", "foo")


def test_many_small_files(cli: Cli, work: Work, tmp_path: Path) -> None:
    top = make(tmp_path / "many", {f"d{number % 50}/f{number}": b"%d" % number for number in range(600)})
    told = cli.json("sync", str(top), f"{work['name']}:many")
    assert told["files"] == 600
    told = cli.json("sync", f"{work['name']}:many", str(tmp_path / "back"))
    assert told["files"] == 600
    assert facts(tmp_path / "back") == facts(top)
    cli.ok("files", "rm", work["name"], "-r", "many")


def test_a_full_disk_here(cli: Cli, work: Work, tmp_path: Path) -> None:
    """What was there stays, nothing else does but what a large copy goes on with; with room the same copies work."""
    name, alone = work["name"], in_process(cli)
    small, large = os.urandom(3 << 20), os.urandom(12 << 20)
    make(tmp_path / "from", {"small": small, "large": large, "tree/small": small})
    alone.ok("cp", str(tmp_path / "from"), f"{name}:fills")
    with small_disk(tmp_path / "disk") as disk:
        pairs = {"small": "small", "tree/.": "tree", "large": "large"}.items()
        copies = [("cp", f"{name}:fills/{source}", str(disk.path / target)) for source, target in pairs]
        (disk.path / "small").write_bytes(b"old")
        for copy in copies:
            refused = alone(*copy, "--json")
            assert (refused.returncode, json.loads(refused.stderr)["error"]["code"]) == (1, "disk_full")
            assert (disk.path / "small").read_bytes() == b"old"
        assert [path.name for path in disk.path.rglob("*") if path.is_file() and path.name != "small"] == [
            path.name for path in disk.path.glob(".large.*.stead-part")
        ]
        disk.free()
        for copy in copies:
            alone.ok(*copy)
        arrived = {
            str(path.relative_to(disk.path)): path.read_bytes() for path in disk.path.rglob("*") if path.is_file()
        }
        assert arrived == {"small": small, "large": large, "tree/small": small}
    alone.ok("files", "rm", name, "-r", "fills")


def test_a_sync_that_was_killed_goes_on(cli: Cli, work: Work, tmp_path: Path) -> None:
    name = work["name"]
    top = make(tmp_path / "top", {f"d{number % 9}/f{number}": os.urandom(40_000) for number in range(400)})

    def arrived() -> int:
        done = cli("files", "find", name, "f*", "--in", "killed", "--json")
        return done.stdout.count(b"\n")

    with ended(cli.at(STEAD_KEEPER="0").start("sync", str(top), f"{name}:killed")) as process:
        eventually(lambda: arrived() or process.poll() is not None, "a part has arrived")
        process.send_signal(signal.SIGKILL)
        process.wait()
    told = cli.json("sync", str(top), f"{name}:killed")
    assert told["files"] + told["unchanged"] == 400
    cli.ok("sync", f"{name}:killed", str(tmp_path / "back"))
    assert facts(tmp_path / "back") == facts(top)
    cli.ok("files", "rm", name, "-r", "killed")


def test_a_large_copy_goes_on_after_kill(cli: Cli, work: Work, tmp_path: Path) -> None:
    """Up and down, each killed when a part of it has arrived."""
    name, source, target = work["name"], tmp_path / "large", tmp_path / "back"
    size = 48 << 20
    source.write_bytes(os.urandom(1 << 20) * (size >> 20))
    alone = cli.at(STEAD_KEEPER="0")

    def kept() -> list[dict[str, Any]]:
        done = cli("files", "ls", name, ".stead-partial", "--json")
        entries = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        return [entry for entry in entries if entry["size"] > 1 << 20]

    with ended(alone.start("cp", str(source), f"{name}:large")) as process:
        eventually(lambda: kept() or process.poll() is not None, "a part has arrived")
        process.send_signal(signal.SIGKILL)
        process.wait()
    if not kept():
        pytest.skip("it was too fast to be killed")
    alone.ok("cp", str(source), f"{name}:large")
    assert not kept()
    assert json.loads(cli.ok("files", "stat", name, "large", "--json"))["size"] == size

    def parts() -> list[Path]:
        return [path for path in tmp_path.glob(".back.*") if path.stat().st_size > 1 << 20]

    with ended(alone.start("cp", f"{name}:large", str(target))) as process:
        eventually(lambda: parts() or process.poll() is not None, "a part has arrived")
        process.send_signal(signal.SIGKILL)
        process.wait()
    alone.ok("cp", f"{name}:large", str(target))
    assert target.read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob(".back.*"))


@pytest.mark.skipif(sys.platform != "linux", reason="terminals are driven on Linux")
def test_a_person_sees_how_far_it_is(cli: Cli, work: Work, tmp_path: Path) -> None:
    line = f"(printf one; sleep 1; printf two) | {PROGRAM} cp - {work['name']}:seen"
    with Terminal(["sh", "-c", line], cli.environment) as terminal:
        terminal.expect("stdin")
        assert terminal.wait() == 0
    assert cli.ok("files", "cat", work["name"], "seen") == "onetwo"
    make(tmp_path / "few", {"a": b"1", "b": b"2"})
    with Terminal([PROGRAM, "sync", str(tmp_path / "few"), f"{work['name']}:few"], cli.environment) as terminal:
        terminal.expect("sent 2 (2 B), deleted 0, 0 unchanged")
        assert terminal.wait() == 0
    cli.ok("files", "rm", work["name"], "-r", "seen", "few")


def test_pipes_take_directories_apart(cli: Cli, work: Work) -> None:
    line = f"printf one | {PROGRAM} cp - {work['id']}:piped && {PROGRAM} cp {work['id']}:piped -"
    done = subprocess.run(["sh", "-c", line], env=cli.environment, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"one"
    assert b"does not go to stdout" in cli("cp", f"{work['id']}:.", "-").stderr
