"""Versions of the protocol and how two of them agree."""

import pytest

from stead.protocol.errors import SteadError
from stead.protocol.version import HISTORY, PROTOCOL, agree


def test_this_version_is_the_newest_of_the_history() -> None:
    assert str(HISTORY[-1]) == PROTOCOL
    assert list(HISTORY) == sorted(HISTORY)
    assert all(version.brought for version in HISTORY)


@pytest.mark.parametrize(
    "theirs,ours,both", [("1.0", "1.0", "1.0"), ("1.3", "1.1", "1.1"), ("1.1", "1.3", "1.1"), ("2.0", "2.9", "2.0")]
)
def test_the_lower_minor_is_spoken(theirs: str, ours: str, both: str) -> None:
    assert agree(theirs, ours) == both


def test_another_major_is_refused_with_both_versions_named() -> None:
    with pytest.raises(SteadError) as caught:
        agree("2.0", "1.4")
    assert caught.value.code == "version_unsupported"
    assert "1.4" in caught.value.message
    assert "2.0" in caught.value.message


@pytest.mark.parametrize("text", ["", "1", "1.", "1.0.0", "-1.0", "1.x", "99999.0", "1.0\n"])
def test_nonsense_is_malformed(text: str) -> None:
    with pytest.raises(SteadError) as caught:
        agree(text)
    assert caught.value.code == "malformed"
