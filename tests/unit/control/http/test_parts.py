"""The small pure parts: ranges, rates, records, names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stead.control.http.errors import headers_of
from stead.control.http.params import labels_of, version_of
from stead.control.http.ranges import part
from stead.control.http.rates import Rates
from stead.control.streams.names import Names
from stead.control.streams.rate import Pace
from stead.control.streams.records import Record, Records
from stead.model import ids
from stead.protocol.errors import SteadError


@pytest.mark.parametrize(
    "text, expected",
    [
        ("bytes=0-3", (0, 4)),
        ("bytes=2-", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-30", (0, 10)),
        ("bytes=3-99", (3, 7)),
        ("bytes= 1 - 2", (1, 2)),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
        ("bytes=1x-2", None),
    ],
)
def test_ranges(text: str, expected: tuple[int, int] | None) -> None:
    assert part(text, 10) == expected


@pytest.mark.parametrize("text, size", [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_that_the_file_has_not(text: str, size: int) -> None:
    with pytest.raises(SteadError) as caught:
        part(text, size)
    assert caught.value.code == "range_unsatisfiable"


@settings(deadline=None)
@given(text=some.from_regex(r"bytes=\d{0,4}-\d{0,4}", fullmatch=True), size=some.integers(0, 5000))
def test_a_range_lies_within_the_file(text: str, size: int) -> None:
    try:
        found = part(text, size)
    except SteadError:
        return
    if found is not None:
        offset, length = found
        assert length > 0
        assert offset >= 0
        assert offset + length <= size


def test_a_bucket_fills_again() -> None:
    now = 0.0
    rates = Rates(2.0, 4.0, lambda: now)
    for _ in range(4):
        rates.take("a")
    with pytest.raises(SteadError) as caught:
        rates.take("a")
    assert caught.value.details["retry_after"] == 0.5
    rates.take("b")
    now = 0.5
    rates.take("a")
    with pytest.raises(SteadError):
        rates.check("a")
    now = 10.0
    rates.check("a")


def test_buckets_are_bounded() -> None:
    now = 0.0
    rates = Rates(1.0, 1.0, lambda: now)
    for number in range(10_001):
        rates.take(str(number))
    assert len(rates._buckets) <= 10_000
    now = 5.0
    rates.take("fresh")
    assert len(rates._buckets) == 1


def test_a_pace_has_a_seconds_worth() -> None:
    pace = Pace(3)
    assert [pace.take() for _ in range(3)] == [True] * 3
    assert not pace.take()


def test_labels_and_versions() -> None:
    assert labels_of(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    for bad in (["a"], ["=b"]):
        with pytest.raises(SteadError):
            labels_of(bad)
    assert [version_of(text) for text in ("", "*", '"7"', 'W/"7"', "7")] == [None, None, 7, 7, 7]
    with pytest.raises(SteadError):
        version_of('"x"')


@settings(deadline=None)
@given(
    pieces=some.lists(some.tuples(some.sampled_from([1, 2]), some.binary(max_size=50)), max_size=20),
    cuts=some.lists(some.integers(1, 40), min_size=1, max_size=20),
)
def test_records_come_whole_however_they_are_cut(pieces: list[tuple[int, bytes]], cuts: list[int]) -> None:
    whole = b"".join(bytes([channel]) + len(data).to_bytes(4, "big") + data for channel, data in pieces)
    records, found, at = Records(100), [], 0
    while at < len(whole):
        cut = cuts[at % len(cuts)]
        found += records.feed(whole[at : at + cut])
        at += cut
    cursor, expected = 100, []
    for channel, data in pieces:
        cursor += 5 + len(data)
        expected.append(Record("stdout" if channel == 1 else "stderr", data, cursor))
    assert found == expected


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(SteadError):
        Records().feed(b"\x07\x00\x00\x00\x01a")
    with pytest.raises(SteadError):
        Records().feed(b"\x01\x7f\x00\x00\x00")


def test_names_of_the_next_hop_are_ids_and_never_meet() -> None:
    names = Names("secret")
    stream = "st_" + "0" * 26
    found = {
        names.next_hop(user, each, box)
        for user in ("us_1", "us_2")
        for each in (stream, "st_" + "1" * 26)
        for box in ("ws_1", "ws_2")
    }
    assert len(found) == 8
    assert all(ids.check(ids.Kind.STREAM, name) == name for name in found)
    assert Names("secret").next_hop("us_1", stream, "ws_1") in found
    assert Names("other").next_hop("us_1", stream, "ws_1") not in found


@pytest.mark.parametrize(
    ("said", "pause"), [(3.4, "3"), (-1, "1"), ("soon", "1"), ([], "1"), (float("inf"), "1"), (float("nan"), "1")]
)
def test_a_pause_is_a_number_whatever_a_workspace_says(said: object, pause: str) -> None:
    headers = headers_of(SteadError("unavailable", "away", retry_after=said))
    assert headers == {"retry-after": pause}
