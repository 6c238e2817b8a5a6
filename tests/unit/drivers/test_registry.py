"""Drivers by name, and their options: a mistake in them is told, never ignored."""

from pathlib import Path

import pytest

from stead.drivers import registry
from stead.drivers.registry import DriverSettings
from stead.protocol.errors import SteadError


@pytest.mark.parametrize("name", registry.known())
def test_every_known_driver_is_made(tmp_path: Path, name: str) -> None:
    assert registry.make(name, DriverSettings(state=tmp_path)).name == name


@pytest.mark.parametrize("name", registry.known())
def test_an_option_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(SteadError, match=rf"{name}.*nonsense") as caught:
        registry.make(name, DriverSettings(state=tmp_path, options={name: {"nonsense": 1}}))
    assert caught.value.code == "invalid"


@pytest.mark.parametrize("option", [{"fail_rate": 2.0}, {"start_seconds": -1.0}, {"isolation": "magic"}])
def test_an_option_out_of_bounds_is_told(tmp_path: Path, option: dict[str, object]) -> None:
    with pytest.raises(SteadError, match=next(iter(option))):
        registry.make("scripted", DriverSettings(state=tmp_path, options={"scripted": option}))


def test_an_unknown_driver_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SteadError, match="process, scripted"):
        registry.make("magic", DriverSettings(state=tmp_path))
