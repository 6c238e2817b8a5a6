"""The rights that a token's scopes can name.

Contract: `check_scopes(caller, scopes)` raises "invalid" for what is no right and "forbidden" for what the caller's own
credential does not carry.
"""

from __future__ import annotations

from collections.abc import Iterable

from stead.control.people.caller import ADMIN, EVERYTHING, Caller
from stead.protocol.errors import SteadError
from stead.protocol.methods import Right

ACCOUNT = "account"
"""One's own tokens, sessions and tickets."""

RIGHTS = (*(right.value for right in Right), ACCOUNT, ADMIN)


def check_scopes(caller: Caller, scopes: Iterable[str]) -> list[str]:
    """The scopes themselves, each once."""
    wanted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in RIGHTS and scope != EVERYTHING]
    if unknown or not wanted:
        raise SteadError("invalid", f"scopes: choose from {', '.join([*RIGHTS, EVERYTHING])}")
    missing = [scope for scope in wanted if not (scope in caller.scopes or EVERYTHING in caller.scopes)]
    if missing:
        raise SteadError("forbidden", f"your own credential does not carry {', '.join(missing)}")
    return wanted
