"""Which control plane and which credential: what wins over what."""

import stat
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.sdk import config
from stead.sdk.config import Login


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def local(environ: dict[str, str], folder: str = ".local/share/stead", port: int = 7300) -> Path:
    data = Path(environ["HOME"]) / folder
    data.mkdir(parents=True)
    (data / "server.json").write_text(f'{{"url": "http://127.0.0.1:{port}", "pid": 1}}')
    (data / "cli.token").write_text("stead_local\n")
    return data


def test_without_anything_it_is_the_default_address_and_no_credential(environ: dict[str, str]) -> None:
    found = config.resolve(environ=environ)
    assert (found.url, found.token) == (config.DEFAULT_URL, "")


def test_the_server_of_this_machine_needs_no_login(environ: dict[str, str]) -> None:
    local(environ)
    found = config.resolve(environ=environ)
    assert (found.url, found.token) == ("http://127.0.0.1:7300", "stead_local")


def test_a_saved_login_wins_over_the_local_server(environ: dict[str, str]) -> None:
    local(environ)
    config.save_login("https://far.example", Login(token="stead_far", user="ada"), environ)
    found = config.resolve(environ=environ)
    assert (found.url, found.token, found.source) == ("https://far.example", "stead_far", "saved login")


def test_a_named_data_directory_wins_over_a_saved_login(environ: dict[str, str]) -> None:
    config.save_login("https://far.example", Login(token="stead_far"), environ)
    data = local(environ, "other", 7301)
    assert config.resolve(environ=environ | {"STEAD_DATA": str(data)}).url == "http://127.0.0.1:7301"
    assert config.resolve(data=data, environ=environ).token == "stead_local"


def test_the_environment_wins_over_files_and_arguments_over_the_environment(environ: dict[str, str]) -> None:
    local(environ)
    environ |= {"STEAD_URL": "https://env.example", "STEAD_TOKEN": "stead_env"}
    assert config.resolve(environ=environ).token == "stead_env"
    found = config.resolve("https://arg.example", "stead_arg", environ=environ)
    assert (found.url, found.token) == ("https://arg.example", "stead_arg")


def test_a_token_of_one_address_is_never_used_for_another(environ: dict[str, str]) -> None:
    local(environ)
    config.save_login("https://far.example", Login(token="stead_far"), environ)
    assert config.resolve("https://evil.example", environ=environ).token == ""
    assert config.resolve("https://far.example", environ=environ).token == "stead_far"
    assert config.resolve("http://127.0.0.1:7300/", environ=environ).token == "stead_local"


def test_logins_are_private_and_can_be_forgotten(environ: dict[str, str]) -> None:
    path = config.save_login("https://far.example", Login(token="stead_far"), environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config.forget_login("https://far.example", environ)
    assert not config.forget_login("https://far.example", environ)
    assert config.resolve(environ=environ).token == ""


def test_a_broken_file_is_an_error_that_names_it(environ: dict[str, str]) -> None:
    path = config.login_file(environ)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(SteadError, match=r"logins\.json") as caught:
        config.resolve(environ=environ)
    assert caught.value.code == "invalid"


@pytest.mark.parametrize(
    "given, url",
    [
        ("127.0.0.1:7300", "http://127.0.0.1:7300"),
        ("https://stead.example/", "https://stead.example"),
        ("http://[::1]:7300", "http://[::1]:7300"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://example.org/stead/", "https://example.org/stead"),
    ],
)
def test_addresses_have_one_form(given: str, url: str) -> None:
    assert config.check_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "ftp://x",
        "http://",
        "http://a:b@x",
        "http://x?token=1",
        "http://x#y",
        "http://x:99999",
        "http://x:y",
        "http://a..b",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(SteadError) as caught:
        config.check_url(given)
    assert caught.value.code == "invalid"
