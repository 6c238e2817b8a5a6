"""What must hold on a machine after any crash, once all is repaired."""

from pathlib import Path

import psutil
from anyio import to_thread

from stead.sdk.client import Stead
from stead.testing.cluster import Cluster

SETTLED = 90.0
ENDED = {"completed", "failed", "expired", "cancelled", "unknown"}


class Aftermath:
    """Looks from outside: at the API, the folders and the processes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def holds(self, stead: Stead) -> None:
        """No command is under way for ever, no workspace is stuck, nothing is left of what was deleted."""
        await to_thread.run_sync(self._settle)
        known = {workspace.id async for workspace in stead.workspaces.list()}
        await to_thread.run_sync(self._clear, known)

    def _settle(self) -> None:
        self._cluster.until(self._settled, "every command has ended and every workspace is as wanted", SETTLED)

    def _clear(self, known: set[str]) -> None:
        self._cluster.until(lambda: not self._strays(known), f"nothing but {sorted(known)} is left", SETTLED)

    def _settled(self) -> bool:
        commands, workspaces = self._cluster.get("/commands?limit=500"), self._cluster.get("/workspaces?limit=500")
        if commands is None or workspaces is None:
            return False
        ended = all(command["state"] in ENDED for command in commands["items"])
        return ended and all(workspace["state"] == workspace["desired"] for workspace in workspaces["items"])

    def _strays(self, known: set[str]) -> list[str]:
        """Folders of workspaces that the control plane does not know, and processes in them."""
        folder = self._cluster.data / "node" / "workspaces"
        folders = [entry.name for entry in folder.iterdir()] if folder.exists() else []
        processes = [words for words in map(_words, self._cluster.processes()) if _workspaces(words) - known]
        return [name for name in folders if name not in known] + [" ".join(words) for words in processes]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _workspaces(words: list[str]) -> set[str]:
    """The workspaces that a command line names."""
    return {part for word in words for part in Path(word).parts if part.startswith("ws_")}
