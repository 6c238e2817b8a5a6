"""The page of a node's settings is fresh and says something of each."""

from stead.node import generate
from stead.node.settings import NodeSettings


def test_nothing_is_stale() -> None:
    assert generate.main(["--check"]) == 0


def test_every_setting_is_described() -> None:
    text = generate.page()
    assert all(f"| `{name}` |" in text for name in NodeSettings.__struct_fields__)
