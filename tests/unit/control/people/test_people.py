"""Users, tokens, sessions, logins, tickets: what they give, and that they end."""

from pathlib import Path

import anyio
import pytest

from stead.api.types import TokenCreate, UserCreate, UserPatch
from stead.control.people.identity import Identities, Known
from stead.control.people.tickets import Tickets
from stead.protocol.errors import SteadError
from unit.control.face import Face, face

pytestmark = pytest.mark.anyio


def code_of(caught: pytest.ExceptionInfo[SteadError]) -> str:
    return caught.value.code


async def refused(it: Face, secret: str) -> str:
    with pytest.raises(SteadError) as caught:
        await it.known(secret)
    return code_of(caught)


async def test_the_first_start_makes_one_admin(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        assert (it.user.name, it.user.role) == ("admin", "admin")
        assert (await it.app.people.users.first()).id == it.user.id


async def test_a_token_is_kept_only_as_a_digest(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        secret = await it.token("*")
        assert (await it.caller(secret)).user_id == it.user.id
    whole = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir() if file.is_file())
    assert secret.encode() not in whole


async def test_a_token_ends(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        now = 1000.0
        identities = Identities(it.app.services.store, lambda: now)
        secret = await it.token("*", lifetime=5.0)
        known = await it.known(secret)
        assert known.expires is not None
        now = known.expires - 0.1
        assert (await identities.of_bearer(secret)).caller == known.caller
        now = known.expires + 0.1
        with pytest.raises(SteadError, match="expired"):
            await identities.of_bearer(secret)


async def test_a_revoked_token_is_refused_at_once(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        secret = await it.token("*")
        caller = await it.caller(secret)
        await it.app.people.tokens.revoke(caller, caller.credential_id)
        assert await refused(it, secret) == "unauthenticated"


async def test_a_token_carries_no_more_than_its_maker(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        narrow = await it.token("workspace:read", "account")
        caller = await it.caller(narrow)
        for scopes in (["*"], ["workspace:exec"], ["workspace:read", "admin"]):
            with pytest.raises(SteadError) as caught:
                await it.app.people.tokens.create(caller, TokenCreate(name="more", scopes=scopes))
            assert code_of(caught) == "forbidden"
        made = await it.app.people.tokens.create(caller, TokenCreate(name="same", scopes=["workspace:read"]))
        assert made.token.scopes == ["workspace:read"]


async def test_a_token_does_not_outlive_its_maker(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        tokens = it.app.people.tokens
        short = await it.known(await it.token("*", lifetime=3600.0))
        for lifetime in (0, 3601.0, 86_400.0):
            with pytest.raises(SteadError) as caught:
                await tokens.create(short.caller, TokenCreate(name="longer", lifetime_seconds=lifetime))
            assert code_of(caught) == "forbidden"
            assert caught.value.details == {"ends": short.expires}
        unsaid = await tokens.create(short.caller, TokenCreate(name="as long as it may"))
        assert (unsaid.token.expires, unsaid.token.made_by) == (short.expires, short.caller.credential_id)
        said = await tokens.create(short.caller, TokenCreate(name="shorter", lifetime_seconds=60.0))
        assert said.token.expires == said.token.created + 60.0
        endless = await it.caller(await it.token("*", lifetime=0.0))
        usual = (await tokens.create(endless, TokenCreate(name="usual"))).token
        assert usual.expires == usual.created + 30 * 86_400.0
        assert (await tokens.create(endless, TokenCreate(name="endless", lifetime_seconds=0))).token.expires is None


async def test_a_revoked_token_takes_along_what_it_made(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        tokens = it.app.people.tokens
        top = await it.caller(await it.token("*"))
        child = await tokens.create(top, TokenCreate(name="child"))
        grandchild = await tokens.create(await it.caller(child.secret), TokenCreate(name="grandchild"))
        ticket = it.app.people.tickets.issue(await it.known(grandchild.secret))
        beside = await it.token("*")
        await tokens.revoke(await it.caller(it.secret), top.credential_id)
        for secret in (child.secret, grandchild.secret):
            assert await refused(it, secret) == "unauthenticated"
        with pytest.raises(SteadError):
            it.app.people.tickets.redeem(ticket.ticket)
        await it.caller(beside)
        with pytest.raises(SteadError) as caught:
            await tokens.create(top, TokenCreate(name="too late"))
        assert code_of(caught) == "unauthenticated"


async def test_what_a_person_made_after_a_login_outlives_the_login(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        people = it.app.people
        session = await people.logins.redeem(await people.logins.issue(it.user.id))
        login = await people.logins.redeem(await people.logins.issue(it.user.id), "laptop")
        local = await people.tokens.renew_local(it.user.id)
        makers = [
            (await people.identities.of_cookie(session.secret)).caller,
            await it.caller(login.secret),
            await it.caller(local),
        ]
        made = [await people.tokens.create(each, TokenCreate(name="ci", lifetime_seconds=0)) for each in makers]
        assert [each.token.made_by for each in made] == [None] * 3
        await people.sessions.end(makers[0], makers[0].credential_id)
        await people.tokens.end_own(makers[1])
        await people.tokens.renew_local(it.user.id)
        for each in made:
            assert (await it.caller(each.secret)).user_id == it.user.id


async def test_a_token_gets_no_more_by_way_of_a_login(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        caller = await it.caller(await it.token("admin", "account", "workspace:read"))
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.login(caller, "admin")
        assert code_of(caught) == "forbidden"
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.create(caller, UserCreate(name="mia", role="admin"))
        assert code_of(caught) == "forbidden"
        assert [user.name for user in (await it.app.people.users.list(caller, 10, "")).items] == ["admin"]


@pytest.mark.parametrize("scopes", [[], ["nonsense"], ["workspace:read", "root"]])
async def test_scopes_are_rights(tmp_path: Path, scopes: list[str]) -> None:
    async with face(tmp_path) as it:
        with pytest.raises(SteadError) as caught:
            await it.app.people.tokens.create(await it.caller(it.secret), TokenCreate(name="x", scopes=scopes))
        assert code_of(caught) == "invalid"


async def test_members_see_and_revoke_only_their_own_tokens(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        mia = await it.caller(await it.member())
        admin = await it.caller(it.secret)
        assert [t.user_id for t in (await it.app.people.tokens.list(mia, 100, "")).items] == [mia.user_id]
        assert len((await it.app.people.tokens.list(admin, 100, "")).items) == 2
        with pytest.raises(SteadError) as caught:
            await it.app.people.tokens.revoke(mia, admin.credential_id)
        assert code_of(caught) == "not_found"
        await it.app.people.tokens.revoke(admin, mia.credential_id)


async def test_a_login_code_works_once(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        code = await it.app.people.logins.issue(it.user.id)
        entry = await it.app.people.logins.redeem(code)
        assert (await it.app.people.identities.of_cookie(entry.secret)).caller.via == "session"
        for bad in (code, "steadl_nonsense", ""):
            with pytest.raises(SteadError) as caught:
                await it.app.people.logins.redeem(bad)
            assert code_of(caught) == "unauthenticated"


async def test_a_new_login_code_voids_the_one_before(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        first = await it.app.people.logins.issue(it.user.id)
        second = await it.app.people.logins.issue(it.user.id)
        with pytest.raises(SteadError):
            await it.app.people.logins.redeem(first)
        entry = await it.app.people.logins.redeem(second, "laptop")
        assert (await it.caller(entry.secret)).name == "admin"


async def test_a_login_code_grows_old(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"login_seconds": 0.001}) as it:
        code = await it.app.people.logins.issue(it.user.id)
        await anyio.sleep(0.01)
        with pytest.raises(SteadError, match="too old"):
            await it.app.people.logins.redeem(code)


async def test_a_disabled_user_has_no_way_in(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        secret = await it.member()
        mia = await it.caller(secret)
        code = await it.app.people.logins.issue(mia.user_id)
        await it.app.people.users.patch(admin, mia.user_id, UserPatch(disabled=True), None)
        assert await refused(it, secret) == "unauthenticated"
        with pytest.raises(SteadError):
            await it.app.people.logins.redeem(code)


async def test_a_removed_user_is_gone_with_all_credentials(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        secret = await it.member()
        await it.app.people.users.remove(admin, "mia")
        assert await refused(it, secret) == "unauthenticated"
        assert [user.name for user in (await it.app.people.users.list(admin, 10, "")).items] == ["admin"]


async def test_a_user_with_workspaces_stays(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        secret = await it.member()
        await it.workspace(secret=secret)
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.remove(await it.caller(it.secret), "mia")
        assert code_of(caught) == "conflict"


async def test_the_last_administrator_stays(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        for change in (UserPatch(role="member"), UserPatch(disabled=True)):
            with pytest.raises(SteadError) as caught:
                await it.app.people.users.patch(admin, admin.user_id, change, None)
            assert code_of(caught) == "conflict"
        with pytest.raises(SteadError):
            await it.app.people.users.remove(admin, admin.user_id)
        await it.app.people.users.create(admin, UserCreate(name="second", role="admin"))
        assert (await it.app.people.users.patch(admin, admin.user_id, UserPatch(role="member"), 1)).role == "member"


async def test_two_editors_of_a_user(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        await it.member()
        await it.app.people.users.patch(admin, "mia", UserPatch(disabled=True), 1)
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.patch(admin, "mia", UserPatch(disabled=False), 1)
        assert code_of(caught) == "precondition_failed"


@pytest.mark.parametrize("name, role, code", [("Mia", "member", "invalid"), ("mia", "king", "invalid")])
async def test_bad_users_are_refused(tmp_path: Path, name: str, role: str, code: str) -> None:
    async with face(tmp_path) as it:
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.create(await it.caller(it.secret), UserCreate(name=name, role=role))
        assert code_of(caught) == code


async def test_names_of_users_are_unique(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        with pytest.raises(SteadError) as caught:
            await it.app.people.users.create(await it.caller(it.secret), UserCreate(name="admin"))
        assert code_of(caught) == "already_exists"


async def test_the_machines_own_token_is_renewed_and_hidden(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        first = await it.app.people.tokens.renew_local(it.user.id)
        second = await it.app.people.tokens.renew_local(it.user.id)
        assert await refused(it, first) == "unauthenticated"
        caller = await it.caller(second)
        listed = (await it.app.people.tokens.list(caller, 100, "")).items
        assert caller.credential_id not in [token.id for token in listed]


async def test_last_use_is_written_now_and_then(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        caller = await it.caller(it.secret)
        used = it.app.people.identities.take_used()
        assert set(used) == {caller.credential_id}
        await it.caller(it.secret)
        assert it.app.people.identities.take_used() == {}


async def test_tickets_work_once_and_not_for_long(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        known = await it.known(it.secret)
        now = 100.0
        tickets = Tickets(40.0, lambda: now)
        first, second, third = (tickets.issue(known) for _ in range(3))
        assert tickets.redeem(first.ticket) == known
        with pytest.raises(SteadError):
            tickets.redeem(first.ticket)
        now = 139.9
        assert tickets.redeem(second.ticket) == known
        now = 140.1
        with pytest.raises(SteadError):
            tickets.redeem(third.ticket)


async def test_a_revocation_voids_tickets(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        known: Known = await it.known(await it.token("*"))
        ticket = it.app.people.tickets.issue(known)
        await it.app.people.tokens.revoke(known.caller, known.caller.credential_id)
        with pytest.raises(SteadError):
            it.app.people.tickets.redeem(ticket.ticket)


async def test_what_begins_to_live_is_looked_up_again(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        identities = it.app.people.identities
        for known in (await it.known(it.secret), await it.known(await it.member())):
            await identities.confirm(known)
        session = await it.app.people.logins.redeem(await it.app.people.logins.issue(it.user.id))
        known = await identities.of_cookie(session.secret)
        await identities.confirm(known)
        await it.app.people.sessions.end(known.caller, known.caller.credential_id)
        with pytest.raises(SteadError):
            await identities.confirm(known)
