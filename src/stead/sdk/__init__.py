"""The client: async nouns over the API and the link, the remote toolbox, and a thin sync face.

What belongs here: everything a program needs to use a control plane. It never imports control, node or guest, and needs
none of the server's dependencies. The names below load on first use, so that small programs start fast.

    async with Stead() as stead:
        workspace = await stead.workspaces.create()
        result = await workspace.exec(["ls"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stead.protocol.errors import SteadError as SteadError
    from stead.sdk.client import Stead as Stead
    from stead.sdk.remote import RemoteRunning as RemoteRunning
    from stead.sdk.remote import RemoteToolbox as RemoteToolbox
    from stead.sdk.sync import SyncStead as SyncStead
    from stead.sdk.workspaces import Workspace as Workspace

__all__ = ["RemoteRunning", "RemoteToolbox", "Stead", "SteadError", "SyncStead", "Workspace"]

_HOMES = {
    "RemoteRunning": "stead.sdk.remote",
    "RemoteToolbox": "stead.sdk.remote",
    "Stead": "stead.sdk.client",
    "SteadError": "stead.protocol.errors",
    "SyncStead": "stead.sdk.sync",
    "Workspace": "stead.sdk.workspaces",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
