"""Origins: what is the same, and what is refused."""

import pytest

from stead.control.people.origins import Origins
from stead.protocol.errors import SteadError


@pytest.mark.parametrize(
    "origin", ["https://stead.example", "https://STEAD.example:443", "HTTPS://stead.example", "http://127.0.0.1:7300"]
)
def test_allowed(origin: str) -> None:
    Origins(["https://stead.example", "http://127.0.0.1:7300"]).check(origin, by_cookie=True)


@pytest.mark.parametrize(
    "origin",
    ["http://stead.example", "https://stead.example:444", "https://stead.example.evil", "null", "", "https://x:y:z"],
)
def test_refused(origin: str) -> None:
    with pytest.raises(SteadError) as caught:
        Origins(["https://stead.example"]).check(origin, by_cookie=False)
    assert caught.value.code == "origin_refused"


def test_a_browser_session_must_name_its_page() -> None:
    origins = Origins([])
    origins.check(None, by_cookie=False)
    with pytest.raises(SteadError):
        origins.check(None, by_cookie=True)
    origins.allow("http://localhost:1")
    origins.check("http://localhost:1", by_cookie=True)
