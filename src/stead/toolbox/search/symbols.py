"""Definitions in source code, by tree-sitter.

Contract: `symbols(language, content)` gives the definitions in order: name, kind, lines from 1 on, and the names of what they
are in, outermost first, with dots. Code that does not parse gives what can be seen of it. A function in a class is a method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stead.toolbox.search.languages import grammar

if TYPE_CHECKING:
    from tree_sitter import Node

SYMBOLS = 20_000
"""The most of one file."""
NAME_CHARACTERS = 200
_TYPES = frozenset({"class", "interface", "struct", "trait", "enum", "within"})


class Symbol(NamedTuple):
    """One definition; `column` is where its name is, in characters from 1 on."""

    name: str
    kind: str
    line: int
    end_line: int
    column: int
    container: str


class _Found(NamedTuple):
    start: int
    end: int
    name: str
    kind: str
    line: int
    end_line: int
    column: int
    within: str


def symbols(language: str, content: bytes) -> list[Symbol]:
    """The definitions of a file."""
    known = grammar(language)
    from tree_sitter import Parser, QueryCursor

    tree = Parser(known.language).parse(content)
    found: dict[tuple[int, int], _Found] = {}
    for _, captures in QueryCursor(known.query).matches(tree.root_node):
        each = _found({name: nodes[0] for name, nodes in captures.items()}, content)
        if each is not None and (each.kind == "function" or (each.line, each.column) not in found):
            found[each.line, each.column] = each
        if len(found) >= SYMBOLS:
            break
    return _nested(sorted(found.values(), key=lambda each: (each.start, -each.end)))


def _found(captures: dict[str, Node], content: bytes) -> _Found | None:
    name = captures.pop("name", None)
    receiver = captures.pop("receiver", None)
    declarator = captures.pop("declarator", None)
    if name is None:
        name = _declared(declarator)
    kind, node = captures.popitem()
    text = "" if name is None else _text(name)
    if name is None or not text:
        return None
    row, column = name.start_point
    within = "" if receiver is None else _receiver(receiver)
    if "::" in text:
        within, _, text = text.rpartition("::")
        within, kind = within.replace("::", "."), "method" if kind == "function" else kind
    line = content[name.start_byte - column : name.start_byte]
    return _Found(
        start=node.start_byte,
        end=node.end_byte,
        name=text.partition("<")[0] if kind == "within" else text,
        kind=kind,
        line=row + 1,
        end_line=node.end_point[0] + (1 if node.end_point[1] else 0),
        column=len(line.decode(errors="replace")) + 1,
        within=within,
    )


def _declared(node: Node | None) -> Node | None:
    """The name inside a declarator of C."""
    while node is not None:
        inner = node.child_by_field_name("declarator")
        if inner is None:
            wrapped = node.type in {"parenthesized_declarator", "reference_declarator"}
            inner = node.named_children[0] if wrapped and node.named_children else None
        if inner is None:
            return node if node.type.endswith(("identifier", "_name", "operator_cast")) else None
        node = inner
    return None


def _receiver(node: Node) -> str:
    """The type that a method of Go belongs to."""
    text = _text(node).strip("()").split()
    return text[-1].lstrip("*").partition("[")[0] if text else ""


def _text(node: Node) -> str:
    return " ".join((node.text or b"").decode(errors="replace").split())[:NAME_CHARACTERS]


def _nested(found: list[_Found]) -> list[Symbol]:
    """With what each is in."""
    around: list[_Found] = []
    result: list[Symbol] = []
    for each in found:
        while around and around[-1].end < each.end:
            around.pop()
        while around and each.start >= around[-1].end:
            around.pop()
        if each.kind != "within":
            container = ".".join([*(one.name for one in around), *([each.within] if each.within else [])])
            kind = "method" if each.kind == "function" and around and around[-1].kind in _TYPES else each.kind
            result.append(Symbol(each.name, kind, each.line, max(each.line, each.end_line), each.column, container))
        around.append(each)
    return result
