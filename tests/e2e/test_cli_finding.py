"""`stead search` and `stead watch`."""

import json
from typing import Any

from support.cli import PATIENCE, Cli, ended

Work = dict[str, Any]

SHOP = b"class Basket:\n    def add_item(self, item):\n        return item\n"


def test_search_in_content_names_symbols_and_for_what_fits(both: Cli, work: Work) -> None:
    name = work["name"]
    both.ok("files", "put", name, "-", "src/shop.py", "--parents", input=SHOP)
    both.ok("files", "put", name, "-", "notes", input=b"--x $(id)\n")
    assert both.ok("search", name, "ITEM", "-i", "-C1") == (
        "src/shop.py-1-class Basket:\nsrc/shop.py:2:    def add_item(self, item):\nsrc/shop.py:3:        return item\n"
    )
    assert both.ok("search", name, "-F", "--", "--x").startswith("notes:1:--x")
    assert [match["line"] for match in both.json("search", name, "item$", "-g", "*.py")["matches"]] == [3]
    assert both.ok("search", name, "--names", "shp") == "src/shop.py\n"
    assert both.ok("search", name, "--symbols", "item") == "src/shop.py:2:method add_item  in Basket\n"
    assert both.ok("search", name, "--ranked", "basket items").startswith("src/shop.py:")
    nothing = both("search", name, "nowhere")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, b"", b"")
    wrong = both("search", name, "(")
    assert wrong.returncode == 1
    assert b"unclosed" in wrong.stderr


def test_watch_prints_what_changes(cli: Cli, work: Work) -> None:
    cli.ok("files", "mkdir", work["name"], "seen")
    with ended(cli.start("watch", work["name"], "seen", "--json", "-n", "1")) as watch:
        assert watch.stderr is not None
        assert b"watching seen" in watch.stderr.readline()
        cli.ok("files", "mkdir", work["name"], "seen/new")
        out, _ = watch.communicate(timeout=PATIENCE)
    assert json.loads(out) == {"kind": "created", "path": "seen/new", "directory": True}
