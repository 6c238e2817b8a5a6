"""A working control core on a real SQLite file."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from stead.control.core import Core
from stead.control.store.store import Store, open_store


@pytest.fixture
async def core_store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await open_store("", tmp_path / "core")
    yield made
    await made.close()


@pytest.fixture
async def core(core_store: Store) -> AsyncIterator[Core]:
    made = Core(core_store)
    async with anyio.create_task_group() as group:
        group.start_soon(made.run)
        yield made
        group.cancel_scope.cancel()
