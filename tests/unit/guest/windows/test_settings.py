"""The configuration as Windows has it."""

import json
from pathlib import Path

import pytest

from stead.guest.windows import settings
from stead.protocol.errors import SteadError


def _file(place: Path, **fields: object) -> Path:
    file = place / "guest.json"
    file.write_text(json.dumps(fields))
    return file


def test_places_are_those_of_windows(tmp_path: Path) -> None:
    security = {"allowed_read_paths": ["C:\\Logs", "d:/data"], "allowed_write_paths": ["C:\\Temp"]}
    policy = settings.read(_file(tmp_path, security=security)).policy()
    assert policy is not None
    assert policy.read_paths == ("C:\\Logs", "d:/data")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"security": {"allowed_read_paths": ["/var/log"], "allowed_write_paths": []}}, "/var/log"),
        ({"security": {"allowed_read_paths": [], "allowed_write_paths": ["C:\\a\\..\\b"]}}, ".."),
        ({"security": None, "root": "/srv"}, "root"),
        ({"security": None, "run": "/run/x"}, "run"),
        ({"security": None, "name": "x"}, "name"),
        ({"security": None, "log_level": "loud"}, "log_level"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_wrong_stops_the_start(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(SteadError, match=words.replace(".", "\\.")) as caught:
        settings.read(_file(tmp_path, **fields))
    assert caught.value.code == "invalid"


def test_without_a_file_only_the_system_restricts() -> None:
    assert settings.read(None).policy() is None
