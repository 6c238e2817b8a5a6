"""The table of methods: what each needs, and what may be asked twice."""

import pytest

from stead.protocol.methods import CALLS, DEPENDING, IDEMPOTENT, Right, repeatable
from stead.toolbox.contract import Exec, MakeDirectory, WriteFile


def test_what_the_table_says_of_repeating_is_of_calls_that_change_something() -> None:
    for method in {*IDEMPOTENT, *DEPENDING}:
        assert CALLS[method] is not Right.READ
    assert not IDEMPOTENT & DEPENDING.keys()


def test_what_only_reads_may_be_repeated_and_what_nobody_knows_may_not() -> None:
    assert repeatable("files.read")
    assert not repeatable("text.edit")
    assert not repeatable("no.such")


@pytest.mark.parametrize(
    ("method", "params", "safe"),
    [
        ("files.write", WriteFile(path="f", content=b""), True),
        ("files.write", WriteFile(path="f", content=b"", exclusive=True), False),
        ("files.append", WriteFile(path="f", content=b""), False),
        ("files.mkdir", MakeDirectory(path="d"), True),
        ("files.mkdir", MakeDirectory(path="d", exclusive=True), False),
        ("exec.run", Exec(argv=["true"], exec_id="ex_1"), True),
        ("exec.run", Exec(argv=["true"]), False),
        ("exec.run", None, False),
    ],
)
def test_where_it_depends_on_the_params(method: str, params: object, safe: bool) -> None:
    assert repeatable(method, params) is safe
