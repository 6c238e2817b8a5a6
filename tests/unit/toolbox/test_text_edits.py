"""Text in memory: encodings and line ends come back as they were, changes are counted as git does, edits are exact."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.protocol.errors import SteadError
from stead.toolbox.text import document, edits
from stead.toolbox.text.contract import Edit, Encoding, Newline

CHARACTERS = st.text(st.sampled_from("ab\u00e4\u4e2d\U0001f600 \t\r\n"), max_size=40)
WRITTEN = [Encoding.UTF8, Encoding.UTF8_MARK, Encoding.UTF16_LE, Encoding.UTF16_BE]


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(text=CHARACTERS, encoding=st.sampled_from(WRITTEN))
def test_text_comes_back_byte_for_byte(text: str, encoding: Encoding) -> None:
    data = document.encode(text, encoding)
    found = document.decode(data)
    assert (found.text, found.encoding) == (text, encoding)
    assert found.encode(found.text) == data
    assert "".join(document.lines_of(text)) == text
    assert len(document.lines_of(text)) == document.count_lines(text)


@pytest.mark.parametrize("data", [b"a\0b", b"\xff", b"\xc3", b"\xff\xfea", b"\xfe\xff\xd8\x00", b"\xef\xbb\xbf\xff"])
def test_what_is_no_text(data: bytes) -> None:
    with pytest.raises(SteadError) as found:
        document.decode(data)
    assert found.value.code == "not_text"


@pytest.mark.parametrize(
    ("text", "newline"),
    [
        ("", Newline.NONE),
        ("a", Newline.NONE),
        ("a\r", Newline.NONE),
        ("a\n", Newline.LF),
        ("a\r\n", Newline.CRLF),
        ("a\r\nb\n", Newline.MIXED),
        ("\n\r\n", Newline.MIXED),
    ],
)
def test_newlines_are_told(text: str, newline: Newline) -> None:
    assert document.newline_of(text) is newline


@pytest.mark.needs_engine("git")
def test_changes_are_counted_as_git_counts_them(tmp_path: Path) -> None:
    rng = random.Random(7)
    for _ in range(40):
        old = [rng.choice("abcdef") for _ in range(rng.randrange(25))]
        new = [line for line in old if rng.random() > 0.2] + [rng.choice("abxy") for _ in range(rng.randrange(4))]
        rng.shuffle(new) if rng.random() < 0.3 else None
        texts = ["".join(f"{line}\n" for line in lines) for lines in (old, new)]
        (tmp_path / "a").write_text(texts[0])
        (tmp_path / "b").write_text(texts[1])
        done = subprocess.run(
            ["git", "diff", "--no-index", "--numstat", "--minimal", "a", "b"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        expected = tuple(map(int, done.stdout.split()[:2])) or (0, 0)
        assert document.line_changes(*texts) == expected


def test_many_changes_are_counted_in_good_time() -> None:
    old = "".join(f"{number}\n" for number in range(100_000))
    new = "".join(f"{number + 0.5}\n" for number in range(100_000))
    assert document.line_changes(old, new) == (100_000, 100_000)
    assert document.line_changes(old, old + "x\n") == (1, 0)
    assert document.line_changes("a\nb", "a\nb\n") == (1, 1)


def refused(code: str, text: str, edit: Edit) -> SteadError:
    with pytest.raises(SteadError) as found:
        edits.replace(text, edit)
    assert found.value.code == code
    return found.value


def test_old_text_must_be_there_once() -> None:
    assert edits.replace("one two three", Edit(old="two", new="2")) == ("one 2 three", 1)
    refused("text_not_found", "one", Edit(old="two", new="2"))
    refused("empty_old_string", "one", Edit(old="", new="2"))
    refused("identical_strings", "one", Edit(old="one", new="one"))
    error = refused("text_not_unique", "a\nb\na\n", Edit(old="a", new="c"))
    assert (error.details["count"], error.details["lines"]) == (2, [1, 3])
    error = refused("text_not_unique", "aXaXa", Edit(old="aXa", new="c"))
    assert error.details["count"] == 2, "places that overlap are two"
    assert edits.replace("aXaXa", Edit(old="aXa", new="c", every=True)) == ("cXa", 1)
    assert edits.replace("a.b a+b", Edit(old="a+b", new="\\1")) == ("a.b \\1", 1), "nothing is a pattern"


def test_line_ends_are_those_of_the_place() -> None:
    windows = "a\r\nb\r\nc\r\n"
    assert edits.replace(windows, Edit(old="a\nb", new="x\ny\nz"))[0] == "x\r\ny\r\nz\r\nc\r\n"
    assert edits.replace(windows, Edit(old="a\r\nb", new="x\r\ny"))[0] == "x\r\ny\r\nc\r\n"
    assert edits.replace(windows, Edit(old="b", new="b1\nb2"))[0] == "a\r\nb1\r\nb2\r\nc\r\n"
    mixed = "a\r\nb\nc\n"
    assert edits.replace(mixed, Edit(old="b\nc", new="x\ny"))[0] == "a\r\nx\ny\n"
    assert edits.replace(mixed, Edit(old="a\n", new="x\n"))[0] == "x\r\nb\nc\n"
    assert edits.replace(mixed, Edit(old="\n", new="", every=True)) == ("abc", 3)


def test_what_begins_with_the_end_of_a_line_is_found_once() -> None:
    windows = "a\r\nb\r\nc\r\n"
    assert edits.replace(windows, Edit(old="\nb", new="\nx"))[0] == "a\r\nx\r\nc\r\n"
    assert edits.replace(windows, Edit(old="\r\nb\n", new="\n"))[0] == "a\r\nc\r\n"
    assert edits.replace("a\r\n", Edit(old="\n", new="\n\n")) == ("a\r\n\r\n", 1)
    assert edits.replace("a\r\r\n", Edit(old="\n", new="")) == ("a\r", 1)
    error = refused("text_not_unique", windows, Edit(old="\n", new="x"))
    assert (error.details["count"], error.details["lines"]) == (3, [1, 2, 3])


TEXTS = st.text(st.sampled_from("ab\r\n"), max_size=12)


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(text=TEXTS, old=TEXTS, new=TEXTS, every=st.booleans())
def test_it_is_what_it_would_be_with_plain_ends(text: str, old: str, new: str, every: bool) -> None:
    """But for the ends of lines, which are those of the place."""
    plain, was, becomes = (each.replace("\r\n", "\n") for each in (text, old, new))
    try:
        made, count = edits.replace(text, Edit(old=old, new=new, every=every))
    except SteadError as error:
        assert error.code in {"empty_old_string", "identical_strings", "text_not_found", "text_not_unique"}
        assert not was or was == becomes or was not in plain or (not every and plain.find(was) != plain.rfind(was))
        return
    assert count == (plain.count(was) if every else 1)
    if "\r" not in plain + was + becomes:
        assert made.replace("\r\n", "\n") == plain.replace(was, becomes)
    if "\r\n" not in text:
        assert made == plain.replace(was, becomes)


def test_no_file_grows_beyond_what_is_text() -> None:
    refused("too_large", "a" * 100_000, Edit(old="a", new="b" * 1000, every=True))
    assert edits.replace("a" * 1000, Edit(old="a", new="b" * 1000, every=True))[1] == 1000
    assert edits.replace("a" * 1000, Edit(old="a", new="", every=True)) == ("", 1000)


def test_very_many_ends_of_lines_take_no_time() -> None:
    """What is sought is not tried again at each of them: this would take an hour."""
    for text in ("\n" * 20_000_000, "\r\n" + "\n" * 20_000_000):
        refused("text_not_found", text, Edit(old="\n" * 5000 + "x", new="y"))
    assert edits.replace("\r\n" + "\n" * 10_000, Edit(old="\n", new="x", every=True)) == ("x" * 10_001, 10_001)


def test_lines_are_inserted_whole() -> None:
    assert edits.insert("", 1, "x") == "x\n"
    assert edits.insert("a\nb\n", 1, "x\n") == "x\na\nb\n"
    assert edits.insert("a\nb\n", 3, "x") == "a\nb\nx\n"
    assert edits.insert("a\r\nb", 2, "x\ny") == "a\r\nx\r\ny\r\nb"
    assert edits.insert("a\r\nb", 3, "x\n") == "a\r\nb\r\nx"
    for line in (0, 4, -1):
        with pytest.raises(SteadError):
            edits.insert("a\nb\n", line, "x")


def test_a_refusal_of_a_huge_file_stays_short() -> None:
    error = refused("text_not_unique", "x " * 200_000, Edit(old="x", new="y"))
    assert len(error.details["lines"]) <= edits.PLACES_TOLD
    assert len(refused("text_not_found", "", Edit(old="y" * 10_000, new="")).message) < 200
