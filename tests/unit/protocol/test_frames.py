"""The binary frame: any valid frame survives the trip, anything else is a typed error."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.protocol.errors import SteadError
from stead.protocol.frames import FRAME_BYTES, ID_BYTES, SEQ_LIMIT, Frame, FrameKind, payload_limit

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "frames.json"

stream_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=16)
frames = st.builds(
    Frame,
    kind=st.integers(0, 255),
    stream_id=stream_ids,
    seq=st.integers(0, SEQ_LIMIT - 1),
    payload=st.binary(max_size=300),
)


def again(data: bytes) -> bytes:
    """Decoded and encoded, or the code of the error."""
    try:
        return Frame.decode(data).encode()
    except SteadError as error:
        return error.code.encode()


@given(frames)
def test_a_frame_survives_the_trip(frame: Frame) -> None:
    assert Frame.decode(frame.encode()) == frame


@given(st.binary(max_size=400))
def test_any_bytes_are_a_frame_or_a_typed_error(data: bytes) -> None:
    assert again(data) in {data, b"malformed", b"too_large"}


def test_the_layout_is_the_documented_one() -> None:
    data = Frame(FrameKind.TERMINAL_OUTPUT, "st_1", 258, b"hi").encode()
    assert data == b"\x01\x04st_1" + b"\x00\x00\x00\x00\x00\x00\x01\x02" + b"hi"


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 99])
def test_the_payload_limit_holds_both_ways(kind: int) -> None:
    limit = payload_limit(kind)
    exact = Frame(kind, "s", 0, bytes(limit)).encode()
    assert len(Frame.decode(exact).payload) == limit
    for attempt in (lambda: Frame(kind, "s", 0, bytes(limit + 1)).encode(), lambda: Frame.decode(exact + b"\0")):
        with pytest.raises(SteadError) as caught:
            attempt()
        assert caught.value.code == "too_large"


def test_huge_input_is_refused_by_its_size_alone() -> None:
    with pytest.raises(SteadError) as caught:
        Frame.decode(bytes(FRAME_BYTES + 1))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "frame",
    [
        Frame(3, "", 0),
        Frame(3, "x" * (ID_BYTES + 1), 0),
        Frame(256, "s", 0),
        Frame(3, "s", -1),
        Frame(3, "s", SEQ_LIMIT),
    ],
)
def test_fields_outside_their_limits_are_not_encoded(frame: Frame) -> None:
    with pytest.raises(SteadError) as caught:
        frame.encode()
    assert caught.value.code == "invalid"


def test_the_id_can_be_swapped() -> None:
    frame = Frame(3, "near", 7, b"payload")
    assert frame.renamed("far") == Frame(3, "far", 7, b"payload")
    assert frame.renamed("near") is frame


def test_the_shared_vectors_hold() -> None:
    vectors = json.loads(VECTORS.read_text())
    for good in vectors["frames"]:
        frame = Frame(good["kind"], good["stream_id"], int(good["seq"]), bytes.fromhex(good["payload"]))
        assert frame.encode().hex() == good["encoded"]
        assert Frame.decode(bytes.fromhex(good["encoded"])) == frame
    for bad in vectors["errors"]:
        with pytest.raises(SteadError) as caught:
            Frame.decode(bytes.fromhex(bad["encoded"]) + bytes(bad.get("zeros", 0)))
        assert caught.value.code == bad["code"]
