"""The drivers a node knows, by name.

Contract: `known()` names them; `make(name, ...)` builds one, importing its library only then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from stead.drivers.contract import Driver
from stead.drivers.observer import Observer
from stead.protocol.errors import SteadError

T = TypeVar("T")


class DriverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells its drivers; `options` are those of one driver by its name."""

    state: Path
    hidden: tuple[Path, ...] = ()
    environment: dict[str, str] = {}
    options: dict[str, dict[str, object]] = {}


def known() -> tuple[str, ...]:
    return ("process", "scripted")


def make(name: str, settings: DriverSettings, observer: Observer | None = None) -> Driver:
    """The driver of this name."""
    if name == "process":
        return _process(settings, observer)
    if name == "scripted":
        return _scripted(settings, observer)
    raise SteadError("invalid", f"no driver is called {name!r}; there are: {', '.join(known())}")


def _process(settings: DriverSettings, observer: Observer | None) -> Driver:
    from stead.drivers.process.driver import ProcessDriver, ProcessSettings

    fixed = {"state": settings.state, "hidden": settings.hidden, "environment": settings.environment}
    return ProcessDriver(_options(settings, "process", ProcessSettings, fixed), observer)


def _scripted(settings: DriverSettings, observer: Observer | None) -> Driver:
    from stead.drivers.scripted.driver import ScriptedDriver
    from stead.drivers.scripted.script import Script

    return ScriptedDriver(settings.state, _options(settings, "scripted", Script, {}), observer)


def _options(settings: DriverSettings, name: str, kind: type[T], fixed: dict[str, object]) -> T:
    try:
        return msgspec.convert(settings.options.get(name, {}) | fixed, kind)
    except msgspec.ValidationError as error:
        raise SteadError("invalid", f"options of driver {name}: {error}") from error
