"""One stream end: ends, resets, credit, acknowledgement of the end, resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from stead.protocol.errors import SteadError
from stead.protocol.flow import BULK_WINDOW, WINDOW
from stead.protocol.frames import BULK_BYTES, CONSUMED, PAYLOAD_BYTES, TERMINAL_BYTES, Frame, FrameKind
from stead.protocol.stream import StreamEnd, frame_kind


def move(source: StreamEnd, target: StreamEnd, most: int = 10_000) -> int:
    """Delivers what one end has to send."""
    count = 0
    while count < most and (frame := source.next_frame()) is not None:
        target.frame(Frame.decode(frame.encode()))
        count += 1
    return count


def settle(a: StreamEnd, b: StreamEnd) -> None:
    while move(a, b) + move(b, a):
        pass


def drain(end: StreamEnd) -> bytes:
    data = b""
    while chunk := end.take():
        data += chunk
    return data


def ends() -> tuple[StreamEnd, StreamEnd]:
    return StreamEnd("st_1"), StreamEnd("st_1")


def test_bytes_and_results_arrive_in_both_directions_and_both_ends_know() -> None:
    a, b = ends()
    a.write(b"question")
    a.end()
    move(a, b)
    assert drain(b) == b"question"
    assert b.at_end
    b.take_end()
    b.write(b"answer")
    b.end(b'{"code":0}')
    settle(a, b)
    assert drain(a) == b"answer"
    assert a.result == b'{"code":0}'
    a.take_end()
    settle(a, b)
    assert a.over
    assert b.over
    assert a.kept == b.kept == 0


def test_an_end_that_nobody_takes_is_acknowledged_once_the_other_direction_is_over() -> None:
    a, b = ends()
    b.write(b"file")
    b.end()
    settle(a, b)
    drain(a)
    a.take_end()
    a.end()
    settle(a, b)
    assert a.over
    assert b.over


def test_a_sender_stops_at_the_window_and_goes_on_with_credit() -> None:
    a, b = ends()
    total = bytes(range(256)) * 4096
    sent = a.write(total)
    assert sent == WINDOW
    assert a.room == 0
    got = b""
    while sent < len(total) or a.kept:
        settle(a, b)
        assert b.waiting <= WINDOW
        got += b.take()
        settle(a, b)
        sent += a.write(total[sent:])
        assert a.kept <= WINDOW
    assert got + drain(b) == total


def test_credit_is_not_told_for_every_byte() -> None:
    a, b = ends()
    for _ in range(100):
        a.write(b"x")
        move(a, b)
        b.take()
        assert b.next_frame() is None


@pytest.mark.parametrize(
    "kind,opener,frame,limit",
    [
        ("terminal", True, FrameKind.TERMINAL_INPUT, TERMINAL_BYTES),
        ("terminal", False, FrameKind.TERMINAL_OUTPUT, TERMINAL_BYTES),
        ("exec", True, FrameKind.DATA, PAYLOAD_BYTES),
    ],
)
def test_bytes_travel_in_the_frames_of_their_kind(kind: str, opener: bool, frame: FrameKind, limit: int) -> None:
    end = StreamEnd("st_1", frame_kind(kind, opener))
    end.write(bytes(100_000))
    first = end.next_frame()
    assert first is not None
    assert (first.kind, len(first.payload)) == (frame, limit)


def test_a_reset_carries_its_error_and_drops_what_waits() -> None:
    a, b = ends()
    a.write(b"half")
    move(a, b)
    a.reset(SteadError("cancelled", "enough", why="test"))
    assert not a.over
    move(a, b)
    assert a.over
    assert b.over
    assert b.fault is not None
    assert (b.fault.code, b.fault.message, b.fault.details) == ("cancelled", "enough", {"why": "test"})
    assert b.take() == b""
    assert b.next_frame() is None
    assert b.room == 0


def test_a_reset_that_cannot_be_read_is_still_a_reset() -> None:
    end = StreamEnd("st_1")
    end.frame(Frame(FrameKind.RESET, "st_1", 0, b"{nonsense"))
    assert end.fault is not None
    assert end.fault.code == "stream_reset"


def test_a_reset_with_huge_details_fits_a_frame() -> None:
    a, b = ends()
    a.reset(SteadError("internal", "m" * 100_000, more="x" * 100_000))
    move(a, b)
    assert b.fault is not None
    assert b.fault.code == "internal"


def test_lost_frames_are_noticed_and_sent_again() -> None:
    a, b = ends()
    data = bytes(range(256)) * 1000
    a.write(data)
    a.end(b'"done"')
    assert a.next_frame() is not None
    move(a, b)
    assert b.gap
    a.suspend()
    assert a.next_frame() is None
    a.resume(b.received)
    b.resume(a.received)
    assert not b.gap
    settle(a, b)
    assert drain(b) == data
    assert b.result == b'"done"'


def test_a_lost_end_is_noticed_as_a_gap_of_what_came_before() -> None:
    a, b = ends()
    a.write(b"lost")
    a.end()
    a.next_frame()
    move(a, b)
    assert b.gap


def test_an_acknowledged_end_is_not_sent_again_and_a_lost_acknowledgement_is() -> None:
    a, b = ends()
    a.end()
    move(a, b)
    b.take_end()
    assert b.next_frame() is not None
    a.resume(0)
    b.resume(0)
    settle(a, b)
    b.resume(0)
    assert not [frame for frame in iter(a.next_frame, None) if frame.kind == FrameKind.END]


def test_an_old_resume_changes_nothing_that_was_acknowledged() -> None:
    a, b = ends()
    a.write(bytes(WINDOW))
    move(a, b)
    drain(b)
    settle(a, b)
    assert a.kept == 0
    a.resume(10)
    assert a.fault is None
    a.write(b"more")
    settle(a, b)
    assert drain(b) == b"more"


def test_an_end_that_lost_bytes_says_which() -> None:
    a, b = ends()
    a.write(b"12345")
    a.resume(9)
    assert a.fault is not None
    assert (a.fault.code, a.fault.details["missing"]) == ("stream_reset", [5, 9])
    move(a, b)
    assert b.fault is not None
    assert b.fault.details["missing"] == [5, 9]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(FrameKind.CREDIT, "st_1", 1 << 40, CONSUMED.pack(6)),
        Frame(FrameKind.CREDIT, "st_1", 1 << 40, b"short"),
        Frame(FrameKind.CREDIT, "st_1", 0, CONSUMED.pack(0)),
        Frame(0x7F, "st_1", 0, b"from a newer peer"),
    ],
)
def test_credit_that_makes_no_sense_and_unknown_kinds_change_nothing(frame: Frame) -> None:
    end = StreamEnd("st_1")
    end.write(b"12345")
    end.frame(frame)
    assert (end.kept, end.room, end.fault) == (5, WINDOW - 5, None)


def test_a_peer_that_grants_without_end_does_not_make_this_side_keep_more() -> None:
    end = StreamEnd("st_1")
    end.frame(Frame(FrameKind.CREDIT, "st_1", 1 << 60, CONSUMED.pack(0)))
    assert end.write(bytes(2 * BULK_WINDOW)) == BULK_WINDOW


def test_a_receiver_that_grants_more_from_the_start_gets_more_at_once() -> None:
    sender, receiver = StreamEnd("st_1"), StreamEnd("st_1", window=BULK_WINDOW)
    assert sender.write(bytes(2 * BULK_WINDOW)) == WINDOW
    granted = receiver.next_frame()
    assert granted is not None
    sender.frame(granted)
    assert sender.write(bytes(2 * BULK_WINDOW)) == BULK_WINDOW - WINDOW
    while (frame := sender.next_frame()) is not None:
        receiver.frame(frame)
    assert receiver.waiting == BULK_WINDOW
    assert not receiver.gap


def largest(source: StreamEnd, target: StreamEnd) -> int:
    """How large the frames are in which some bytes travel."""
    source.write(bytes(WINDOW))
    sizes = []
    while (frame := source.next_frame()) is not None:
        target.frame(Frame.decode(frame.encode()))
        sizes.append(len(frame.payload))
    drain(target)
    move(target, source)
    return max(sizes)


def test_frames_grow_only_where_the_opener_asked_and_every_hop_takes_them() -> None:
    opener, accepted = StreamEnd("st_1", large=True), StreamEnd("st_1")
    assert largest(opener, accepted) == largest(accepted, opener) == PAYLOAD_BYTES
    accepted.admit(100_000)
    assert largest(accepted, opener) == 100_000
    largest(opener, accepted)
    assert largest(opener, accepted) == 100_000
    accepted.admit(1 << 30)
    largest(opener, accepted)
    assert largest(opener, accepted) == largest(accepted, opener) == BULK_BYTES


def test_an_opener_that_did_not_ask_is_told_and_sends_nothing_else() -> None:
    opener, accepted = StreamEnd("st_1"), StreamEnd("st_1")
    accepted.admit(BULK_BYTES)
    largest(opener, accepted)
    assert largest(opener, accepted) == PAYLOAD_BYTES


def test_after_a_loss_frames_are_small_until_the_new_hops_are_known() -> None:
    opener, accepted = StreamEnd("st_1", large=True), StreamEnd("st_1")
    accepted.admit(BULK_BYTES)
    largest(opener, accepted)
    assert largest(opener, accepted) == BULK_BYTES
    opener.suspend()
    accepted.admit(PAYLOAD_BYTES)
    accepted.resume(opener.received)
    opener.resume(accepted.received)
    assert largest(opener, accepted) == largest(accepted, opener) == PAYLOAD_BYTES


def test_a_peer_that_ignores_credit_does_not_fill_this_side() -> None:
    end = StreamEnd("st_1")
    for offset in range(0, 4 * WINDOW, PAYLOAD_BYTES):
        end.frame(Frame(FrameKind.DATA, "st_1", offset, bytes(PAYLOAD_BYTES)))
    assert end.waiting == WINDOW
    assert end.gap


def test_an_oversized_result_is_refused() -> None:
    with pytest.raises(SteadError) as caught:
        StreamEnd("st_1").end(bytes(PAYLOAD_BYTES + 1))
    assert caught.value.code == "too_large"


VECTORS = json.loads((Path(__file__).parents[3] / "protocol" / "vectors" / "streams.json").read_text())["scripts"]


def state(end: StreamEnd) -> dict[str, Any]:
    names = ("received", "waiting", "kept", "room", "gap", "at_end", "over")
    return {name: getattr(end, name) for name in names} | {"fault": end.fault.code if end.fault else ""}


def perform(end: StreamEnd, step: dict[str, Any]) -> None:
    """One step of a shared vector, with what it must answer."""
    data = bytes.fromhex(step.get("hex", "")) + bytes(step.get("zeros", 0))
    match step["do"]:
        case "write":
            assert end.write(data) == step["took"]
        case "frame":
            end.frame(Frame.decode(data))
        case "take":
            taken = end.take()
            assert (len(taken), taken[:16].hex()) == (step["bytes"], step["first"])
        case "take_end":
            end.take_end()
        case "end":
            end.end(step["result"].encode())
        case "reset":
            end.reset(SteadError(step["code"], step["message"]))
        case "suspend":
            end.suspend()
        case "resume":
            end.resume(step["received"])


def sends(end: StreamEnd, expected: list[dict[str, Any]]) -> None:
    """Exactly these frames are sent next."""
    frames = list(iter(end.next_frame, None))
    assert [(f.kind, f.seq, len(f.payload)) for f in frames] == [(f["kind"], f["seq"], f["bytes"]) for f in expected]
    for frame, known in zip(frames, expected, strict=True):
        assert not known["payload"] or frame.payload.hex() == known["payload"]


@pytest.mark.parametrize("script", VECTORS, ids=lambda script: script["name"])
def test_the_shared_vectors_hold(script: dict[str, Any]) -> None:
    end = StreamEnd("st_1")
    for number, step in enumerate(script["steps"]):
        if step["do"] == "send":
            sends(end, step["frames"])
        else:
            perform(end, step)
        assert state(end) == step["state"], f"step {number}: {step['do']}"


def test_credit_after_a_rewind_skips_what_was_consumed() -> None:
    a, b = ends()
    data = bytes(range(200))
    a.write(data)
    frame = a.next_frame()
    assert frame is not None
    a.resume(0)
    b.frame(frame)
    a.frame(Frame(FrameKind.CREDIT, "st_1", WINDOW + 150, CONSUMED.pack(150)))
    again = [frame for frame in iter(a.next_frame, None) if frame.kind == FrameKind.DATA]
    assert [(frame.seq, frame.payload) for frame in again] == [(150, data[150:])]
