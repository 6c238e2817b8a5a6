"""Tells the control plane of every workspace and every orphan, in pages.

Contract: `send(books, ask)`; the last page says so, and only then does the control plane act on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from stead.drivers.contract import Found
from stead.node.books import Books
from stead.protocol.errors import SteadError
from stead.protocol.messages import Inventory, Request, WorkspaceReport

PAGE = 200
TIMEOUT = 60.0

Ask = Callable[[Request, float], Awaitable[Any]]


async def send(books: Books, ask: Ask) -> None:
    """One whole inventory."""
    reports = await collect(books)
    pages = [reports[start : start + PAGE] for start in range(0, len(reports), PAGE)] or [[]]
    name = secrets.token_hex(8)
    for number, page in enumerate(pages):
        last = number == len(pages) - 1
        await ask(
            Inventory(request_id="", inventory_id=name, page=number, last=last, workspaces=page),
            TIMEOUT,
        )


async def collect(books: Books) -> list[WorkspaceReport]:
    """All workspaces as they are now, then what nobody knows."""
    reports = []
    for record in books.all():
        try:
            reports.append(await books.report(record))
        except SteadError as error:
            reports.append(
                WorkspaceReport(
                    workspace_id=record.workspace_id,
                    generation=record.generation,
                    state="failed",
                    driver=record.driver,
                    last_sequence=record.last_sequence,
                    error=error.fault(),
                )
            )
    return reports + [await _orphan(books, name, found) for name, found in await books.orphans()]


async def _orphan(books: Books, driver: str, found: Found) -> WorkspaceReport:
    status = await books.driver(driver).status(found.handle)
    return WorkspaceReport(
        workspace_id=found.workspace_id,
        generation=found.generation,
        state="running" if status.sight == "running" else "stopped",
        driver=driver,
        isolation=status.isolation.value,
    )
