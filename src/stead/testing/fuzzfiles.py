"""What a stranger's archive, diff or ignore file may be: entries for the fuzzer (`scripts/fuzz.py`).

Contract: each takes bytes and raises nothing but SteadError, whatever they are; an archive is parsed without touching a file.
"""

from __future__ import annotations

from stead.toolbox.ignoring.expressions import Syntax
from stead.toolbox.ignoring.patterns import Patterns
from stead.toolbox.text import document, patches
from stead.toolbox.trees.tar import Member, Parser

CONTENT = "a\nb\r\nc\n"


class _Nobody:
    """Takes an archive and forgets it; its members must be as they are promised."""

    def __init__(self) -> None:
        self._member: Member | None = None

    def member(self, member: Member) -> None:
        assert self._member is None
        assert member.size >= 0
        self._member = member

    def content(self, offset: int, piece: bytes) -> None:
        assert self._member is not None
        assert piece
        assert self._member.parts is None or offset + len(piece) <= self._member.size

    def done(self) -> None:
        assert self._member is not None
        self._member = None


def archive(data: bytes) -> None:
    """In two pieces."""
    parser = Parser(_Nobody())
    parser.feed(data[:700])
    parser.feed(data[700:])
    parser.close()


def diff(data: bytes) -> None:
    for part in patches.parse(document.decode(data).text):
        assert ".." not in part.target.split("/")
        patches.apply(CONTENT, part)


def ignore(data: bytes) -> None:
    for syntax in Syntax:
        patterns = Patterns.of(data, syntax=syntax)
        for path in (b"a", b"a/b", b"\xff/[", b"a.b/c/d e"):
            patterns.judge(path, directory=path.endswith(b"b"))
