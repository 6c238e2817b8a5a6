"""What can be asked of a workspace over any hop, and the right each needs.

Contract: `CALLS` are answered at once with a result; `STREAMS` open a flow-controlled byte stream. The control plane
authorises by this table and relays without looking inside. `repeatable(method)` is the one answer to whether a call whose
answer was lost may be asked again; for the ten methods of the guest protocol `protocol.guest.METHODS` has it.
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """What a caller may do in a workspace."""

    READ = "workspace:read"
    WRITE = "workspace:write"
    EXEC = "workspace:exec"


CALLS: dict[str, Right] = {
    "workspace.info": Right.READ,
    "files.read": Right.READ,
    "files.list": Right.READ,
    "files.stat": Right.READ,
    "files.write": Right.WRITE,
    "files.append": Right.WRITE,
    "files.mkdir": Right.WRITE,
    "files.delete": Right.WRITE,
    "files.move": Right.WRITE,
    "exec.run": Right.EXEC,
    "exec.list": Right.READ,
    "exec.show": Right.READ,
    "exec.kill": Right.EXEC,
    "text.read": Right.READ,
    "text.write": Right.WRITE,
    "text.edit": Right.WRITE,
    "text.insert": Right.WRITE,
    "text.patch": Right.WRITE,
    "transfer.begin": Right.WRITE,
    "transfer.chunk": Right.WRITE,
    "transfer.end": Right.WRITE,
    "transfer.cancel": Right.WRITE,
    "transfer.open": Right.READ,
    "transfer.fetch": Right.READ,
    "transfer.partial": Right.READ,
    "transfer.discard": Right.WRITE,
    "trees.list": Right.READ,
    "trees.ignored": Right.READ,
    "trees.copy": Right.WRITE,
    "trees.chmod": Right.WRITE,
    "trees.fingerprints": Right.READ,
    "trees.delete": Right.WRITE,
    "search.content": Right.READ,
    "search.names": Right.READ,
    "search.symbols": Right.READ,
    "search.ranked": Right.READ,
    "sessions.open": Right.EXEC,
    "sessions.show": Right.READ,
    "sessions.list": Right.READ,
    "sessions.prepare": Right.EXEC,
    "sessions.close": Right.EXEC,
    "watch.status": Right.READ,
    "git.head": Right.READ,
    "git.status": Right.READ,
    "git.diff": Right.READ,
    "git.file_changes": Right.READ,
    "git.log": Right.READ,
    "git.messages": Right.READ,
    "git.branches": Right.READ,
    "git.worktrees": Right.READ,
    "git.config": Right.WRITE,
    "git.create_branch": Right.EXEC,
    "git.delete_branch": Right.EXEC,
    "git.checkout": Right.EXEC,
    "git.commit": Right.EXEC,
    "git.add_worktree": Right.EXEC,
    "git.remove_worktree": Right.EXEC,
    "git.clone": Right.EXEC,
    "git.push": Right.EXEC,
    "git.fetch": Right.EXEC,
    "git.pull": Right.EXEC,
    "language.diagnostics": Right.EXEC,
    "language.definition": Right.EXEC,
    "language.references": Right.EXEC,
    "language.hover": Right.EXEC,
    "language.status": Right.READ,
    "language.stop": Right.EXEC,
    "system.info": Right.READ,
    "system.network": Right.READ,
    "system.disks": Right.READ,
    "system.processes": Right.READ,
    "system.metrics": Right.READ,
    "system.users": Right.READ,
    "system.services": Right.READ,
    "system.service": Right.READ,
    "system.packages": Right.READ,
    "system.cloud_init_status": Right.READ,
    "system.keys": Right.READ,
    "system.log": Right.READ,
    "system.control_service": Right.EXEC,
    "system.install_packages": Right.EXEC,
    "system.remove_packages": Right.EXEC,
    "system.cloud_init": Right.EXEC,
    "system.add_key": Right.EXEC,
    "system.remove_key": Right.EXEC,
    "system.shutdown": Right.EXEC,
    "system.reboot": Right.EXEC,
    "system.kill_process": Right.EXEC,
}

STREAMS: dict[str, Right] = {
    "exec": Right.EXEC,
    "exec.attach": Right.READ,
    "file.read": Right.READ,
    "file.write": Right.WRITE,
    "log.follow": Right.READ,
    "tree.read": Right.READ,
    "tree.write": Right.WRITE,
    "watch": Right.READ,
}

IDEMPOTENT = frozenset(
    {
        "transfer.begin",
        "transfer.chunk",
        "transfer.end",
        "transfer.cancel",
        "transfer.discard",
        "trees.chmod",
        "sessions.prepare",
        "git.config",
        "git.checkout",
        "language.diagnostics",
        "language.definition",
        "language.references",
        "language.hover",
        "language.stop",
        "system.add_key",
        "system.remove_key",
    }
)
"""Calls that change something, where asking twice is the same as asking once."""

DEPENDING: dict[str, tuple[str, bool]] = {
    "files.write": ("exclusive", False),
    "files.mkdir": ("exclusive", False),
    "exec.run": ("exec_id", True),
}
"""Where it depends on one of the params: without `exclusive` the file is as asked for, and an exec with a name is joined."""


def repeatable(method: str, params: object = None) -> bool:
    """Whether asking twice is the same as asking once. Who does not know the params is told the safe answer."""
    if CALLS.get(method) is Right.READ or method in IDEMPOTENT:
        return True
    if params is None or method not in DEPENDING:
        return False
    name, wanted = DEPENDING[method]
    return bool(getattr(params, name)) is wanted
