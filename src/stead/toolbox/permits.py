"""A policy as data: roots for reading and writing, programs, sizes, times. What holds a toolbox to it is in `policy`.

Contract: `Policy`. Nothing of a system is imported here, so that a guest of any system can read one.
"""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """None is no limit of ours. Paths are absolute: directories with all that is below them, or single files."""

    read_paths: tuple[str, ...] | None = None
    write_paths: tuple[str, ...] | None = None
    programs: tuple[str, ...] | None = None
    max_file_bytes: int | None = None
    max_exec_seconds: float | None = None

    @property
    def fenced(self) -> bool:
        """Whether places are restricted."""
        return self.read_paths is not None or self.write_paths is not None

    @property
    def selective(self) -> bool:
        """Whether places or programs are, so that what runs other programs is too much."""
        return self.fenced or self.programs is not None
