"""Settings come from file, environment and flags, and every mistake is told at once."""

from pathlib import Path

import pytest

from stead.node.settings import load
from stead.protocol.errors import SteadError


def test_the_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'url = "https://one"\nname = "file"\nat_once = 3\n[labels]\nzone = "a"\n[options.scripted]\nseed = 7\n'
    )
    loaded = load(file, {"STEAD_NODE_NAME": "env", "STEAD_NODE_DRIVERS": "process, scripted"}, {"url": "http://two:1"})
    assert (loaded.url, loaded.name, loaded.at_once) == ("http://two:1", "env", 3)
    assert loaded.labels == {"zone": "a"}
    assert loaded.drivers == ["process", "scripted"]
    assert loaded.options == {"scripted": {"seed": 7}}
    assert loaded.link_url == "ws://two:1/api/v1/nodes/connect"
    assert load(file).link_url == "wss://one/api/v1/nodes/connect"
    assert load(file).enrol_url == "https://one/api/v1/nodes/enrol"


def test_every_mistake_at_once(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('url = "ftp://user:pw@one"\nat_once = 0\nnonsense = 1\ndrivers = ["warp"]\n')
    with pytest.raises(SteadError) as caught:
        load(file, {"STEAD_NODE_LABELS": "x", "STEAD_NODE_STOP_GRACE": "soon"})
    for word in (
        "url: must be http",
        "credentials",
        "at_once",
        "nonsense",
        "'warp'",
        "STEAD_NODE_LABELS",
        "stop_grace",
    ):
        assert word in caught.value.message
    assert "pw@" not in caught.value.message


@pytest.mark.parametrize("text", ["not = = toml", "\xff"])
def test_a_file_that_is_no_toml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SteadError, match=r"node\.toml"):
        load(file)


def test_a_missing_file_and_a_missing_url(tmp_path: Path) -> None:
    with pytest.raises(SteadError) as caught:
        load(tmp_path / "none.toml")
    assert "No such file" in caught.value.message
    assert "url: is missing" in caught.value.message
