"""The part of a file that a Range header asks for.

Contract: `part(header, size)` is `(offset, length)`, None for the whole file, or raises "range_unsatisfiable". One range only;
several, other units or nonsense give the whole file, as HTTP allows.
"""

from __future__ import annotations

import re

from stead.protocol.errors import SteadError

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def part(text: str, size: int) -> tuple[int, int] | None:
    """Offset and length of what is asked for."""
    found = _ONE.fullmatch(text.replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        offset = size - length
    else:
        offset = int(found[1])
        length = min(int(found[2]), size - 1) - offset + 1 if found[2] else size - offset
        if found[2] and int(found[2]) < offset:
            return None
    if length <= 0:
        raise SteadError("range_unsatisfiable", f"the file has {size} bytes", size=size)
    return offset, length
