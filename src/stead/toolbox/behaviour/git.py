"""Git: what a repository's state is told as."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import check, expect, refused, sh
from stead.toolbox.contract import Toolbox
from stead.toolbox.git.contract import Change


async def _repository(toolbox: Toolbox, place: str, line: str = "") -> None:
    """One with a commit that has the files `a`, `b` and `c`; then the line is run in it."""
    made = await sh(
        toolbox,
        "git init -q -b main . && git config user.name Somebody && git config user.email somebody@example.org"
        " && echo one > a && echo two > b && printf 'three\nfour\nfive\n' > c && git add . && git commit -qm first"
        f" && {line or 'true'}",
        cwd=place,
    )
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
