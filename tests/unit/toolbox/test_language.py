"""Language servers: real ones of Python and TypeScript."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.language.contract import CodePlace
from stead.toolbox.language.positions import Lines, Position, address, path_of
from support.areas import COMPILER, PROGRAMS, Here

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "w").mkdir()
    found = Here(tmp_path / "w", PATH=PROGRAMS)
    try:
        yield found
    finally:
        await found.language.stop()
        found.place.close()


def where(place: CodePlace) -> tuple[str, int, int]:
    return place.path, place.line, place.column


# --- real servers ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not COMPILER.exists(), reason="the packages of the web app are not installed")
async def test_what_others_change_on_disk_is_known_before_the_next_question(here: Here) -> None:
    (here.root / "tsconfig.json").write_text("{}")
    (here.root / "lib.ts").write_text("export const cost: number = 1;\n")
    (here.root / "use.ts").write_text('import { cost } from "./lib";\nexport const x: number = cost;\n')
    assert (await here.language.diagnostics("use.ts")).diagnostics == []
    (here.root / "lib.ts").write_text('\n\nexport const cost: string = "1";\n')
    wrong = (await here.language.diagnostics("use.ts")).diagnostics
    assert [(each.line, each.code) for each in wrong] == [(2, "2322")]
    assert [where(each) for each in (await here.language.definition("use.ts", 2, 26)).places] == [("lib.ts", 3, 14)]
    (here.root / "new.ts").write_text('import { cost } from "./lib";\nexport const y = cost;\n')
    found = {where(each) for each in (await here.language.references("lib.ts", 3, 14)).places}
    assert {("lib.ts", 3, 14), ("new.ts", 2, 18), ("use.ts", 2, 26)} <= found
    used = {where(each) for each in (await here.language.references("lib.ts", 3, 14, include_declaration=False)).places}
    assert ("use.ts", 2, 26) in used
    assert ("lib.ts", 3, 14) not in used
    if_so = await here.language.diagnostics("lib.ts", "export const cost = (\n")
    assert if_so.diagnostics
    assert [each.code for each in (await here.language.diagnostics("use.ts")).diagnostics] == ["2322"]
    (here.root / "lib.ts").unlink()
    assert [each.code for each in (await here.language.diagnostics("use.ts")).diagnostics] == ["2307"]
    assert len((await here.language.status()).servers) == 1


async def test_definitions_outside_of_the_workspace_say_so(here: Here) -> None:
    (here.root / "a.py").write_text("import textwrap\nfrom b import é\n\ntextwrap.dedent(é)\n")
    (here.root / "b.py").write_text("# nothing\né = 1\n")
    [outside] = (await here.language.definition("a.py", 4, 11)).places
    assert outside.outside
    assert outside.path.startswith("/")
    assert outside.path.endswith("textwrap.py")
    [inside] = (await here.language.definition("a.py", 4, 17)).places
    assert (where(inside), inside.outside, inside.text) == (("b.py", 2, 1), False, "é = 1")


async def test_a_text_needs_no_file_and_changes_none(here: Here) -> None:
    name = "new/x (\u00e9:\U0001f600).py"
    wrong = await here.language.diagnostics(name, "def f(:\n")
    assert [(each.path, each.line, each.severity) for each in wrong.diagnostics] == [(name, 1, "error")]
    assert not (here.root / "new").exists()


async def test_nothing_installed_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("")
    with pytest.raises(SteadError, match="npm install typescript") as caught:
        await Here(tmp_path, PATH="/nowhere").language.diagnostics("a.ts")
    assert caught.value.code == "lsp_not_found"


# --- positions -------------------------------------------------------------------------------------------------------


def test_columns_are_characters_whatever_the_server_counts() -> None:
    text = "a\r\n\U0001f600é = x\rlast"
    for wide, character in ((True, 6), (False, 5)):
        lines = Lines(text, wide=wide)
        assert lines.theirs(2, 6) == Position(1, character)
        assert lines.ours(Position(1, character)) == (2, 6)
        assert lines.ours(Position(2, 4)) == (3, 5)
        assert lines.ours(Position(9, 9)) == (3, 5)
        assert lines.text(2) == "\U0001f600é = x"
    assert Lines(text, wide=True).ours(Position(1, 1)) == (2, 1)


@pytest.mark.parametrize(("line", "column"), [(0, 1), (4, 1), (1, 0), (1, 3), (-1, -1), (1 << 70, 1)])
def test_what_is_no_place_is_refused(line: int, column: int) -> None:
    with pytest.raises(SteadError) as caught:
        Lines("a\nb\nc", wide=True).theirs(line, column)
    assert caught.value.code == "invalid"


@pytest.mark.parametrize("path", ["/a b/ä%41#?.py", "/x:y", "/\U0001f600"])
def test_addresses_of_files_go_both_ways(path: str) -> None:
    assert path_of(address(path)) == path
    assert path_of(address(path, bare=True)) == path
    assert path_of("untitled:x") is None
