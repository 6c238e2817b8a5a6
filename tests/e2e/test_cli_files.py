"""`stead files` and `stead cp`."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from support.cli import PROGRAM, Cli

Work = dict[str, Any]


def test_a_file_goes_in_and_comes_out_with_its_mode(both: Cli, work: Work, tmp_path: Path) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(os.urandom(3_000_000))
    source.chmod(0o750)
    both.ok("cp", str(source), f"{work['name']}:sub.bin")
    both.ok("cp", f"{work['name']}:sub.bin", str(target))
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    both.ok("cp", f"{work['name']}:sub.bin", str(tmp_path))
    assert (tmp_path / "sub.bin").read_bytes() == source.read_bytes()


def test_put_from_stdin_and_get_to_stdout(cli: Cli, work: Work) -> None:
    cli.ok("files", "put", work["name"], "-", "deep/er/note", "--parents", input=b"from a pipe\n")
    assert cli.ok("files", "cat", work["name"], "deep/er/note") == "from a pipe\n"
    assert cli.ok("files", "get", work["name"], "deep/er/note", "-") == "from a pipe\n"
    assert cli.ok("cp", f"{work['name']}:deep/er/note", "-") == "from a pipe\n"


def test_adding_to_a_file_and_a_part_of_it(cli: Cli, work: Work, tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(b"y" * 600_000)
    cli.ok("files", "put", work["name"], "--append", "-", "added/to", "--parents", input=b"first ")
    cli.ok("files", "put", work["name"], "--append", str(tmp_path / "more"), "added/to")
    assert cli.json("files", "stat", work["name"], "added/to")["size"] == 600_006
    assert cli.ok("files", "cat", work["name"], "added/to", "--offset", "3", "--length", "5") == "st yy"
    assert cli.ok("files", "cat", work["name"], "added/to", "--offset", "600_000") == "y" * 6
    assert cli("files", "cat", work["name"], "added/to", "--offset", "-1").returncode == 1


def test_list_stat_move_and_remove(cli: Cli, work: Work) -> None:
    cli.ok("files", "mkdir", work["name"], "-p", "tree/branch")
    cli.ok("files", "put", work["name"], "-", "tree/leaf", input=b"x")
    cli.ok("exec", work["name"], "--", "ln", "-s", "leaf", "tree/link")
    names = [entry["path"] for entry in cli.json("files", "ls", work["name"], "tree")["items"]]
    assert names == ["tree/branch", "tree/leaf", "tree/link"]
    assert "tree/link -> leaf" in cli.ok("files", "ls", work["name"], "tree")
    assert cli.json("files", "stat", work["name"], "tree/leaf")["size"] == 1
    cli.ok("files", "mv", work["name"], "tree/leaf", "tree/branch/leaf")
    assert cli("files", "rm", work["name"], "tree").returncode == 1
    cli.ok("files", "rm", work["name"], "-r", "tree")
    gone = cli("files", "rm", work["name"], "tree")
    assert (gone.returncode, gone.stderr) == (0, b"stead: tree was not there\n")


def test_find_replace_patch_and_modes(cli: Cli, work: Work, tmp_path: Path) -> None:
    name = work["name"]
    for path in ("code/a.py", "code/deep/b.py", "code/c.txt", "code/.gitignore"):
        cli.ok("files", "put", name, "-", path, "--parents", input=b"deep/\n")
    assert cli.ok("files", "find", name, "*.py") == "code/a.py\ncode/deep/b.py\n"
    assert cli.ok("files", "find", name, "*.py", "*.txt", "--in", "code", "--gitignore") == "code/a.py\ncode/c.txt\n"
    assert "+1 -1" in cli.ok("files", "replace", name, "code/a.py", "deep", "shallow")
    assert cli.ok("files", "cat", name, "code/a.py") == "shallow/\n"
    assert b"is not in the file" in cli("files", "replace", name, "code/a.py", "deep", "x").stderr
    diff = "--- a/a.py\n+++ b/a.py\n@@ -1 +1,2 @@\n shallow/\n+more\n--- /dev/null\n+++ b/d.py\n@@ -0,0 +1 @@\n+new\n"
    (tmp_path / "diff").write_text(diff)
    assert "modified" in cli.ok("files", "patch", name, str(tmp_path / "diff"), "--in", "code", "--check")
    assert cli("files", "cat", name, "code/d.py").returncode == 1
    cli.ok("files", "patch", name, "--in", "code", input=diff.encode())
    assert cli.ok("files", "cat", name, "code/a.py", "code/d.py") == "shallow/\nmore\nnew\n"
    assert b"already" in cli("files", "patch", name, "--in", "code", input=diff.encode()).stderr
    cli.ok("files", "chmod", name, "700", "-r", "code")
    assert cli.json("files", "stat", name, "code/d.py")["mode"] == 0o700
    assert cli("files", "chmod", name, "rwx", "code").returncode == 2
    cli.ok("files", "rm", name, "-r", "code")


def test_mistakes_are_told(cli: Cli, work: Work, tmp_path: Path) -> None:
    assert b"one side" in cli("cp", "a", "b").stderr
    assert b"leads out" in cli("files", "cat", work["name"], "/etc/passwd").stderr
    missing = cli("cp", str(tmp_path / "missing"), f"{work['name']}:x")
    assert missing.returncode == 1
    assert b"missing" in missing.stderr
    target = tmp_path / "kept"
    target.write_text("before")
    assert cli("cp", f"{work['name']}:no-such-file", str(target)).returncode == 1
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_file_of_many_bytes_through_pipes(cli: Cli, work: Work) -> None:
    line = (
        f"head -c 30000000 /dev/zero | {PROGRAM} files put {work['id']} - zeros && "
        f"{PROGRAM} files cat {work['id']} zeros | wc -c"
    )
    done = subprocess.run(["sh", "-c", line], env=cli.environment, capture_output=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == b"30000000"
