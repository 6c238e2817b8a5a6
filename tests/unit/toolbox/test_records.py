"""Records come out whole and in order, however the bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.toolbox import records

RECORDS = st.lists(st.tuples(st.sampled_from([records.STDOUT, records.STDERR]), st.binary(max_size=300)), max_size=20)


@given(found=RECORDS, cuts=st.lists(st.integers(0, 4000), max_size=30), start=st.integers(0, 1 << 40))
def test_any_cut_gives_the_same_records(found: list[tuple[int, bytes]], cuts: list[int], start: int) -> None:
    whole = b"".join(records.encode(channel, data) for channel, data in found)
    decoder = records.Decoder(start)
    got: list[tuple[int, bytes, int]] = []
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for low, high in itertools.pairwise(edges):
        got += decoder.feed(whole[low:high])
    assert [(channel, data) for channel, data, _ in got] == found
    assert decoder.cursor == start + len(whole)


@given(found=RECORDS)
def test_every_cursor_is_a_place_to_begin(found: list[tuple[int, bytes]]) -> None:
    whole = b"".join(records.encode(channel, data) for channel, data in found)
    for index, (_, _, cursor) in enumerate(records.Decoder().feed(whole)):
        rest = records.Decoder(cursor).feed(whole[cursor:])
        assert [(channel, data) for channel, data, _ in rest] == found[index + 1 :]


@given(junk=st.binary(min_size=5, max_size=200))
def test_junk_is_refused_or_waits_for_more(junk: bytes) -> None:
    decoder = records.Decoder()
    try:
        found = decoder.feed(junk)
    except records.BadRecordError:
        return
    assert sum(len(data) + records.HEADER_BYTES for _, data, _ in found) <= len(junk)


def test_a_record_that_is_too_large_is_refused() -> None:
    with pytest.raises(records.BadRecordError):
        records.Decoder().feed(records.header(1, records.DATA_BYTES + 1))
