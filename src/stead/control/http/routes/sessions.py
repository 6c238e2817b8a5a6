"""Browser sessions."""

from __future__ import annotations

from litestar import delete, get
from litestar.params import FromPath

from stead.api.types import SessionPage
from stead.control.http.guards import needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, Limit
from stead.control.people.rights import ACCOUNT

NEEDS = needs(ACCOUNT)
TAGS = ["sessions"]


@get("/sessions", operation_id="listSessions", opt=NEEDS, tags=TAGS)
async def list_sessions(caller: Asker, services: Given, limit: Limit = FIRST_PAGE, after: After = "") -> SessionPage:
    """One's own sessions; everybody's for administrators."""
    return await services.people.sessions.list(caller, limit, after)


@delete("/sessions/{session:str}", operation_id="deleteSession", opt=NEEDS, tags=TAGS)
async def delete_session(caller: Asker, services: Given, session: FromPath[str]) -> None:
    """Ends one; what lives by it ends at once."""
    await services.people.sessions.end(caller, session)


ROUTES = [list_sessions, delete_session]
