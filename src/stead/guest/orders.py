"""What a guest is told beside what its holder needs: its doors, its policy, its limits.

Contract: `orders_of(settings)` reads them out of the settings; a driver's guest has none and serves its socket alone, without a
policy. `Orders` is their shape, also in the file that `stead.guest.configuration` makes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.guest.limiter import DEFAULT, Limits
from stead.protocol.errors import SteadError
from stead.protocol.guest import RETRY_SECONDS
from stead.toolbox.holding.settings import Settings
from stead.toolbox.permits import Policy


class Door(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A way in: the path of a socket, the path or name of a device, or host and port with a file that has the token."""

    kind: Literal["socket", "device", "console", "http"]
    where: str
    token_file: str = ""


class Orders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """All of it. `together`: the limits hold for all that comes through one door, not for the lines of each channel alone."""

    doors: tuple[Door, ...] = ()
    policy: Policy | None = None
    limits: Limits = DEFAULT
    together: bool = False
    retry_seconds: float = RETRY_SECONDS
    log_level: str = "warning"


NONE = Orders()


def orders_of(settings: Settings) -> Orders:
    """Those in the settings."""
    try:
        return msgspec.convert(settings.guest, Orders)
    except msgspec.ValidationError as error:
        raise SteadError("invalid", f"guest: {error}") from None
