"""The documentation tells the truth: what it names exists."""

import ast
import re
from pathlib import Path

import pytest

from stead.cli.entry import find_word, load
from support.repository import ROOT, short, tracked

DOCS = tracked("*.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:src|web|tests|scripts|benchmarks|examples)/[\w./-]+)(?:::([\w.]+))?`")
MAKE = re.compile(r"(?:`|^\$? ?)make ([a-z]+)\b", re.MULTILINE)
STEAD = re.compile(r"(?:`|^\$ )stead((?: [a-z][a-z-]*)+)", re.MULTILINE)

each_document = pytest.mark.parametrize("document", DOCS, ids=short)


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    targets = [link.split("#")[0] for link in LINK.findall(document.read_text())]
    local = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (document.parent / target).exists()] == []


@each_document
def test_named_places_exist(document: Path) -> None:
    missing = [
        f"{path}::{name}" if name else path
        for path, name in PLACE.findall(document.read_text())
        if not exists(ROOT / path, name)
    ]
    assert missing == []


@each_document
def test_named_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(MAKE.findall(document.read_text())) <= targets


def test_named_stead_commands_exist() -> None:
    named = {tuple(words.split()) for document in DOCS for words in STEAD.findall(document.read_text())}
    assert named, "the documents name no command at all"
    assert sorted(" ".join(words) for words in named if not is_command(words)) == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    assert [page.name for page in folder.glob("0*.md") if page.name not in index] == []


def exists(path: Path, name: str) -> bool:
    """Whether the file is there, and in it the function, class or method of that name."""
    if not name:
        return path.exists()
    if not path.is_file():
        return False
    if path.suffix != ".py":
        return re.search(rf"\b{re.escape(name.rsplit('.', maxsplit=1)[-1])}\b", path.read_text()) is not None
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [node for node in body if part in names_of(node)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def names_of(node: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def is_command(words: tuple[str, ...]) -> bool:
    """Whether the command line has this word and, where the word has verbs, the verb."""
    word = find_word(words[0])
    return word is not None and (bool(word.verb) or len(words) == 1 or words[1] in load(word))
