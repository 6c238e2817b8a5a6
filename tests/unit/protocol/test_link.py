"""A link's lanes, turns, windows and deadlines."""

from stead.protocol.connections import whole
from stead.protocol.frames import BULK_BYTES, Frame, FrameKind
from stead.protocol.link import OVERHEAD, Lane, Link, Silence, lane_of


def sent(link: Link, limit: int = 1 << 30) -> list[str]:
    """What a batch holds, as texts and stream ids."""
    return [m if isinstance(m, str) else Frame.decode(m).stream_id for m in link.batch(limit)]


def first_of(link: Link) -> str:
    """The stream of the next frame."""
    message = whole(link.batch(1)[0])
    assert isinstance(message, bytes)
    return Frame.decode(message).stream_id


def data(name: str, size: int = 10, kind: FrameKind = FrameKind.DATA) -> Frame:
    return Frame(kind, name, 0, bytes(size))


def test_lanes_go_before_one_another() -> None:
    link = Link()
    link.post(data("bulk"))
    link.post(data("output", kind=FrameKind.TERMINAL_OUTPUT))
    link.post(data("input", kind=FrameKind.TERMINAL_INPUT))
    link.post(data("credit", 8, FrameKind.CREDIT))
    link.send("text")
    link.send("urgent", first=True)
    assert sent(link) == ["urgent", "credit", "text", "input", "output", "bulk"]
    assert not link.sendable


def test_streams_of_a_lane_take_turns_and_keep_their_own_order() -> None:
    link = Link()
    for number in range(3):
        link.post(Frame(FrameKind.DATA, "a", number))
    link.post(Frame(FrameKind.DATA, "b", 0))
    link.post(Frame(FrameKind.END, "b", 1))
    frames = [Frame.decode(message) for message in link.batch() if isinstance(message, bytes)]
    assert [(f.stream_id, f.seq) for f in frames] == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]


def test_an_echo_waits_for_one_frame_of_each_flooding_stream_at_most() -> None:
    link = Link(queue_bytes=64 << 20, window=64 << 20)
    for _ in range(20):
        for name in ("upload", "download"):
            link.post(data(name, BULK_BYTES))
    for _ in range(10):
        link.post(data("echo", 1))
        before = []
        while (name := first_of(link)) != "echo":
            before.append(name)
        assert len(before) == len(set(before))
    assert link.sendable


def test_an_end_goes_after_the_bytes_of_its_stream() -> None:
    assert lane_of(FrameKind.END) == max(Lane)


def test_the_queue_is_bounded_also_for_empty_frames() -> None:
    link = Link(queue_bytes=10 * OVERHEAD)
    taken = sum(link.post(Frame(FrameKind.END, f"s{number}", 0)) for number in range(100))
    assert taken == 10
    assert link.waiting == 10 * OVERHEAD
    link.batch(1 << 30)
    assert link.waiting == 0


def test_outstanding_payload_is_bounded_and_text_never_waits() -> None:
    link = Link(window=100)
    for name in "abc":
        link.post(data(name, 50))
    assert sent(link) == ["a"]
    link.send("text")
    link.post(data("typed", 50, FrameKind.TERMINAL_INPUT))
    link.post(data("credit", 8, FrameKind.CREDIT))
    assert sent(link) == ["text", "credit", "typed"]
    assert sent(link) == []
    link.credited(100)
    assert sent(link) == ["b"]


def test_bulk_leaves_room_for_what_people_type() -> None:
    link = Link(window=100)
    for number in range(10):
        link.post(data(f"bulk{number}", 25))
    assert len(sent(link)) == 3
    link.post(data("typed", 25, FrameKind.TERMINAL_INPUT))
    assert sent(link) == ["typed"]


def test_credit_that_cannot_be_is_ignored() -> None:
    link = Link(window=100)
    link.post(data("a", 75))
    link.post(data("b", 75))
    link.batch()
    link.credited(1000)
    assert not link.sendable
    link.credited(75)
    assert sent(link) == ["b"]
    link.credited(10)
    assert link.batch() == []


def test_the_receiver_tells_after_three_eighths_of_the_window() -> None:
    link = Link(window=100)
    told = [link.took(data("a", 10)) for _ in range(8)]
    assert told == [None, None, None, 40, None, None, None, 80]


def test_two_links_never_stall_each_other() -> None:
    left, right = Link(), Link()
    total = 0
    for number in range(200):
        assert left.post(data(f"s{number % 7}", 60_000))
        for message in left.batch(1 << 30):
            data_sent = whole(message)
            assert isinstance(data_sent, bytes)
            frame = Frame.decode(data_sent)
            total += len(frame.payload)
            due = right.took(frame)
            if due is not None:
                left.credited(due)
    assert total == 200 * 60_000


def test_a_batch_stops_near_its_limit() -> None:
    link = Link()
    for name in "abcdef":
        link.post(data(name, 60_000))
    assert len(link.batch(100_000)) == 2


def test_request_ids_are_not_used_twice() -> None:
    link = Link()
    assert len({link.next_id() for _ in range(100)}) == 100


def test_silence_pings_then_gives_up() -> None:
    silence = Silence(now=0.0, ping=10.0, dead=30.0)
    assert (silence.due(5.0), silence.wait(5.0)) == ("", 5.0)
    assert silence.due(10.0) == "ping"
    assert (silence.due(11.0), silence.wait(11.0)) == ("", 9.0)
    assert silence.due(20.0) == "ping"
    assert silence.due(30.0) == "dead"


def test_anything_heard_delays_the_ping() -> None:
    silence = Silence(now=0.0, ping=10.0, dead=30.0)
    silence.heard = 8.0
    assert silence.due(12.0) == ""
    assert silence.due(18.0) == "ping"
    silence.heard = 18.5
    assert silence.due(47.0) == "ping"
    assert silence.due(48.5) == "dead"
