"""The local, the scripted and the remote toolbox (over a real guest's link) behave the same."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from stead.sdk.remote import RemoteToolbox
from stead.toolbox import behaviour
from stead.toolbox.confine import Root
from stead.toolbox.contract import Info, Toolbox
from stead.toolbox.execs import Execs
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.scripted import Script, ScriptedToolbox
from support.areas import PROGRAMS
from support.behaviours import holds
from support.guests import WORKSPACE, GuestProcess

pytestmark = pytest.mark.anyio


def _scripted(root: Root, execs: Execs, info: Info, environment: Mapping[str, str]) -> ScriptedToolbox:
    return ScriptedToolbox(root, execs, info, environment, Script(latency=0.001, jitter=0.5, seed=7))


@pytest.fixture(scope="module", params=["local", "scripted"])
async def toolbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Toolbox]:
    place: Path = tmp_path_factory.mktemp("toolbox")
    (place / "root").mkdir()
    make = LocalToolbox if request.param == "local" else _scripted
    async with opened(place / "root", place / "run", make=make, environment={"PATH": PROGRAMS}) as found:
        yield found


@pytest.fixture(scope="module")
async def remote(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Toolbox]:
    with GuestProcess(tmp_path_factory.mktemp("guest"), environment={"PATH": PROGRAMS}) as guest:
        async with guest.linked() as client:
            yield RemoteToolbox(client, WORKSPACE)


@pytest.mark.parametrize("name", behaviour.CHECKS)
async def test_remote(remote: Toolbox, name: str) -> None:
    await holds(remote, name)


@pytest.mark.parametrize("name", behaviour.CHECKS)
async def test_behaviour(toolbox: Toolbox, name: str) -> None:
    await holds(toolbox, name)
