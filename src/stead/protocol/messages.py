"""Every text message of the wire, as types: the source of the JSON Schemas, the TypeScript and the docs.

Contract: `encode(message) -> bytes`, `decode(data) -> Message` (raises SteadError "malformed" / "version_unsupported" /
"too_large", with `request_id` in its details where readable). A message has `type` (the tag), `schema_version` and, where
an answer is due, `request_id`; the answer is always one `Ack`. Unknown fields are ignored, so that newer peers can add.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stead.protocol.errors import Fault
from stead.protocol.frames import PAYLOAD_BYTES

SCHEMA_VERSION = "1"


def _empty() -> msgspec.Raw:
    """Params that were left out."""
    return msgspec.Raw(b"{}")


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every message has."""

    schema_version: Literal["1"] = "1"


class Request(Message):
    """A message whose sender waits for an `Ack` with the same id."""

    request_id: str


# --- any hop -------------------------------------------------------------------------------------------------------


class Ack(Message, tag="ack"):
    """The one answer: `ok` with a result, or not with a fault."""

    request_id: str
    ok: bool
    result: Any = None
    error: Fault | None = None


class Ping(Request, tag="link.ping"):
    """Answered at once, before anything else."""


class Credit(Message, tag="link.credit"):
    """The receiver has taken this many payload bytes of this link since it opened."""

    taken: int


class GoAway(Message, tag="link.goaway"):
    """The sender will close soon: open nothing new here, come back after the pause."""

    reason: str
    retry_after: float = 0.0


class Challenge(Message, tag="link.challenge"):
    """First message on a node link: sign this."""

    nonce: str


class Welcome(Message, tag="link.welcome"):
    """The hello was accepted."""

    protocol: str
    boot_id: str
    server_version: str
    heartbeat_seconds: float = 30.0


class Refused(Message, tag="link.refused"):
    """The hello was not accepted; the link closes."""

    error: Fault


# --- hellos --------------------------------------------------------------------------------------------------------


class Facts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a machine is."""

    hostname: str
    os: str
    arch: str
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0


class DriverFacts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a node's driver can give, honestly."""

    name: str
    isolation: list[str]
    limits: list[str] = []
    hibernate: list[str] = []
    persistence: str = "disk"
    note: str = ""


class NodeHello(Message, tag="node.hello"):
    """A node proves its key (signature over nonce and node id) and says what it is."""

    node_id: str
    signature: str
    protocol: str
    boot_id: str
    epoch: int
    version: str
    facts: Facts
    drivers: list[DriverFacts]
    labels: dict[str, str] = {}
    max_workspaces: int = 0


class ClientHello(Message, tag="client.hello"):
    """A browser, CLI or SDK says what it is; who it is was settled by the upgrade request."""

    protocol: str
    client: str
    boot_id: str


class GuestHello(Message, tag="guest.hello"):
    """A guest's first message after `link.upgrade`."""

    protocol: str
    boot_id: str
    version: str
    capabilities: list[str] = []


# --- node to control plane -----------------------------------------------------------------------------------------


class WorkspaceReport(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One workspace as its node sees it now."""

    workspace_id: str
    generation: int
    state: Literal["starting", "running", "stopped", "failed", "absent"]
    driver: str = ""
    isolation: str = ""
    limits: list[str] = []
    persistence: str = ""
    guest_boot_id: str = ""
    guest_restarts: int = 0
    last_sequence: int = 0
    error: Fault | None = None


class Health(Message, tag="node.health"):
    """Real figures, every heartbeat."""

    at: float
    cpu_percent: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_total_bytes: int
    uptime_seconds: float
    load1: float = 0.0
    workspaces: int = 0
    active: dict[str, float] = {}


class Inventory(Request, tag="node.inventory"):
    """All workspaces of the node in pages; a reconciler acts on it only when `last` has come."""

    inventory_id: str
    page: int
    last: bool
    workspaces: list[WorkspaceReport]


class WorkspaceChanged(Request, tag="workspace.changed"):
    """A workspace changed by itself (its guest died or came back)."""

    report: WorkspaceReport


class CommandProgress(Message, tag="command.progress"):
    """The command runs; extends its lease."""

    command_id: str
    step: str
    detail: str = ""
    seconds: float = 0.0
    done: bool = False


class CommandResult(Request, tag="command.result"):
    """The command's end, repeated until acknowledged."""

    command_id: str
    outcome: Literal["completed", "failed", "unknown"]
    report: WorkspaceReport | None = None
    error: Fault | None = None


# --- control plane to node -----------------------------------------------------------------------------------------


class WorkspaceSpec(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a workspace is to be; all a driver needs."""

    workspace_id: str
    name: str
    generation: int
    driver: str
    isolation: str = ""
    cpus: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    environment: dict[str, str] = {}
    setup: list[str] = []


class Command(Request, tag="command.deliver"):
    """A durable order; acknowledged once it is in the node's journal."""

    command_id: str
    workspace_id: str
    sequence: int
    kind: Literal["start", "stop", "restart", "delete"]
    spec: WorkspaceSpec
    deadline: float
    attempt: int = 1


class CommandCancel(Request, tag="command.cancel"):
    """Do not start this command if it has not begun."""

    command_id: str


class Drain(Message, tag="node.drain"):
    """Take no new workspaces (or take them again)."""

    draining: bool


# --- through all hops ----------------------------------------------------------------------------------------------


class Call(Request, tag="call"):
    """One toolbox call in a workspace; `params` pass undecoded."""

    workspace_id: str
    method: str
    params: msgspec.Raw = msgspec.field(default_factory=_empty)
    timeout: float = 60.0


class StreamOpen(Request, tag="stream.open"):
    """Open a stream in a workspace; `params` pass undecoded. The same id again attaches, never opens twice.

    `timeout` is how many seconds the opening may take, as with a call; what a hop waited is gone for those beyond it.
    `frame_bytes` is the most payload of a DATA frame that the opener and every hop so far take; a hop that takes less
    lowers it, and one that does not know it leaves it out.
    """

    stream_id: str
    workspace_id: str
    kind: str
    params: msgspec.Raw = msgspec.field(default_factory=_empty)
    timeout: float = 60.0
    frame_bytes: int = PAYLOAD_BYTES


class StreamResume(Request, tag="stream.resume"):
    """After a reconnect or a loss: I have `received` bytes; the answer's result is `{"received": n}` of the other end.

    `frame_bytes` as in `stream.open`, over the hops that carry the stream from now on.
    """

    stream_id: str
    workspace_id: str
    received: int
    frame_bytes: int = PAYLOAD_BYTES


class StreamDetached(Message, tag="stream.detached"):
    """The opener's link is gone; its streams wait for a resume."""

    stream_id: str
    workspace_id: str


class StreamLost(Message, tag="stream.lost"):
    """A relay dropped frames of this stream (a full queue, a link that came back): resume it."""

    stream_id: str


# --- events for whoever watches ------------------------------------------------------------------------------------


class Watch(Request, tag="events.watch"):
    """A client wants events after this cursor (empty: from now)."""

    after: str = ""


class EventNotice(Message, tag="event"):
    """Something the caller may see has changed."""

    cursor: str
    at: float
    kind: str
    subject: str
    data: dict[str, Any] = {}


AnyMessage = (
    Ack
    | Ping
    | Credit
    | GoAway
    | Challenge
    | Welcome
    | Refused
    | NodeHello
    | ClientHello
    | GuestHello
    | Health
    | Inventory
    | WorkspaceChanged
    | CommandProgress
    | CommandResult
    | Command
    | CommandCancel
    | Drain
    | Call
    | StreamOpen
    | StreamResume
    | StreamDetached
    | StreamLost
    | Watch
    | EventNotice
)
