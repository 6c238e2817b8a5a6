"""`stead mock-control`: hands over to the small control plane of `stead.testing`, which nothing imports."""

from __future__ import annotations

import os
import sys

from stead.cli.context import Context
from stead.cli.words import Namespace, Verb


def mock(context: Context, arguments: Namespace) -> int:
    """Becomes that program; it reads what is left of the line itself."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "stead.testing.mockcontrol", *arguments.rest])  # noqa: S606


VERBS = {"mock": Verb("a small control plane to drive by typing", plain=mock, raw=True)}
