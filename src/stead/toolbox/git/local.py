"""What does the operations of the git area here."""

from __future__ import annotations

from functools import partial

from stead.toolbox.git.command import Git
from stead.toolbox.git.status import status
from stead.toolbox.operations import Work
from stead.toolbox.place import Place


def work(place: Place) -> Work:
    git = Git(place)
    return {"git.status": partial(status, git)}
