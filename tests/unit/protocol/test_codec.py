"""Text messages: sizes before parsing, typed errors, the request id of what cannot be read."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.protocol import messages as m
from stead.protocol.codec import MESSAGE_BYTES, TYPES, RawAck, decode, decode_as, encode
from stead.protocol.errors import TABLE, Fault, SteadError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def refusal(data: str | bytes) -> SteadError:
    with pytest.raises(SteadError) as caught:
        decode(data)
    return caught.value


def outcome(data: str | bytes) -> str:
    """The code of the error, or nothing."""
    try:
        decode(data)
    except SteadError as error:
        return error.code
    return ""


def test_a_message_survives_the_trip() -> None:
    call = m.Call(request_id="r1", workspace_id="ws_1", method="files.stat", params=msgspec.Raw(b'{"path": "a"}'))
    back = decode(encode(call))
    assert isinstance(back, m.Call)
    assert (back.request_id, back.method, bytes(back.params)) == ("r1", "files.stat", b'{"path": "a"}')


def test_the_result_of_an_ack_stays_undecoded() -> None:
    ack = decode(encode(m.Ack(request_id="r1", ok=True, result={"a": [1, 2]})))
    assert isinstance(ack, RawAck)
    assert bytes(ack.result) == b'{"a":[1,2]}'


def test_every_message_of_the_union_can_arrive() -> None:
    tags = {kind.__struct_config__.tag for kind in m.AnyMessage.__args__}
    assert tags == TYPES


def test_unknown_fields_are_ignored() -> None:
    assert isinstance(decode('{"type":"link.ping","request_id":"a","schema_version":"1","new":[1]}'), m.Ping)


@pytest.mark.parametrize(
    "text,code",
    [
        ('{"type":"call","request_id":"q7","workspace_id":1}', "malformed"),
        ('{"type":"call","request_id":"q7"}', "malformed"),
        ('{"type":"no.such","request_id":"q7"}', "method_not_found"),
        ('{"type":"link.ping","request_id":"q7","schema_version":"2"}', "version_unsupported"),
        ('{"type":3,"request_id":"q7"}', "malformed"),
        ('{"request_id":"q7"}', "malformed"),
    ],
)
def test_what_is_wrong_is_said_with_the_request_id(text: str, code: str) -> None:
    error = refusal(text)
    assert error.code == code
    assert error.details["request_id"] == "q7"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", '{"request_id": 5}', '"' + "x" * 100, "[" * 5000, b"\xff\xfe"]
)
def test_nonsense_without_a_request_id_is_malformed(text: str | bytes) -> None:
    error = refusal(text)
    assert error.code == "malformed"
    assert "request_id" not in error.details


def test_an_overlong_request_id_is_not_echoed() -> None:
    assert "request_id" not in refusal('{"type":"call","request_id":"' + "x" * 1000 + '"}').details


@pytest.mark.parametrize("filler", ["x", "é", "😀"])
def test_size_is_counted_in_bytes_before_parsing(filler: str) -> None:
    too_long = "{" + filler * (MESSAGE_BYTES // len(filler.encode()) + 1)
    assert refusal(too_long).code == "too_large"
    assert refusal(too_long.encode()).code == "too_large"


def test_what_is_too_large_or_has_no_json_form_is_not_sent() -> None:
    for result, code in (("x" * MESSAGE_BYTES, "too_large"), (object(), "invalid")):
        with pytest.raises(SteadError) as caught:
            encode(m.Ack(request_id="r", ok=True, result=result))
        assert caught.value.code == code


@given(st.text(max_size=200) | json_values.map(lambda value: msgspec.json.encode(value).decode()))
def test_any_text_is_a_message_or_a_typed_error(text: str) -> None:
    assert outcome(text) in {"", "malformed", "method_not_found", "version_unsupported"}


@given(st.sampled_from(sorted(TYPES)), st.dictionaries(st.text(max_size=12), json_values, max_size=5))
def test_any_object_with_a_known_type_is_a_message_or_a_typed_error(kind: str, fields: dict[str, object]) -> None:
    assert outcome(msgspec.json.encode(fields | {"type": kind})) in {"", "malformed", "version_unsupported"}


def test_faults_keep_codes_this_side_does_not_know() -> None:
    error = SteadError.of(Fault("from_the_future", "?"))
    assert error.code == "from_the_future"
    assert error.row is TABLE["internal"]


def test_other_json_is_what_is_asked_for_or_a_typed_error() -> None:
    asked = msgspec.json.Decoder(dict[str, int])
    assert decode_as(asked, b'{"a":1}', "it") == {"a": 1}
    for data, code in ((b"[]", "invalid"), (b'{"a":""}', "invalid"), (b"", "malformed"), (b"{", "malformed")):
        with pytest.raises(SteadError, match=r"^it: ") as caught:
            decode_as(asked, data, "it")
        assert caught.value.code == code


def test_params_that_were_left_out_are_an_empty_object() -> None:
    call = decode('{"type":"call","request_id":"r","workspace_id":"w","method":"m"}')
    assert isinstance(call, m.Call)
    assert bytes(call.params) == b"{}"
