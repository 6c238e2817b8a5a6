"""Language servers: what is wrong, where it is defined and used, what it is; with whichever server there is."""

from __future__ import annotations

from stead.toolbox.behaviour.checks import check, expect, refused
from stead.toolbox.contract import Toolbox

PYTHON = 'def price(of):\n    """What it costs."""\n    return of\n\n\nö = "\U0001f600"; paid = price(1)\n'
TYPESCRIPT = (
    'export function price(of: number): number {\n  return of;\n}\nconst ö = "\U0001f600"; const paid = price(1);\n'
)


async def _asked(toolbox: Toolbox, path: str, text: str, broken: str, use: tuple[int, int], name: int) -> None:
    """A file with a function `price`, of which the name begins in column `name` of line 1, used at `use`."""
    language = toolbox.language
    await toolbox.write(path, text.encode())
    found = await language.diagnostics(path)
    expect(not [each for each in found.diagnostics if each.severity == "error"], f"errors in right code: {found}")
    wrong = await language.diagnostics(path, broken)
    expect(any(each.severity == "error" for each in wrong.diagnostics), f"no error in wrong code: {wrong}")
    await toolbox.write(path, broken.encode())
    again = await language.diagnostics(path)
    expect(any(each.path == path for each in again.diagnostics), f"a change on disk was not seen: {again}")
    await toolbox.write(path, text.encode())
    places = (await language.definition(path, *use)).places
    at = [(each.path, each.line, each.column) for each in places]
    expect((path, 1, name) in at, f"defined at {places}")
    used = await language.references(path, 1, name)
    lines = {(each.line, each.column) for each in used.places if each.path == path}
    expect(lines >= {(1, name), use}, f"used at {used}")
    expect("price" in (await language.hover(path, *use)).text, "hovering does not show it")
    await refused("invalid", language.hover(path, 1000, 1))
    running = (await language.status()).servers
    expect(running and running[0].pid > 0 and running[0].memory > 0, f"running: {running}")


@check
async def language_python(toolbox: Toolbox, place: str) -> None:
    """Diagnostics of files and of texts, definitions, references, hover; columns in characters."""
    await toolbox.write(f"{place}/pyproject.toml", b"")
    await _asked(toolbox, f"{place}/shop.py", PYTHON, PYTHON + "x = (\n", (6, 17), 5)
    expect((await toolbox.language.stop()).stopped > 0, "nothing was stopped")
    expect(not (await toolbox.language.status()).servers, "servers run after they were stopped")


@check
async def language_typescript(toolbox: Toolbox, place: str) -> None:
    """The same of TypeScript."""
    await toolbox.write(f"{place}/tsconfig.json", b"{}")
    await _asked(toolbox, f"{place}/shop.ts", TYPESCRIPT, TYPESCRIPT + "const x = (\n", (4, 29), 17)
    await toolbox.language.stop()


@check
async def language_refuses(toolbox: Toolbox, place: str) -> None:
    """What is outside, missing, no text, or in a language that nobody knows."""
    await refused("path_outside", toolbox.language.diagnostics("../x.py"))
    await refused("not_found", toolbox.language.diagnostics(f"{place}/none.py"))
    await refused("lsp_not_found", toolbox.language.diagnostics(f"{place}/x.unknown"))
    await toolbox.write(f"{place}/x.py", b"\xff\x00\xfe")
    await refused("not_text", toolbox.language.hover(f"{place}/x.py", 1, 1))
