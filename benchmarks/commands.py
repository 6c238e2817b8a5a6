"""Durable commands a second: asked over the API, stored, delivered to simulated nodes, done there, and their end stored."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from benchmarks import nodes
from benchmarks.bench import Bench
from benchmarks.report import MissingError, Row
from stead.model.workspaces import Observed
from stead.sdk import Stead, Workspace
from stead.testing.server import Server
from support import engines
from support.postgres import Postgres

NODES = 20
WORKSPACES = 400
ROUNDS = 4
AT_ONCE = 128
"""Requests under way: what comes together is committed together, so that a single client would only measure its own waiting."""
AIM = 1_000.0
PATIENCE = 300.0


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """The same work on both databases."""
    yield await measure(bench, "SQLite")
    if why := engines.why_missing("postgres"):
        raise MissingError(why)
    async with on_postgres() as other:
        row = await measure(other, "PostgreSQL (fsync off)")
    yield row


@asynccontextmanager
async def on_postgres() -> AsyncIterator[Bench]:
    """A server on a private PostgreSQL."""
    database = Postgres()
    try:
        await anyio.to_thread.run_sync(database.create)
        with tempfile.TemporaryDirectory(prefix="stead-bench-") as folder:
            server = Server(Path(folder), database_url=database.url(database.new_database()))
            await anyio.to_thread.run_sync(server.start)
            try:
                async with Stead(data=server.data) as stead:
                    yield Bench(server, stead)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(server.stop)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(database.close)


async def measure(bench: Bench, database: str) -> Row:
    """Every workspace is restarted some times; each restart is one command."""
    async with nodes.fleets(bench, NODES, 1) as running:
        for fleet in running:
            await nodes.line(fleet, "connected")
        found = await create_all(bench)
        start = time.perf_counter()
        for _ in range(ROUNDS):
            await restart_all(found)
        await until_running(bench, 1 + ROUNDS)
        rate = ROUNDS * WORKSPACES / (time.perf_counter() - start)
        for workspace in found:
            await workspace.delete(wait=False)
        await until_gone(bench)
    what = f"durable commands a second through the API, {database}"
    return Row(what=what, ours=f"{rate:.0f}", aim="1,000", met=rate >= AIM)


async def create_all(bench: Bench) -> list[Workspace]:
    """Workspaces on the simulated nodes, all running."""
    limit = anyio.Semaphore(AT_ONCE)
    found: list[Workspace] = []

    async def one() -> None:
        async with limit:
            found.append(await bench.stead.workspaces.create(node_labels={"fleet": "fleet0"}, wait=False))

    async with anyio.create_task_group() as group:
        for _ in range(WORKSPACES):
            group.start_soon(one)
    await until_running(bench, 1)
    return found


async def restart_all(found: list[Workspace]) -> None:
    """Asks for a restart of each, some at once."""
    limit = anyio.Semaphore(AT_ONCE)

    async def one(workspace: Workspace) -> None:
        async with limit:
            await workspace.restart(wait=False)

    async with anyio.create_task_group() as group:
        for workspace in found:
            group.start_soon(one, workspace)


async def until_running(bench: Bench, generation: int) -> None:
    """Waits until every workspace runs in at least this generation."""
    with anyio.fail_after(PATIENCE):
        while True:
            infos = [workspace.info async for workspace in bench.stead.workspaces.list()]
            if all(info.state is Observed.RUNNING and info.generation >= generation for info in infos):
                return
            await anyio.sleep(0.05)


async def until_gone(bench: Bench) -> None:
    """Waits until nothing is left: a node that has gone could not delete any more."""
    with anyio.fail_after(PATIENCE):
        while [workspace async for workspace in bench.stead.workspaces.list()]:
            await anyio.sleep(0.05)
