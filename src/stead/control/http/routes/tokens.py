"""API tokens."""

from __future__ import annotations

from litestar import Response, delete, get, post
from litestar.params import FromPath, JSONBody

from stead.api.types import TokenCreate, TokenCreated, TokenPage
from stead.control.http.guards import needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, Limit
from stead.control.people.rights import ACCOUNT

NEEDS = needs(ACCOUNT)
TAGS = ["tokens"]


@get("/tokens", operation_id="listTokens", opt=NEEDS, tags=TAGS)
async def list_tokens(caller: Asker, services: Given, limit: Limit = FIRST_PAGE, after: After = "") -> TokenPage:
    """One's own tokens; everybody's for administrators."""
    return await services.people.tokens.list(caller, limit, after)


@post("/tokens", operation_id="createToken", opt=NEEDS, tags=TAGS)
async def create_token(caller: Asker, services: Given, data: JSONBody[TokenCreate]) -> Response[TokenCreated]:
    """A new token; its secret is shown once."""
    made = await services.people.tokens.create(caller, data)
    return Response(made, status_code=201, headers={"Location": f"/api/v1/tokens/{made.token.id}"})


@delete("/tokens/{token:str}", operation_id="deleteToken", opt=NEEDS, tags=TAGS)
async def delete_token(caller: Asker, services: Given, token: FromPath[str]) -> None:
    """Revokes one, and those that were made with it; what lives by them ends at once."""
    await services.people.tokens.revoke(caller, token)


ROUTES = [list_tokens, create_token, delete_token]
