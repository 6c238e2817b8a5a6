"""One workspace, started and deleted, to see how it goes on this machine.

Contract: `why_slow()` answers why workspaces would not be forked from a nursery here, empty when they are. SteadError when none
can be started at all.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import anyio

from stead.drivers.process.driver import ProcessDriver, ProcessSettings
from stead.model import ids
from stead.protocol.messages import WorkspaceSpec


def why_slow() -> str:
    """Takes about a second; nothing stays."""
    with tempfile.TemporaryDirectory(prefix="stead-trial-") as folder:
        return anyio.run(_try, Path(folder))


async def _try(folder: Path) -> str:
    driver = ProcessDriver(ProcessSettings(state=folder, hidden=(folder,)))
    workspace_id = ids.make(ids.Kind.WORKSPACE, time.time(), os.urandom(ids.ENTROPY_BYTES))
    spec = WorkspaceSpec(workspace_id=workspace_id, name="trial", generation=1, driver=driver.name)
    try:
        await driver.start(spec, ids.make(ids.Kind.COMMAND, time.time(), os.urandom(ids.ENTROPY_BYTES)), _nobody)
        return driver.slowness()
    finally:
        for found in await driver.find():
            await driver.delete(found.handle)
        await driver.close()


async def _nobody(step: str, detail: str) -> None:
    """Nobody is told how far it is."""
