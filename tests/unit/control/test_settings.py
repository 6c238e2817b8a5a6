"""Settings: where they come from, and that every mistake is told at once."""

from pathlib import Path

import pytest

from stead.control.settings import ServerSettings, SettingsError, is_loopback, load, variables


def test_the_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "stead.toml"
    file.write_text('port = 1\nhost = "127.0.0.2"\nlog_level = "error"\n[limits]\nlinks = 3\n[node]\nname = "a"\n')
    environment = {"STEAD_PORT": "2", "STEAD_HOST": "127.0.0.3", "STEAD_NODE_LABELS": "gpu=yes,zone=a", "OTHER": "x"}
    settings = load(file, environment, {"port": 3, "mode": None})
    assert (settings.port, settings.host, settings.log_level) == (3, "127.0.0.3", "error")
    assert (settings.limits.links, settings.node.name) == (3, "a")
    assert settings.node.labels == {"gpu": "yes", "zone": "a"}
    assert settings.mode == "local"


def test_every_mistake_at_once(tmp_path: Path) -> None:
    file = tmp_path / "stead.toml"
    file.write_text('host = "0.0.0.0"\nbogus = 1\nport = 99999\n[limits]\nlinks = 0\nnothing = 1\n')
    environment = {"STEAD_LOG_LEVEL": "loud", "STEAD_NODE_LABELS": "a", "STEAD_NODE_OPTIONS": "scripted=1"}
    with pytest.raises(SettingsError) as caught:
        load(file, environment, {"tls_key": "/nowhere", "allowed_origins": ["http://x/path"]})
    told = str(caught.value)
    for word in ("bogus", "port", "limits.links", "limits.nothing", "STEAD_LOG_LEVEL", "STEAD_NODE_LABELS", "tls_key"):
        assert word in told
    for word in ("both or neither", "behind_proxy", "origin", "STEAD_NODE_OPTIONS: can only be set in the file"):
        assert word in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_beyond_loopback_needs_tls_or_a_statement(host: str) -> None:
    with pytest.raises(SettingsError, match="behind_proxy"):
        load(None, {}, {"host": host})
    assert load(None, {}, {"host": host, "behind_proxy": True}).secure


def test_tls_files_allow_any_address(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("x")
    flags = {"host": "0.0.0.0", "tls_certificate": str(tmp_path / "cert"), "tls_key": str(tmp_path / "key")}
    assert load(None, {}, flags).secure


def test_a_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        load(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("= nonsense")
    with pytest.raises(SettingsError, match=r"bad\.toml"):
        load(tmp_path / "bad.toml")


def test_only_postgresql_urls() -> None:
    with pytest.raises(SettingsError, match="postgresql://"):
        load(None, {"STEAD_DATABASE_URL": "mysql://x"})


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "nowhere"))


def test_every_setting_has_a_variable() -> None:
    names = variables()
    assert names["limits.links"] == "STEAD_LIMITS_LINKS"
    assert set(ServerSettings.__struct_fields__) - {"node", "limits"} <= set(names)
