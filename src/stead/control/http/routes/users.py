"""The people."""

from __future__ import annotations

from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from stead.api.types import User, UserCreate, UserCreated, UserPage, UserPatch
from stead.control.http.guards import ANYONE, needs
from stead.control.http.params import FIRST_PAGE, After, Asker, Given, IfMatch, Limit, version_of, versioned
from stead.control.people.caller import ADMIN

READ, CHANGE = needs(ANYONE), needs(ADMIN)
TAGS = ["users"]


@get("/users", operation_id="listUsers", opt=READ, tags=TAGS)
async def list_users(caller: Asker, services: Given, limit: Limit = FIRST_PAGE, after: After = "") -> UserPage:
    """Who there is."""
    return await services.people.users.list(caller, limit, after)


@post("/users", operation_id="createUser", opt=CHANGE, tags=TAGS)
async def create_user(caller: Asker, services: Given, data: JSONBody[UserCreate]) -> Response[UserCreated]:
    """A new user, with a one-time login code that is shown once."""
    made = await services.people.users.create(caller, data)
    return versioned(made, made.user.version, 201, f"/api/v1/users/{made.user.id}")


@get("/users/{user:str}", operation_id="getUser", opt=READ, tags=TAGS)
async def get_user(caller: Asker, services: Given, user: FromPath[str]) -> Response[User]:
    """One user, by id or name."""
    found = await services.people.users.get(caller, user)
    return versioned(found, found.version)


@patch("/users/{user:str}", operation_id="patchUser", opt=CHANGE, tags=TAGS)
async def patch_user(
    caller: Asker, services: Given, user: FromPath[str], data: JSONBody[UserPatch], if_match: IfMatch = ""
) -> Response[User]:
    """Another role; disabled or not. What lives by the user's credentials ends at once."""
    changed = await services.people.users.patch(caller, user, data, version_of(if_match))
    return versioned(changed, changed.version)


@delete("/users/{user:str}", operation_id="deleteUser", opt=CHANGE, tags=TAGS)
async def delete_user(caller: Asker, services: Given, user: FromPath[str]) -> None:
    """Removes a user who has no workspaces left."""
    await services.people.users.remove(caller, user)


@post("/users/{user:str}/login", operation_id="createUserLogin", opt=CHANGE, tags=TAGS)
async def create_user_login(caller: Asker, services: Given, user: FromPath[str]) -> UserCreated:
    """A new one-time login code; earlier ones are void."""
    return await services.people.users.login(caller, user)


ROUTES = [list_users, create_user, get_user, patch_user, delete_user, create_user_login]
