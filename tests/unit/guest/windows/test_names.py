"""Windows' names, judged without Windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.guest.windows import names, programs
from stead.protocol.errors import SteadError


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("C:\\Temp\\f.txt", "C:\\Temp\\f.txt"),
        ("c:/Temp//a/./f", "C:\\Temp\\a\\f"),
        ("d:\\", "D:\\"),
        ("C:\\Ünï\\名前", "C:\\Ünï\\名前"),
        ("C:\\console\\com10.txt", "C:\\console\\com10.txt"),
    ],
)
def test_one_spelling(path: str, place: str) -> None:
    assert names.place(path) == place
    assert names.place(place) == place
    assert names.absolute(path)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "path_invalid"),
        ("relative", "path_invalid"),
        ("\\rooted", "path_invalid"),
        ("C:relative", "path_invalid"),
        ("\\\\host\\share\\f", "path_invalid"),
        ("\\\\?\\C:\\f", "path_invalid"),
        ("\\\\.\\PhysicalDrive0", "path_invalid"),
        ("C:\\a\\..\\b", "path_outside"),
        ("C:\\f:stream", "path_invalid"),
        ("C:\\f::$DATA", "path_invalid"),
        ("C:\\NUL", "path_invalid"),
        ("C:\\a\\com1.txt", "path_invalid"),
        ("C:\\a\\Con .x", "path_invalid"),
        ("C:\\lpt¹", "path_invalid"),
        ("C:\\dot.", "path_invalid"),
        ("C:\\space \\f", "path_invalid"),
        ("C:\\a\0b", "path_invalid"),
        ("C:\\a*", "path_invalid"),
        ("C:\\" + "x" * 256, "path_invalid"),
        ("C:\\" + "x\\" * 20_000, "path_invalid"),
        ("C:\\\ud800", "path_invalid"),
    ],
)
def test_what_would_lead_elsewhere(path: str, code: str) -> None:
    with pytest.raises(SteadError) as caught:
        names.place(path)
    assert caught.value.code == code
    assert not names.absolute(path)


def test_below() -> None:
    assert names.below("C:\\Temp", "C:\\TEMP\\a\\b") == ["a", "b"]
    assert names.below("C:\\Temp", "C:\\temp") == []
    assert names.below("C:\\", "C:\\x") == ["x"]
    for other in ("C:\\Temporary", "C:\\", "D:\\Temp", "C:\\x\\Temp"):
        assert names.below("C:\\Temp", other) is None


@given(path=st.text(max_size=60) | st.text(alphabet="C:\\/. aN~U$L?*", max_size=20).map(lambda text: "C:\\" + text))
def test_any_text_is_a_place_or_refused(path: str) -> None:
    try:
        place = names.place(path)
    except SteadError:
        return
    assert names.place(place) == place
    assert names.below(place[:3], place) == names.parts(place)[1]


def test_programs_are_found_but_no_batch_files() -> None:
    there = {"C:\\bin\\a.exe", "C:\\bin\\b.com", "C:\\bin\\c.bat", "D:\\x\\a.exe", "C:\\bin\\d"}
    found = lambda name: programs.find(name, 'relative;"C:\\bin\\";D:\\x', there.__contains__)  # noqa: E731
    assert found("a") == found("a.exe") == "C:\\bin\\a.exe"
    assert found("b") == "C:\\bin\\b.com"
    assert found("D:/x/a") == "D:\\x\\a.exe"
    assert [found(name) for name in ("c", "c.bat", "C:\\bin\\c.bat", "d", "x\\a", "..\\a", "", "a:b")] == [None] * 8
