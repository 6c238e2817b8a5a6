"""Searching: content, names, symbols and what fits best."""

from __future__ import annotations

import time

from stead.toolbox.behaviour.checks import NotTriedError, check, expect, not_of_a_whole_machine, refused, sh
from stead.toolbox.contract import Toolbox

INDEX_SECONDS = 40.0


async def _files(toolbox: Toolbox, place: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        await toolbox.write(f"{place}/{path}", text.encode(), parents=True)


@check
async def search_content(toolbox: Toolbox, place: str) -> None:
    """Lines with their places, by path; an expression, a text, without case, whole words, and lines around."""
    await _files(toolbox, place, {"b.py": "one\nTwo äone\nthree\n", "a/x.txt": "a.c\nabc\nlone\n"})
    found = await toolbox.search.content("one", place)
    told = [(match.path.removeprefix(f"{place}/"), match.line, match.text) for match in found.matches]
    expect(told == [("a/x.txt", 3, "lone"), ("b.py", 1, "one"), ("b.py", 2, "Two äone")], f"found {told}")
    expect(found.files == 2 and not found.truncated and not found.problems, f"said {found}")
    expect([match.offset for match in found.matches] == [8, 0, 4], f"lines do not begin at {found.matches}")
    span = found.matches[2].spans[0]
    expect((span.start, span.end, span.column, span.end_column) == (6, 9, 6, 9), f"the place is {span}")
    lines = [match.text for match in (await toolbox.search.content("a.c", place, literal=True)).matches]
    expect(lines == ["a.c"], f"a text is no expression: {lines}")
    lines = [match.text for match in (await toolbox.search.content("two", place, case="insensitive")).matches]
    expect(lines == ["Two äone"], f"without case: {lines}")
    smart = [len((await toolbox.search.content(query, place, case="smart")).matches) for query in ("two", "TWO")]
    expect(smart == [1, 0], f"with case where the query has some: {smart}")
    (several,) = (await toolbox.search.content(r"one\s+three", place, multiline=True)).matches
    expect((several.line, several.lines) == (2, 2), f"over lines: {several}")
    lines = [match.text for match in (await toolbox.search.content("one", place, word=True)).matches]
    expect(lines == ["one"], f"whole words: {lines}")
    around = (await toolbox.search.content("Two", place, before=1, after=1)).matches[0]
    expect([line.text for line in around.before + around.after] == ["one", "three"], f"around: {around}")
    expect(not (await toolbox.search.content("nowhere to be found", place)).matches, "found what is not there")


@check
async def search_content_of_some_files(toolbox: Toolbox, place: str) -> None:
    """Globs choose, ignore files and dots leave out, and a glob brings nothing back that is left out."""
    files = {
        ".gitignore": "*.log\nout/\n",
        "a.py": "",
        "b.ts": "",
        "x.log": "",
        "out/c.py": "",
        ".h/d.py": "",
        "s/e.py": "",
    }
    await _files(toolbox, place, {path: f"{text}needle\n" for path, text in files.items()})

    async def paths(**options: object) -> list[str]:
        found = await toolbox.search.content("needle", place, **options)  # type: ignore[arg-type]
        return [match.path.removeprefix(f"{place}/") for match in found.matches]

    expect(await paths() == ["a.py", "b.ts", "s/e.py"], "left out too much or too little")
    expect(await paths(include=["*.py"]) == ["a.py", "s/e.py"], "the included are others")
    expect(await paths(include=["*.log", "*.{ts,tsx}"]) == ["b.ts"], "what is ignored was brought back")
    expect(await paths(exclude=["s/"]) == ["a.py", "b.ts"], "the excluded are others")
    expect(await paths(ignored=True) == ["a.py", "b.ts", "out/c.py", "s/e.py", "x.log"], "the ignored are not there")
    hidden = await paths(hidden=True)
    expect(hidden == [".gitignore", ".h/d.py", "a.py", "b.ts", "s/e.py"], f"hidden: {hidden}")


@check
async def search_content_limits(toolbox: Toolbox, place: str) -> None:
    """Cut at a limit in all, in a file and of a line, and each is told."""
    await _files(toolbox, place, {"a": "hit\n" * 20, "b": "x" * 1000 + "hit" + "y" * 1000 + "\n"})
    found = await toolbox.search.content("hit", place, limit=5)
    expect(len(found.matches) == 5 and found.truncated, f"{len(found.matches)} with a limit of 5")
    found = await toolbox.search.content("hit", place, per_file=3)
    expect(len(found.matches) == 4 and found.truncated and found.cut == [f"{place}/a"], f"said {found.cut}")
    exact = await toolbox.search.content("hit", f"{place}/a", limit=20, per_file=20)
    expect(len(exact.matches) == 20 and not exact.truncated, "the last one is no more than the limit")
    line = (await toolbox.search.content("hit", f"{place}/b", characters=100)).matches[0]
    expect(len(line.text) == 100 and line.clipped and "hit" in line.text, f"clipped to {line.text!r}")
    expect(line.skipped == 975 and line.spans[0].column == 1001, f"the place is {line.skipped} {line.spans}")


@check
async def search_names(toolbox: Toolbox, place: str) -> None:
    """Letters in order, the better placed first; what was just made is there, what was just removed is not."""
    names = [
        "src/user_model.py",
        "src/models/user.py",
        "docs/unused_metal.md",
        "src/.hidden/um.py",
        "x/um.log",
        "um/a.txt",
    ]
    await _files(toolbox, place, {**dict.fromkeys(names, ""), ".gitignore": "*.log\n"})

    async def found(query: str, path: str = place, **options: object) -> list[str]:
        answer = await toolbox.search.names(query, path, **options)  # type: ignore[arg-type]
        return [file.path.removeprefix(f"{place}/") for file in answer.files]

    expect((await found("user.py"))[0] == "src/models/user.py", f"by a name: {await found('user.py')}")
    best = (await toolbox.search.names("um", place)).files[0]
    expect(
        0 < best.score <= 1 and [best.path[at] for at in best.positions] == ["u", "m"], f"the letters are not at {best}"
    )
    expect((await found("usermodel"))[0] == "src/user_model.py", f"letters apart: {await found('usermodel')}")
    by_letters = await found("um")
    expect(by_letters == ["src/user_model.py", "docs/unused_metal.md", "um/a.txt"], f"starts of words: {by_letters}")
    expect("x/um.log" not in by_letters and "src/.hidden/um.py" not in by_letters, f"left out: {by_letters}")
    expect((await found("um", hidden=True))[0] == "src/.hidden/um.py", "hidden files are not found")
    expect("x/um.log" in await found("um", ignored=True), "ignored files are not found")
    await toolbox.write(f"{place}/left.log/out.txt", b"here", parents=True)
    expect(await found("", f"{place}/left.log") == ["left.log/out.txt"], "a directory that is named is meant")
    content = await toolbox.search.content("here", f"{place}/left.log")
    expect([match.path for match in content.matches] == [f"{place}/left.log/out.txt"], "and so for its content")
    expect(await found("um", include=["*.md"]) == ["docs/unused_metal.md"], "the included are others")
    await toolbox.write(f"{place}/src/zq1.py", b"")
    await toolbox.move(f"{place}/src/models", f"{place}/src/shapes")
    expect(await found("zq1") == ["src/zq1.py"], "a file just made is not found")
    expect(await found("shapes user") == ["src/shapes/user.py"] == await found("", f"{place}/src/shapes"), "moved")
    await toolbox.delete(f"{place}/src", recursive=True)
    expect(await found("user") == [], f"removed, and found: {await found('user')}")
    cut = await toolbox.search.names("", place, limit=1)
    expect(len(cut.files) == 1 and cut.total == 2 and cut.truncated, f"cut: {cut}")


CODE = {
    "src/shop.py": "class Basket:\n    def add_item(self, item):\n        return item\n\n\ndef checkout():\n    pass\n",
    "web/basket.ts": "export interface BasketView { total: number }\nexport function renderBasket(): void {}\n",
    "go/main.go": "package main\n\ntype Server struct{}\n\nfunc (s *Server) Listen() {}\n",
    "notes.md": "# Refunds\n\nHow customers get their money back.\n\n# Deliveries\n\nParcels go out at noon.\n",
    ".gitignore": "built/\n",
    "built/shop.py": "def ignored_item(): pass\n",
}


async def _indexed(toolbox: Toolbox, place: str) -> None:
    """Waits for the index; that of a large workspace takes longer than a check may."""
    not_of_a_whole_machine("an index of the whole machine would be made for it, which keeps the machine busy for long")
    until = time.monotonic() + INDEX_SECONDS
    while not (index := (await toolbox.search.ranked("basket", place)).index).complete and not index.problem:
        if time.monotonic() > until:
            raise NotTriedError(f"the index of this workspace is still being built: {index.waiting} files to go")


@check
async def search_outline(toolbox: Toolbox, place: str) -> None:
    """Definitions of a file, in order, as it is now; no index is needed for them."""
    await _files(toolbox, place, CODE)
    outline = await toolbox.search.symbols("", f"{place}/src/shop.py")
    told = [(each.name, each.kind, each.line, each.end_line, each.container) for each in outline.symbols]
    expect(
        told
        == [("Basket", "class", 1, 3, ""), ("add_item", "method", 2, 3, "Basket"), ("checkout", "function", 6, 7, "")],
        f"the outline is {told}",
    )
    await refused("invalid", toolbox.search.symbols("", f"{place}/notes.md"))
    await refused("invalid", toolbox.search.symbols("item", place, ignored=True))


@check
async def search_symbols(toolbox: Toolbox, place: str) -> None:
    """Definitions by their names, and what was just written is there."""
    await _files(toolbox, place, CODE)
    await toolbox.search.symbols("", f"{place}/src/shop.py")
    await _indexed(toolbox, place)
    found = await toolbox.search.symbols("basket", place)
    expect(found.index is not None and found.index.complete, f"the index is {found.index}")
    names = [each.name for each in found.symbols]
    expect(names == ["Basket", "BasketView", "renderBasket"], f"found {names}")
    listen = (await toolbox.search.symbols("lsn", place)).symbols
    expect([(each.name, each.container, each.language) for each in listen] == [("Listen", "Server", "go")], f"{listen}")
    expect(not (await toolbox.search.symbols("ignored_item", place)).symbols, "what is ignored was found")
    await toolbox.write(f"{place}/src/shop.py", b"def put_item(): pass\n")
    names = [each.name for each in (await toolbox.search.symbols("item", place, kinds=["function"])).symbols]
    expect(names == ["put_item"], f"after a change: {names}")


@check
async def search_ranked(toolbox: Toolbox, place: str) -> None:
    """Words find code and prose however they are written, the best first; changes count at once."""
    await _files(toolbox, place, CODE)
    await toolbox.search.symbols("", f"{place}/src/shop.py")
    await _indexed(toolbox, place)
    found = await toolbox.search.ranked("add an item to the basket", place)
    expect(found.index.complete and not found.index.problem, f"the index is {found.index}")
    best = found.results[0]
    expect((best.path, best.name) == (f"{place}/src/shop.py", "Basket.add_item"), f"the best is {best}")
    expect(best.relevance == 1.0 and "add_item" in best.snippet and best.language == "python", f"the best is {best}")
    best = (await toolbox.search.ranked("customer refund money", place)).results[0]
    expect((best.name, best.kind, best.line, best.end_line) == ("Refunds", "section", 1, 4), f"prose: {best}")
    expect((await toolbox.search.ranked("render basket", place)).results[0].name == "renderBasket", "names of parts")
    await toolbox.write(f"{place}/src/tax.py", b"def value_added_tax(): pass\n")
    await toolbox.delete(f"{place}/notes.md")
    expect((await toolbox.search.ranked("added tax", place)).results[0].path == f"{place}/src/tax.py", "a new file")
    expect(not (await toolbox.search.ranked("customers money", place)).results, "a removed file was found")
    only = (await toolbox.search.ranked("basket", place, include=["*.ts"])).results
    expect({each.path for each in only} == {f"{place}/web/basket.ts"}, f"the included are {only}")
    for query in ("", "a\0b"):
        await refused("invalid", toolbox.search.ranked(query, place))
    await refused("invalid", toolbox.search.ranked("basket", place, ignored=True))
    expect(not (await toolbox.search.ranked('" OR ( NEAR *', place)).results, "a query is no expression")


@check
async def search_content_hostile(toolbox: Toolbox, place: str) -> None:
    """Queries are no options and reach no shell, files may be called anything, and links out are not followed."""
    await _files(toolbox, place, {"-e": "--files $(id) `id`\n", "a\nb": "--files\n", " ": "x\n"})
    await sh(toolbox, "ln -s /etc out && printf 'caf\\351 x\\n' > latin", cwd=place)
    found = await toolbox.search.content("--files", place)
    expect([match.path for match in found.matches] == [f"{place}/-e", f"{place}/a\nb"], f"found {found.matches}")
    expect(len((await toolbox.search.content("$(id)", place, literal=True)).matches) == 1, "the shell's words")
    latin = (await toolbox.search.content("x", f"{place}/latin")).matches[0]
    expect(latin.text == "caf� x" and latin.spans[0].start == 5, f"bytes that are no text: {latin}")
    expect(not (await toolbox.search.content("root:", place)).matches, "a link out was followed")
    await refused("path_outside", toolbox.search.content("root", f"{place}/out"))
    await refused("path_outside", toolbox.search.content("root", "../"))
    await refused("not_found", toolbox.search.content("x", f"{place}/nothing"))
    wrong = await refused("invalid", toolbox.search.content("(", place))
    expect("unclosed" in wrong.message, f"the words of ripgrep are missing: {wrong.message}")
    for query in ("", "a\0b"):
        await refused("invalid", toolbox.search.content(query, place))
    await refused("invalid", toolbox.search.content("x", place, include=["[z-a]"]))
    await refused("invalid", toolbox.search.content("x", place, limit=0))
    await refused("invalid", toolbox.search.content("x", place, case="loud"))  # type: ignore[arg-type]
