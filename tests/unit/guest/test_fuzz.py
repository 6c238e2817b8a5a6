"""Every call and stream with every kind of wrong params: a typed error or a result, and the guest goes on."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.guest.attendance import Attendance
from stead.guest.calls import Calls
from stead.protocol.errors import TABLE, SteadError
from stead.protocol.messages import Call
from stead.protocol.methods import CALLS, STREAMS
from stead.toolbox import areas, contract
from stead.toolbox.local import LocalToolbox, opened
from stead.toolbox.system.contract import ReadLog
from stead.toolbox.trees.contract import ReadTree, WriteTree
from stead.toolbox.watch.contract import WatchFiles
from support.deadline import PATIENCE
from support.guests import WORKSPACE, Client, GuestProcess

pytestmark = pytest.mark.anyio

HOSTILE = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "../../../../etc/shadow",
    "a\0b",
    "x" * 10_000,
    "d/" * 3000,
    "\u202e\U0001f600",
    "-rf",
    "~",
    "$(id)",
    "%00",
    "\\",
    "new\nline",
    "/proc/self/root/etc/passwd",
    "/dev/zero",
]
TEXT = st.sampled_from(HOSTILE) | st.text(max_size=20)
NUMBER = (
    st.sampled_from([0, 1, -1, 1 << 31, 1 << 63, 1 << 64, -(1 << 63)])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS: dict[str, type[contract.Params]] = {
    "workspace.info": contract.Params,
    "files.read": contract.ReadFile,
    "files.list": contract.ListFiles,
    "files.stat": contract.Path,
    "files.write": contract.WriteFile,
    "files.append": contract.WriteFile,
    "files.mkdir": contract.MakeDirectory,
    "files.delete": contract.Delete,
    "files.move": contract.Move,
    "exec.run": contract.Exec,
    "exec.list": contract.Params,
    "exec.show": contract.ExecId,
    "exec.kill": contract.Kill,
    "exec": contract.Exec,
    "exec.attach": contract.Attach,
    "file.read": contract.ReadStream,
    "file.write": contract.WriteStream,
    "log.follow": ReadLog,
    "tree.read": ReadTree,
    "tree.write": WriteTree,
    "watch": WatchFiles,
} | {name: operation.params for name in CALLS if (operation := areas.find(name)) is not None}


def test_nothing_is_left_out() -> None:
    assert set(FIELDS) == {*CALLS, *STREAMS}


def _params(method: str) -> st.SearchStrategy[dict[str, Any]]:
    """Right names with wrong values, and now and then a wrong name. Execs never run anything but `true`, and whatever might
    by chance be the name of a package or of a service of this machine is left out."""
    names = list(FIELDS[method].__struct_fields__)
    fields = st.dictionaries(st.sampled_from([*names, "other"]) if names else st.just("other"), VALUE)
    if method in {"exec.run", "exec"}:
        return fields.map(lambda found: found | {"argv": ["true"], "shell": False, "stdin": False})
    if method in {"system.install_packages", "system.remove_packages", "system.control_service"}:
        return fields.map(lambda found: {key: value for key, value in found.items() if key not in {"name", "names"}})
    return fields


@pytest.fixture(scope="module")
async def toolbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalToolbox]:
    place = tmp_path_factory.mktemp("fuzz")
    (place / "root").mkdir()
    async with opened(place / "root", place / "run") as found:
        yield found


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    with GuestProcess(tmp_path_factory.mktemp("guest")) as guest:
        async with guest.linked() as found:
            yield found


@pytest.mark.parametrize("method", CALLS)
async def test_calls(toolbox: LocalToolbox, method: str) -> None:
    calls = Calls(toolbox, Attendance(60, toolbox.show, toolbox.cancel))
    examples: list[dict[str, Any]] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(params=_params(method))
    def gather(params: dict[str, Any]) -> None:
        examples.append(params)

    gather()
    for params in examples:
        with anyio.fail_after(PATIENCE):
            try:
                msgspec.json.encode(await calls.answer(method, msgspec.json.encode(params), 10.0))
            except SteadError as error:
                assert error.code in TABLE
                assert error.code != "internal"
    assert (await toolbox.exec(["true"])).status.ok


@pytest.mark.parametrize("kind", STREAMS)
async def test_streams(client: Client, kind: str) -> None:
    examples: list[dict[str, Any]] = []

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(params=_params(kind))
    def gather(params: dict[str, Any]) -> None:
        examples.append(params)

    gather()
    for params in examples:
        with anyio.fail_after(PATIENCE):
            try:
                stream = await client.open(WORKSPACE, kind, params)
                await stream.reset(SteadError("cancelled", "enough"))
            except SteadError as error:
                assert error.code in TABLE
                assert error.code != "internal"
    assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"5",
        b"null",
        b'"x"',
        b'{"path": "\\ud800"}',
        b'{"path": "\xff\xfe"}',
        b'{"path": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"path": 1e400}',
        b'{"path": "a", "path": 5}',
    ],
)
async def test_params_that_are_no_params(toolbox: LocalToolbox, raw: bytes) -> None:
    calls = Calls(toolbox, Attendance(60, toolbox.show, toolbox.cancel))
    for method in CALLS:
        with pytest.raises(SteadError) as found:
            await calls.answer(method, raw, 10.0)
        assert found.value.code in {"invalid", "malformed"}


async def test_params_over_the_link_that_are_no_params(client: Client) -> None:
    assert client.peer is not None
    for raw in (b"[]", b"5", b'{"path": [[[[[[]]]]]]}'):
        message = Call(request_id="", workspace_id=WORKSPACE, method="files.read", params=msgspec.Raw(raw))
        with pytest.raises(SteadError) as found:
            await client.peer.request(message)
        assert found.value.code in {"invalid", "malformed"}
    assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0
