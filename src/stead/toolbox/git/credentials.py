"""A credential for one call: through a pipe to a helper that answers once, for one host, and keeps nothing.

Contract: `lent(credential, host)` is a context that gives the options and the open descriptor for one run of git. The
secret is in no argument, no variable and no file: the helper is a shell function that passes on what is in the pipe, and
the pipe is empty afterwards. The helpers of the workspace's own configuration neither answer nor hear of it. No hooks run
meanwhile, unless `hooks`: that of a push runs after the connection is made, when the pipe has been read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.git import names
from stead.toolbox.git.contract import Credential

_OPEN = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


class Lent(NamedTuple):
    """What git is started with."""

    options: list[str]
    descriptors: list[int]
    credential: Credential | None


NONE = Lent([], [], None)


@contextlib.contextmanager
def lent(credential: Credential | None, host: str, *, hooks: bool = False) -> Iterator[Lent]:
    """Without a credential nothing changes: the workspace's own helpers serve."""
    if credential is None:
        yield NONE
        return
    names.credential(credential)
    if not host:
        raise SteadError("invalid", "a credential is for http and https addresses", field="credential")
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, f"username={credential.username}\npassword={credential.password}\n".encode())
        finally:
            os.close(writer)
        helper = f'!f() {{ test "$1" = get && cat {_OPEN}/{reader}; }}; f'
        settings = {"credential.helper": "", f"credential.{host}.helper": helper, "http.followRedirects": "initial"}
        settings |= {} if hooks else {"core.hooksPath": os.devnull}
        yield Lent([word for item in settings.items() for word in ("-c", "=".join(item))], [reader], credential)
    finally:
        os.close(reader)
