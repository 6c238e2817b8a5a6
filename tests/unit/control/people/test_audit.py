"""The audit log: durable when it says so, bounded, for administrators."""

from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from support.deadline import eventually_async
from unit.control.face import face

pytestmark = pytest.mark.anyio


async def test_a_record_is_durable_when_it_returns(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        audit = it.app.people.audit
        await audit.record(audit.entry(admin, "try", "thing", details={"n": 1}))
        page = await audit.page(admin, "", "thing", "try", "", 10)
        assert [(each.actor, each.outcome, each.details) for each in page.items] == [(admin.user_id, "ok", {"n": 1})]


async def test_what_is_posted_is_written_soon(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        admin = await it.caller(it.secret)
        audit = it.app.people.audit
        for number in range(1200):
            audit.post(audit.entry(admin, "posted", str(number)))

        async def written() -> bool:
            return bool((await audit.page(admin, "", "1199", "posted", "", 10)).items)

        await eventually_async(written, "the entries are written")
        pages, after = 0, ""
        while True:
            page = await audit.page(admin, admin.user_id, "", "posted", after, 500)
            pages += len(page.items)
            if not (after := page.next):
                break
        assert pages == 1200


async def test_a_hostile_entry_holds_up_no_other(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        entry = it.app.people.audit.entry(None, "try", "a\0b\x1b[2J\ud800" + "x" * 1000, "y\0" * 1000)
        assert entry.subject.startswith("a\ufffdb\ufffd[2J\ufffdxx")
        assert entry.outcome.startswith("y\ufffdy")
        assert max(len(entry.subject), len(entry.outcome)) <= 200


async def test_a_stopping_server_still_writes_what_waits(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        it.app.people.audit.post(it.app.people.audit.entry(None, "last", "words"))
    async with face(tmp_path) as it:
        page = await it.app.people.audit.page(await it.caller(it.secret), "", "words", "", "", 10)
        assert len(page.items) == 1


async def test_only_administrators_read_it(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        with pytest.raises(SteadError) as caught:
            await it.app.people.audit.page(await it.caller(await it.member()), "", "", "", "", 10)
        assert caught.value.code == "forbidden"


async def test_nothing_waits_without_bound(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        audit = it.app.people.audit
        entry = audit.entry(None, "flood", "")
        audit._waiting += [entry] * 10_000
        with pytest.raises(SteadError) as caught:
            audit.post(entry)
        assert caught.value.code == "too_many"
        audit._waiting.clear()
