"""Bytes at random, from what is right: an archive, a diff and an ignore file raise SteadErrors and nothing else."""

import random
import tarfile
from collections.abc import Callable

import pytest

from stead.protocol.errors import SteadError
from stead.testing import fuzzfiles
from stead.toolbox.trees import tar
from stead.toolbox.trees.tar import Kind, Member


def archives() -> list[bytes]:
    info = tarfile.TarInfo("n" * 120)
    info.size = 5
    pax = info.tobuf(tarfile.PAX_FORMAT) + b"hello" + bytes(507) + tar.END
    sparse = Member(b"s", Kind.FILE, size=9000, parts=((0, 3), (5000, 4), (9000, 0)))
    ours = tar.header(sparse) + b"abcdefg" + tar.padding(7)
    ours += tar.header(Member(b"x" * 200, Kind.LINK, target=b"y" * 150)) + tar.left_out([b"a"]) + tar.END
    return [pax, ours]


DIFFS = [
    b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No\n",
    b'diff --git "a/\\303\\244" b/x y\nrename from "\\303\\244"\nrename to x y\n',
]
IGNORES = [b"*.log\n!/a/**/b[a-z[:alpha:]]\\ \n**/x/\r\n#c\n\\!d\n", b"a**b*c?d[!x]\n"]


@pytest.mark.parametrize(
    ("target", "cases"),
    [(fuzzfiles.archive, archives()), (fuzzfiles.diff, DIFFS), (fuzzfiles.ignore, IGNORES)],
    ids=["archive", "diff", "ignore"],
)
def test_random_bytes(target: Callable[[bytes], None], cases: list[bytes]) -> None:
    for case in cases:
        target(case)
    draw = random.Random(11)
    for _ in range(1500):
        data = bytearray(draw.choice(cases))
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(data))
            match draw.randrange(4):
                case 0:
                    data[at] = draw.randrange(256)
                case 1:
                    del data[at : at + draw.randrange(1, 9)]
                case 2:
                    data[at:at] = data[at : at + draw.randrange(1, 40)]
                case _:
                    data[at : at + 1] = draw.choice([b"0", b"9999999999", b"\xff", b"/", b"\0", b"*", b"[", b"\n"])
            if not data:
                break
        if target is fuzzfiles.archive and len(data) >= 512:
            data[148:156] = b" " * 8
            data[148:156] = b"%06o\0 " % sum(data[:512])
        try:
            target(bytes(data))
        except SteadError:
            continue
