"""The tar format: headers made, and a stream taken apart piece by piece.

Contract: `header(member)` is what stands before a member's content, `padding(size)` what stands after it, `END` the end. A
`Parser(sink)` is fed with pieces of any size and calls `sink.member(member)`, `sink.content(offset, piece)` and `sink.done()`;
what is not tar is "malformed". It reads what is written here, by GNU tar, by bsdtar and by Python: long names, pax records,
sparse files of every kind, numbers of every size. It keeps at most `EXTENSION_BYTES` and one piece.

Whole seconds of a time stand where they always do. Its nanoseconds stand in the field `devminor`, which means nothing for
files; who does not know that reads whole seconds. Who packs says in a last, global record what was left out (`left_out`).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol

from stead.protocol.errors import SteadError

BLOCK = 512
END = bytes(2 * BLOCK)
EXTENSION_BYTES = 1 << 20
"""The longest names and pax records of one member."""
SPARSE_PARTS = 1 << 16
"""The most pieces of one sparse file."""
SIZE = 1 << 62
"""The largest size that is a size."""

_NAME = 100
_MAGIC = b"ustar\x0000"
_PAX = re.compile(rb"([1-9]\d{0,9}) ")
_TIME = re.compile(r"(-?\d{1,18})(?:\.(\d{0,9})\d*)?")
_NANO = 1_000_000_000


class Kind(StrEnum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    HARD = "hard"
    OTHER = "other"


_TYPES = {Kind.FILE: b"0", Kind.DIRECTORY: b"5", Kind.LINK: b"2", Kind.HARD: b"1"}
_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARD,
    b"2": Kind.LINK,
    b"5": Kind.DIRECTORY,
}
LEFT_OUT = b"STEAD.left_out"
LEFT_OUT_TOLD = 100
"""How many names of what was left out are told."""
Part = tuple[int, int]
"""Offset and length of content in a sparse file."""


class Member(NamedTuple):
    """One file of an archive. `size` is the file's; with `parts` only those are in the archive."""

    name: bytes
    kind: Kind
    mode: int = 0o644
    size: int = 0
    modified: int = 0
    """Nanoseconds."""
    target: bytes = b""
    parts: tuple[Part, ...] | None = None


class Sink(Protocol):
    """Who takes an archive."""

    def member(self, member: Member) -> None: ...
    def content(self, offset: int, piece: bytes) -> None: ...
    def done(self) -> None: ...


# --- writing ---------------------------------------------------------------------------------------------------------


def header(member: Member) -> bytes:
    """Everything in front of the content."""
    if member.parts is not None:
        return _sparse(member)
    long = b""
    if len(member.target) > _NAME:
        long += _long(b"K", member.target)
    if len(member.name) > _NAME:
        long += _long(b"L", member.name)
    return long + _block(member, _TYPES[member.kind], member.size if member.kind is Kind.FILE else 0)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _long(kind: bytes, name: bytes) -> bytes:
    content = name + b"\0"
    return _block(Member(b"././@LongLink", Kind.OTHER, 0), kind, len(content)) + content + padding(len(content))


def _sparse(member: Member) -> bytes:
    """With the map of its parts, as the format of 2006 has it; what follows are the parts."""
    assert member.parts is not None
    numbers = [len(member.parts), *(number for part in member.parts for number in part)]
    table = "".join(f"{number}\n" for number in numbers).encode()
    table += padding(len(table))
    records = b"".join(
        _record(key, value)
        for key, value in (
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", member.name),
            (b"GNU.sparse.realsize", b"%d" % member.size),
        )
    )
    stored = len(table) + sum(length for _, length in member.parts)
    name = b"GNUSparseFile.0/" + member.name[-64:]
    extended = _block(Member(b"././@PaxHeader", Kind.OTHER), b"x", len(records)) + records + padding(len(records))
    return extended + _block(member._replace(name=name), b"0", stored) + table


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


def _block(member: Member, kind: bytes, size: int) -> bytes:
    seconds, nanoseconds = divmod(member.modified, _NANO)
    fields: bytes = b"".join(
        (
            member.name[:_NAME].ljust(_NAME, b"\0"),
            b"%07o\0" % (member.mode & 0o7777),
            b"0000000\0",
            b"0000000\0",
            _number(size, 12),
            _number(seconds, 12),
            b"        ",
            kind,
            member.target[:_NAME].ljust(_NAME, b"\0"),
            _MAGIC,
            bytes(64),
            b"0000000\0",
            _number(nanoseconds, 8),
            bytes(155 + 12),
        )
    )
    total: bytes = b"%06o\0 " % sum(fields)
    return fields[:148] + total + fields[156:]


def _number(value: int, width: int) -> bytes:
    """Octal digits, or where these do not suffice, binary with the first bit set."""
    if 0 <= value < 1 << 3 * (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return bytes([0x80 if value >= 0 else 0xFF]) + (value & ((1 << 8 * (width - 1)) - 1)).to_bytes(width - 1)


# --- reading ---------------------------------------------------------------------------------------------------------


def left_out(names: list[bytes]) -> bytes:
    """Says at the end that these could not be packed: so many of them as are told."""
    records = b"".join(_record(LEFT_OUT, name.replace(b"\n", b"?")) for name in names[:LEFT_OUT_TOLD])
    return _block(Member(b"././@PaxHeader", Kind.OTHER), b"g", len(records)) + records + padding(len(records))


class _Extended:
    """What records before a member say of it."""

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.target: bytes | None = None
        self.size: int | None = None
        self.modified: int | None = None
        self.sparse: dict[bytes, bytes] = {}
        self.offsets: list[int] = []
        self.lengths: list[int] = []

    def take(self, key: bytes, value: bytes) -> None:
        if key == b"path":
            self.name = value
        elif key == b"linkpath":
            self.target = value
        elif key == b"size":
            self.size = _decimal(value)
        elif key == b"mtime":
            self.modified = _time(value)
        elif key == b"GNU.sparse.offset":
            self.offsets.append(_decimal(value))
        elif key == b"GNU.sparse.numbytes":
            self.lengths.append(_decimal(value))
        elif key.startswith(b"GNU.sparse."):
            self.sparse[key[11:]] = value


class Parser:
    """Takes an archive apart; `close` says whether it was complete, `left_out` what the packer could not read."""

    def __init__(self, sink: Sink) -> None:
        self.left_out: list[bytes] = []
        self._sink = sink
        self._buffer = bytearray()
        self._at = 0
        self._ended = False
        self._steps = self._run()
        next(self._steps)

    def feed(self, piece: bytes) -> None:
        """The next bytes; what comes after the end is not looked at."""
        if self._ended:
            return
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += piece
        next(self._steps)

    def close(self) -> None:
        """The archive is over."""
        if not self._ended:
            raise SteadError("malformed", "the archive ends before it is complete")

    def _run(self) -> Generator[None, None, None]:
        while True:
            block = yield from self._exactly(BLOCK)
            if not any(block):
                break
            yield from self._member(block, _Extended())
        self._ended = True
        while True:
            yield

    def _exactly(self, count: int) -> Generator[None, None, bytes]:
        while len(self._buffer) - self._at < count:
            yield
        found = bytes(self._buffer[self._at : self._at + count])
        self._at += count
        return found

    def _padded(self, size: int) -> Generator[None, None, bytes]:
        if size > EXTENSION_BYTES:
            raise SteadError("too_large", f"names and records of a member have at most {EXTENSION_BYTES} bytes")
        content = yield from self._exactly(size)
        yield from self._exactly(-size % BLOCK)
        return content

    def _member(self, block: bytes, extended: _Extended) -> Generator[None, None, None]:
        kept = 0
        while (kind := _checked(block)) in b"xgXLK":
            size = _field(block, 124, 12)
            kept += size
            if kept > 4 * EXTENSION_BYTES:
                raise SteadError("too_large", "a member has too many records")
            content = yield from self._padded(size)
            if kind in b"LK":
                name = content.split(b"\0", 1)[0]
                extended.name, extended.target = (name, extended.target) if kind == b"L" else (extended.name, name)
            elif kind == b"g":
                told = [value for key, value in _records(content) if key == LEFT_OUT]
                self.left_out += told[: LEFT_OUT_TOLD - len(self.left_out)]
                return
            else:
                for key, value in _records(content):
                    extended.take(key, value)
            block = yield from self._exactly(BLOCK)
            if not any(block):
                raise SteadError("malformed", "the archive ends before it is complete")
        yield from self._content(block, kind, extended)

    def _content(self, block: bytes, kind: bytes, extended: _Extended) -> Generator[None, None, None]:
        stored = _field(block, 124, 12) if extended.size is None else extended.size
        member = _plain(block, kind, extended, stored)
        before = 0
        if kind == b"S":
            parts = yield from self._old_sparse(block)
            member = member._replace(size=_field(block, 483, 12), parts=parts)
        elif extended.sparse or extended.offsets:
            parts, before = yield from self._pax_sparse(extended, stored)
            member = member._replace(
                size=_decimal(extended.sparse.get(b"realsize", extended.sparse.get(b"size", b"0"))),
                name=extended.sparse.get(b"name", member.name),
                parts=parts,
            )
        _check_parts(member, stored - before)
        self._sink.member(member)
        if member.kind in {Kind.FILE, Kind.OTHER}:
            yield from self._data(member, stored - before)
        self._sink.done()

    def _data(self, member: Member, stored: int) -> Generator[None, None, None]:
        for start, length in ((0, stored),) if member.parts is None else member.parts:
            offset, left = start, length
            while left:
                while self._at == len(self._buffer):
                    yield
                piece = bytes(memoryview(self._buffer)[self._at : self._at + left])
                self._at += len(piece)
                self._sink.content(offset, piece)
                offset += len(piece)
                left -= len(piece)
        yield from self._exactly(-stored % BLOCK)

    def _old_sparse(self, block: bytes) -> Generator[None, None, tuple[Part, ...]]:
        """The map in the header of GNU's own format, and in the blocks after it."""
        parts = _pairs(block, 386, 4)
        more = block[482]
        while more:
            block = yield from self._exactly(BLOCK)
            parts += _pairs(block, 0, 21)
            more = block[504]
            if len(parts) > SPARSE_PARTS:
                raise SteadError("too_large", f"a sparse file has at most {SPARSE_PARTS} pieces")
        return tuple(parts)

    def _pax_sparse(self, extended: _Extended, stored: int) -> Generator[None, None, tuple[tuple[Part, ...], int]]:
        """The map of the three formats that use records; and how many stored bytes it took."""
        if extended.sparse.get(b"major") == b"1":
            numbers, taken = yield from self._table(stored)
        elif b"map" in extended.sparse:
            numbers, taken = [_decimal(value) for value in extended.sparse[b"map"].split(b",") if value], 0
        else:
            pairs = zip(extended.offsets, extended.lengths, strict=False)
            numbers, taken = [number for pair in pairs for number in pair], 0
        if len(numbers) % 2 or len(numbers) > 2 * SPARSE_PARTS:
            raise SteadError("malformed", "the map of a sparse file is broken")
        return tuple(zip(numbers[::2], numbers[1::2], strict=True)), taken

    def _table(self, stored: int) -> Generator[None, None, tuple[list[int], int]]:
        text = b""
        taken = 0
        count = -1
        while count < 0 or text.count(b"\n") < 1 + 2 * count:
            taken += BLOCK
            if taken > stored or taken > EXTENSION_BYTES:
                raise SteadError("malformed", "the map of a sparse file is broken")
            text += yield from self._exactly(BLOCK)
            if count < 0 and b"\n" in text:
                count = _decimal(text[: text.index(b"\n")])
        lines = text.split(b"\n")
        return [_decimal(line) for line in lines[1 : 1 + 2 * count]], taken


def _checked(block: bytes) -> bytes:
    """The type of a header whose sum is right."""
    wanted = _octal(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    if wanted != total and wanted != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise SteadError("malformed", "this is no tar archive, or a broken one")
    return block[156:157]


def _plain(block: bytes, kind: bytes, extended: _Extended, stored: int) -> Member:
    name = block[:_NAME].split(b"\0", 1)[0]
    if block[257:265] == _MAGIC and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    name = name if extended.name is None else extended.name
    found = _KINDS.get(kind, Kind.OTHER)
    if found is Kind.FILE and kind != b"S" and extended.name is None and name.endswith(b"/"):
        found = Kind.DIRECTORY
    nanoseconds = _field(block, 337, 8) if found is not Kind.OTHER else 0
    modified = _field(block, 136, 12, signed=True) * _NANO + (nanoseconds if 0 <= nanoseconds < _NANO else 0)
    return Member(
        name,
        found,
        _field(block, 100, 8) & 0o7777,
        stored,
        modified if extended.modified is None else extended.modified,
        block[157:257].split(b"\0", 1)[0] if extended.target is None else extended.target,
    )


def _check_parts(member: Member, stored: int) -> None:
    """The parts are in order, inside of the file, and are what is stored."""
    if not 0 <= stored <= SIZE or not 0 <= member.size <= SIZE:
        raise SteadError("too_large", "a member of the archive has an impossible size")
    if member.parts is None:
        return
    end = 0
    for start, length in member.parts:
        if start < end or start + length > member.size:
            raise SteadError("malformed", "the map of a sparse file is broken")
        end = start + length
    if sum(length for _, length in member.parts) != stored:
        raise SteadError("malformed", "the map of a sparse file is broken")


def _pairs(block: bytes, at: int, count: int) -> list[Part]:
    found = []
    for start in range(at, at + 24 * count, 24):
        if block[start : start + 24].strip(b"\0") == b"":
            break
        found.append((_field(block, start, 12), _field(block, start + 12, 12)))
    return found


def _records(content: bytes) -> Iterable[tuple[bytes, bytes]]:
    at = 0
    while at < len(content) and content[at : at + 1] != b"\0":
        found = _PAX.match(content, at)
        end = at + int(found[1]) if found else 0
        key, equals, value = content[found.end() : end - 1].partition(b"=") if found else (b"", b"", b"")
        if not equals or end > len(content) or content[end - 1 : end] != b"\n":
            raise SteadError("malformed", "the records of a member are broken")
        yield key, value
        at = end


def _field(block: bytes, at: int, width: int, *, signed: bool = False) -> int:
    field = block[at : at + width]
    if field[0] == 0x80:
        value = int.from_bytes(field[1:])
    elif field[0] == 0xFF:
        value = int.from_bytes(field[1:]) - (1 << 8 * (width - 1))
    else:
        value = _octal(field)
    if (value < 0 and not signed) or abs(value) > SIZE:
        raise SteadError("malformed", "a number of a member is impossible")
    return value


def _octal(field: bytes) -> int:
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise SteadError("malformed", "this is no tar archive, or a broken one")
    return int(digits, 8)


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise SteadError("malformed", "a number of a member is impossible")
    return int(value)


def _time(value: bytes) -> int:
    found = _TIME.fullmatch(value.decode("latin-1"))
    if found is None:
        raise SteadError("malformed", "the time of a member is broken")
    seconds, fraction = int(found[1]), int((found[2] or "").ljust(9, "0"))
    return seconds * _NANO + (-fraction if found[1].startswith("-") else fraction)
