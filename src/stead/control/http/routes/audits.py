"""The audit log."""

from __future__ import annotations

from litestar import get

from stead.api.types import AuditPage
from stead.control.http.guards import needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, Limit, Word
from stead.control.people.caller import ADMIN


@get("/audit", operation_id="listAudit", opt=needs(ADMIN), tags=["audit"])
async def list_audit(
    caller: Asker,
    services: Given,
    actor: Word = "",
    subject: Word = "",
    action: Word = "",
    limit: Limit = FIRST_PAGE,
    after: After = "",
) -> AuditPage:
    """Who did what, newest first."""
    return await services.people.audit.page(caller, actor, subject, action, after, limit)


ROUTES = [list_audit]
