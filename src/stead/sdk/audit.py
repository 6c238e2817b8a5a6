"""The audit log: who did what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from stead.api.types import AuditEntry, AuditPage
from stead.sdk.http import Http


class Audit:
    """`stead.audit`; for administrators."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, actor: str = "", subject: str = "", action: str = "") -> AsyncIterator[AuditEntry]:
        pages = self._http.pages("/audit", AuditPage, actor=actor, subject=subject, action=action)
        return cast("AsyncIterator[AuditEntry]", pages)
