"""What the settings say is what the composed control plane does."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from unit.control.face import face

pytestmark = pytest.mark.anyio


async def test_origins_that_are_allowed(tmp_path: Path) -> None:
    names = {"allowed_origins": ["http://pages.test"], "public_url": "https://public.test"}
    async with face(tmp_path, **names) as it:
        for origin, status in (("http://pages.test", 201), ("https://public.test", 201), ("http://evil.test", 403)):
            answer = await it.admin.post("/tickets", headers={"Origin": origin})
            assert answer.status_code == status, (origin, answer.text)


@pytest.mark.parametrize("approve", [False, True])
async def test_new_nodes_wait_where_that_is_wanted(tmp_path: Path, approve: bool) -> None:
    async with face(tmp_path, approve_nodes=approve) as it:
        token = (await it.admin.post("/nodes/tokens", json={})).json()["token"]
        key = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
        body = {"token": token, "name": "one", "public_key": key}
        async with it.client() as nobody:
            made = await nobody.post("/nodes/enrol", json=body)
        assert made.json()["approved"] is not approve, made.text
        status = (await it.admin.get("/nodes/one")).json()["status"]
        assert (status == "pending") is approve


async def test_the_web_app_is_served_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<title>mine</title>")
    async with face(tmp_path, web=str(tmp_path / "mine")) as it, it.client() as nobody:
        page = await nobody.get(str(nobody.base_url).removesuffix("api/v1/"))
        assert "mine" in page.text
