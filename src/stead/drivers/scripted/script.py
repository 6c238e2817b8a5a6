"""What a scripted workspace does: how slow, how often it fails, when it dies.

Contract: the options table `scripted` of a node is a `Script`; a workspace may bring its own as JSON in its environment
variable `STEAD_SCRIPT`, which replaces the node's.
"""

from __future__ import annotations

import msgspec

from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceSpec

VARIABLE = "STEAD_SCRIPT"


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in seconds, rates from 0 to 1, zero for never."""

    start_seconds: float = 0.0
    stop_seconds: float = 0.0
    delete_seconds: float = 0.0
    jitter: float = 0.0
    """A share of each time that is drawn anew each time."""
    never_ready: bool = False
    """A start never ends by itself."""
    fail_rate: float = 0.0
    """Any verb fails so often, before or after its effect, and may be tried again."""
    fail_first: int = 0
    """So many starts of a workspace fail and may be tried again."""
    fail_after: int = 0
    """From then on every start on this node is refused for good."""
    die_after_seconds: float = 0.0
    """A running workspace breaks by itself."""
    lose_channel_after_bytes: int = 0
    """A channel is cut when this much came out of it."""
    isolation: str = "none"
    seed: int = 0


def script_of(spec: WorkspaceSpec, script: Script) -> Script:
    """The script of this workspace."""
    text = spec.environment.get(VARIABLE)
    if text is None:
        return script
    try:
        return msgspec.json.decode(text, type=Script)
    except msgspec.DecodeError as error:
        raise SteadError("invalid", f"{VARIABLE}: {error}") from error
