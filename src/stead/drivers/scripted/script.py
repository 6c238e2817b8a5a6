"""What a scripted workspace does: how slow, how often it fails, when it dies.

Contract: the options table `scripted` of a node is a `Script`; a workspace may bring its own as JSON in its environment
variable `STEAD_SCRIPT`, which replaces the node's.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceSpec

VARIABLE = "STEAD_SCRIPT"


Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in seconds, rates from 0 to 1, zero for never."""

    start_seconds: Annotated[Seconds, Meta(description="How long a start takes.")] = 0.0
    stop_seconds: Annotated[Seconds, Meta(description="How long a stop takes.")] = 0.0
    delete_seconds: Annotated[Seconds, Meta(description="How long a delete takes.")] = 0.0
    jitter: Annotated[Share, Meta(description="A share of each time that is drawn anew each time.")] = 0.0
    never_ready: Annotated[bool, Meta(description="A start never ends by itself.")] = False
    fail_rate: Annotated[
        Share, Meta(description="Any verb fails so often, before or after its effect, and may be tried again.")
    ] = 0.0
    fail_first: Annotated[Count, Meta(description="So many starts of a workspace fail and may be tried again.")] = 0
    fail_after: Annotated[Count, Meta(description="From then on every start on this node is refused for good.")] = 0
    die_after_seconds: Annotated[Seconds, Meta(description="A running workspace breaks by itself.")] = 0.0
    lose_channel_after_bytes: Annotated[Count, Meta(description="A channel is cut when this much came out of it.")] = 0
    isolation: Annotated[
        Literal["none", "namespaces", "container", "vm"], Meta(description="What it says it separates by.")
    ] = "none"
    seed: Annotated[int, Meta(description="What chance begins with; the same seed fails alike.")] = 0


def script_of(spec: WorkspaceSpec, script: Script) -> Script:
    """The script of this workspace."""
    text = spec.environment.get(VARIABLE)
    if text is None:
        return script
    try:
        return msgspec.json.decode(text, type=Script)
    except msgspec.DecodeError as error:
        raise SteadError("invalid", f"{VARIABLE}: {error}") from error
