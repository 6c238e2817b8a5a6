"""Small parts of serving: how many files may be open."""

import resource

import pytest

from stead.control.serve import FEWER_FILES, OPEN_FILES, raised

ANY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("now", "most", "asked"),
    [
        (256, ANY, [OPEN_FILES, FEWER_FILES]),
        (1024, 524_288, [OPEN_FILES, FEWER_FILES]),
        (1024, 20_000, [20_000, FEWER_FILES]),
        (1024, 4096, [4096]),
        (20_000, ANY, [OPEN_FILES]),
        (OPEN_FILES, ANY, []),
        (4096, 4096, []),
        (ANY, ANY, []),
    ],
)
def test_how_many_open_files_are_asked_for(now: int, most: int, asked: list[int]) -> None:
    assert raised(now, most) == asked
