"""JSON-RPC 2.0 as the specification has it, without any guest."""

import json
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.guest import limiter, rpc
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError

pytestmark = pytest.mark.anyio

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Echo(msgspec.Struct, forbid_unknown_fields=True):
    """Params of the test method."""

    text: str = "nothing"


async def _echo(params: Echo) -> dict[str, str]:
    return {"text": params.text}


async def _refuse(params: Echo) -> None:
    raise SteadError(params.text, "as asked")


async def _wait(params: Echo) -> None:
    await anyio.sleep(3600)


METHODS: rpc.Params = {"echo": (Echo, _echo), "refuse": (Echo, _refuse), "ping": (Echo, _echo), "wait": (Echo, _wait)}


async def _answer(value: object) -> Any:
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    found = await rpc.Rpc(METHODS).answer(line)
    return None if found is None else json.loads(found)


def _request(method: str = "echo", number: object = 1, **more: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "id": number, **more}


async def test_a_request_is_answered_under_its_id() -> None:
    for number in (1, -(1 << 62), "text", "", None):
        assert await _answer(_request(number=number, params={"text": "x"})) == {
            "jsonrpc": "2.0",
            "id": number,
            "result": {"text": "x"},
        }


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"a":',
        b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar"]',
        b"[" * 5000,
    ],
)
async def test_what_is_no_json(line: bytes) -> None:
    found = await _answer(line)
    assert found["error"]["code"] == wire.PARSE
    assert found["id"] is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, None),
        ("x", None),
        (None, None),
        ({}, None),
        ({"jsonrpc": "2.0"}, None),
        ({"jsonrpc": "1.0", "method": "echo", "id": 5}, 5),
        ({"method": "echo", "id": 5}, 5),
        ({"jsonrpc": "2.0", "method": 1, "id": "a"}, "a"),
        ({"jsonrpc": "2.0", "method": "echo", "id": 1.5}, None),
        ({"jsonrpc": "2.0", "method": "echo", "id": [1]}, None),
        ({"jsonrpc": "2.0", "method": "echo", "id": True}, None),
        ([], None),
        ([_request()] * 65, None),
    ],
)
async def test_what_is_no_request(value: object, number: object) -> None:
    found = await _answer(value)
    assert found["error"]["code"] == wire.INVALID_REQUEST
    assert found["id"] == number


async def test_methods_and_params_that_are_wrong() -> None:
    assert (await _answer(_request("nothing")))["error"]["code"] == wire.METHOD_NOT_FOUND
    wrong: list[object] = [{"text": 5}, {"other": "x"}, [], "x", 5]
    for params in wrong:
        assert (await _answer(_request(params=params)))["error"]["code"] == wire.INVALID_PARAMS


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("not_found", -32002),
        ("permission_denied", -32001),
        ("path_outside", -32001),
        ("timeout", -32003),
        ("invalid", -32602),
        ("disk_full", -32000),
        ("internal", -32603),
    ],
)
async def test_our_codes_have_theirs(code: str, number: int) -> None:
    error = (await _answer(_request("refuse", params={"text": code})))["error"]
    assert error == {"code": number, "message": "as asked", "data": {"code": code}}


async def test_notifications_are_never_answered() -> None:
    for method in ("echo", "refuse", "nothing"):
        assert await _answer({"jsonrpc": "2.0", "method": method}) is None
    assert await _answer([{"jsonrpc": "2.0", "method": "echo"}, {"jsonrpc": "2.0", "method": "nothing"}]) is None


def _notification(method: str, *params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": [*params]}


def _codes(found: Any) -> Any:
    """Id and code of each answer; nothing where there is none."""
    if isinstance(found, list):
        return [_codes(each) for each in found]
    return found and (found["id"], found["error"]["code"])


UNKNOWN, INVALID = wire.METHOD_NOT_FOUND, wire.INVALID_REQUEST


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        (_notification("update", 1, 2, 3, 4, 5), None),
        ({"jsonrpc": "2.0", "method": "foobar"}, None),
        (_request("subtract", params=[42, 23]), (1, UNKNOWN)),
        (_request("echo", params=[42, 23]), (1, wire.INVALID_PARAMS)),
        ({"jsonrpc": "2.0", "method": 1, "params": "bar"}, (None, INVALID)),
        ([1, 2, 3], [(None, INVALID)] * 3),
        (
            [
                _request("sum", "1", params=[1, 2, 4]),
                _notification("notify_hello", 7),
                {"foo": "boo"},
                _request("foo.get", "5", params={"name": "myself"}),
            ],
            [("1", UNKNOWN), (None, INVALID), ("5", UNKNOWN)],
        ),
        ([_notification("notify_sum", 1, 2, 4), _notification("notify_hello", 7)], None),
    ],
)
async def test_examples_of_the_specification(value: object, answers: object) -> None:
    """Our methods take params by name only; what gives them by position is a request or a notification all the same."""
    assert _codes(await _answer(value)) == answers


async def test_a_batch_is_answered_as_one() -> None:
    batch = [_request(number=1), {"jsonrpc": "2.0", "method": "echo"}, 5, _request("nothing", number=2), {"foo": "boo"}]
    found = await _answer(batch)
    assert [(each["id"], each.get("error", {}).get("code")) for each in found] == [
        (1, None),
        (None, wire.INVALID_REQUEST),
        (2, wire.METHOD_NOT_FOUND),
        (None, wire.INVALID_REQUEST),
    ]


async def test_no_answer_is_longer_than_a_line() -> None:
    found = await rpc.Rpc({"big": (Echo, _big)}).answer(json.dumps(_request("big")).encode())
    assert found is not None
    assert len(found) < wire.LINE_BYTES
    assert json.loads(found)["error"]["data"] == {"code": "too_large"}
    batch = json.dumps([_request("half", number) for number in range(3)]).encode()
    found = await rpc.Rpc({"half": (Echo, _half)}).answer(batch)
    assert found is not None
    assert len(found) < wire.LINE_BYTES
    assert {each["error"]["data"]["code"] for each in json.loads(found)} == {"too_large"}


async def _big(params: Echo) -> str:
    return "x" * wire.LINE_BYTES


async def _half(params: Echo) -> str:
    return "x" * (wire.LINE_BYTES // 2)


async def test_only_so_many_at_once_but_a_ping_always() -> None:
    server = rpc.Rpc(METHODS)
    async with anyio.create_task_group() as group:
        for number in range(limiter.CONCURRENT):
            group.start_soon(server.answer, json.dumps(_request("wait", number)).encode())
        await anyio.wait_all_tasks_blocked()
        refused = json.loads(await server.answer(json.dumps(_request()).encode()) or b"")
        assert refused["error"]["data"] == {"code": "too_many"}
        assert "result" in json.loads(await server.answer(json.dumps(_request("ping")).encode()) or b"")
        group.cancel_scope.cancel()
    assert server.running == 0


@given(value=JSON)
def test_any_json_is_answered_or_a_notification(value: object) -> None:
    line = json.dumps(value).encode()
    found = anyio.run(rpc.Rpc(METHODS).answer, line)
    assert found is None or json.loads(found)


@given(line=st.binary(max_size=200))
def test_any_bytes_are_answered(line: bytes) -> None:
    found = anyio.run(rpc.Rpc(METHODS).answer, line)
    assert found is not None
    assert b"\n" not in found
