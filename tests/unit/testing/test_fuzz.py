"""The fuzzer itself: it runs, it repeats, it finds what is wrong."""

import random

import pytest

from stead.testing import fuzz


def test_a_few_thousand_inputs_find_nothing() -> None:
    assert fuzz.by_hand(seconds=60, seed=1, tries=5000) == 5000


def test_a_seed_repeats_its_inputs() -> None:
    first, second = ([fuzz.mutate(draw) for _ in range(50)] for draw in (random.Random(3), random.Random(3)))
    assert first == second


def test_an_unexpected_exception_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fuzz.by_hand(seconds=60, seed=1, tries=1, target=broken)
    assert "seed 1" in capsys.readouterr().err


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--seconds", "0.01", "--seed", "5"]) == 0
    assert "nothing found" in capsys.readouterr().out
