"""Definitions in source code, by tree-sitter.

Contract: `symbols(language, content)` gives the definitions in order: name, kind, lines from 1 on, and the names of what they
are in, outermost first, with dots. Code that does not parse gives what can be seen of it; nonsense that would take minutes or
gigabytes gives nothing. A function in a class is a method.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stead.toolbox.search.languages import grammar

if TYPE_CHECKING:
    from tree_sitter import Node

SYMBOLS = 20_000
"""The most of one file."""
NAME_CHARACTERS = 200
SECONDS = 2.0
"""Processor time for parsing one file."""
MEMORY_BYTES = 128 << 20
"""What parsing one file may take: of some nonsense 30 KiB would take gigabytes."""
CONTAINERS = 20
"""The most names that are told of what a symbol is in."""
SIBLINGS = 5000
"""The most nodes without a name side by side: a query looks through them again for each."""
_PIECE = 1 << 16
_MEMORY, _PAGE_BYTES = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")
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

    def read(at: int, _: object) -> bytes:
        return content[at : at + _PIECE]

    try:
        tree = Parser(known.language).parse(read, progress_callback=_late())
    except ValueError:  # it took too much
        return []
    found: dict[tuple[int, int], _Found] = {}
    for _, captures in QueryCursor(known.query).matches(tree.root_node) if _orderly(tree.root_node) else ():
        each = _found({name: nodes[0] for name, nodes in captures.items()}, content)
        if each is not None and (each.kind == "function" or (each.line, each.column) not in found):
            found[each.line, each.column] = each
        if len(found) >= SYMBOLS:
            break
    return _nested(sorted(found.values(), key=lambda each: (each.start, -each.end)))


def _late() -> Callable[..., bool]:
    """Whether the time or the memory is used up, asked again and again."""
    until, most, asked = time.thread_time() + SECONDS, _resident() + MEMORY_BYTES, itertools.count()

    def late(*_: object) -> bool:
        return time.thread_time() > until or (next(asked) % 8 == 0 and _resident() > most)

    return late


def _resident() -> int:
    """Bytes of this process; 0 where the system does not tell."""
    try:
        return int(_MEMORY.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _orderly(root: Node) -> bool:
    """Whether a query gets through in time."""
    todo = [root]
    while todo:
        children = todo.pop().children
        runs = (
            sum(1 for _ in run) for named, run in itertools.groupby(children, lambda each: each.is_named) if not named
        )
        if len(children) > SIBLINGS and max(runs, default=0) > SIBLINGS:
            return False
        todo += [child for child in children if child.descendant_count > SIBLINGS]
    return True


def _found(captures: dict[str, Node], content: bytes) -> _Found | None:
    name = captures.pop("name", None)
    receiver = captures.pop("receiver", None)
    declarator = captures.pop("declarator", None)
    if name is None:
        name = _declared(declarator)
    kind, node = captures.popitem()
    text = "" if name is None else _text(name, content)
    if name is None or not text:
        return None
    row, column = name.start_point
    within = "" if receiver is None else _receiver(receiver, content)
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


def _receiver(node: Node, content: bytes) -> str:
    """The type that a method of Go belongs to."""
    text = _text(node, content).strip("()").split()
    return text[-1].lstrip("*").partition("[")[0] if text else ""


def _text(node: Node, content: bytes) -> str:
    text = content[node.start_byte : node.end_byte][: 8 * NAME_CHARACTERS]
    return " ".join(text.decode(errors="replace").split())[:NAME_CHARACTERS]


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
            container = ".".join([*(one.name for one in around[:CONTAINERS]), *([each.within] if each.within else [])])
            kind = "method" if each.kind == "function" and around and around[-1].kind in _TYPES else each.kind
            result.append(Symbol(each.name, kind, each.line, max(each.line, each.end_line), each.column, container))
        around.append(each)
    return result
