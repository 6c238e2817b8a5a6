"""The public types of `/api/v1`: what requests and answers look like. OpenAPI and TypeScript are generated from them.

Contract: request structs refuse unknown fields; answer structs may grow. Times are seconds since 1970. Lists answer
`Page`-shaped structs: `items` and `next` (an opaque cursor, empty at the end).
"""

from __future__ import annotations

from typing import Any

import msgspec

from stead.model.workspaces import CommandKind, Desired, Isolation, Observed
from stead.protocol.errors import Fault
from stead.protocol.messages import DriverFacts, Facts


class Body(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request."""


class Answer(msgspec.Struct, kw_only=True):
    """An answer."""


class ErrorAnswer(Answer):
    """The one error shape of every route."""

    error: Fault
    request_id: str


# --- server --------------------------------------------------------------------------------------------------------


class HealthAnswer(Answer):
    """GET /health (no credential): alive, and whether the database answers."""

    status: str
    database: str


class VersionAnswer(Answer):
    """GET /version."""

    version: str
    protocol: str
    api: str


# --- workspaces ----------------------------------------------------------------------------------------------------


class WorkspaceCreate(Body):
    """POST /workspaces. Empty `name`: one is made. No `isolation`: the node's best; else at least this, or it fails."""

    name: str = ""
    driver: str = "process"
    node: str = ""
    labels: dict[str, str] = {}
    node_labels: dict[str, str] = {}
    isolation: Isolation | None = None
    cpus: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    environment: dict[str, str] = {}
    setup: list[str] = []


class WorkspacePatch(Body):
    """PATCH /workspaces/{id} with If-Match."""

    name: str | None = None
    labels: dict[str, str] | None = None


class Step(Answer):
    """One named step of making a workspace."""

    name: str
    detail: str
    started: float
    seconds: float | None


class Workspace(Answer):
    """A workspace as the control plane knows it. `reachable` is false while its node is silent; the state stays."""

    id: str
    name: str
    owner: str
    node_id: str | None
    node_name: str | None
    driver: str
    desired: Desired
    state: Observed
    reachable: bool
    generation: int
    isolation: Isolation | None
    isolation_wanted: Isolation | None
    limits: list[str]
    persistence: str
    hibernate: list[str]
    cpus: float
    memory_bytes: int
    processes: int
    labels: dict[str, str]
    environment_names: list[str]
    setup: list[str]
    steps: list[Step]
    guest_restarts: int
    error: Fault | None
    created: float
    updated: float
    version: int


class WorkspacePage(Answer):
    """GET /workspaces?name=&state=&node=&label=k=v&owner=&limit=&after="""

    items: list[Workspace]
    next: str


# --- commands ------------------------------------------------------------------------------------------------------


class Command(Answer):
    """One durable order to a node."""

    id: str
    workspace_id: str
    node_id: str
    sequence: int
    kind: CommandKind
    state: str
    attempts: int
    deadline: float
    created: float
    sent: float | None
    acknowledged: float | None
    ended: float | None
    error: Fault | None


class CommandPage(Answer):
    """GET /commands?workspace=&node=&state=&limit=&after="""

    items: list[Command]
    next: str


# --- nodes ---------------------------------------------------------------------------------------------------------


class NodeEnrol(Body):
    """POST /nodes/enrol (no credential but the single-use token): the node's name and Ed25519 public key (base64)."""

    token: str
    name: str
    public_key: str
    labels: dict[str, str] = {}


class NodeEnrolled(Answer):
    """The node's id; it may connect once approved."""

    node_id: str
    approved: bool


class NodePatch(Body):
    """PATCH /nodes/{id} with If-Match."""

    name: str | None = None
    labels: dict[str, str] | None = None
    max_workspaces: int | None = None
    draining: bool | None = None
    approved: bool | None = None


class NodeHealth(Answer):
    """The last figures a node sent."""

    at: float
    cpu_percent: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_total_bytes: int
    uptime_seconds: float
    load1: float
    workspaces: int


class Node(Answer):
    """A node. status: pending (not approved), online, draining, offline."""

    id: str
    name: str
    status: str
    approved: bool
    draining: bool
    labels: dict[str, str]
    max_workspaces: int
    workspaces: int
    facts: Facts | None
    drivers: list[DriverFacts]
    version: str
    protocol: str
    health: NodeHealth | None
    last_seen: float | None
    created: float
    version_number: int


class NodePage(Answer):
    """GET /nodes?status=&label=k=v&limit=&after="""

    items: list[Node]
    next: str


class NodeTokenCreate(Body):
    """POST /nodes/tokens: a single-use enrolment token."""

    lifetime_seconds: float = 3600.0
    labels: dict[str, str] = {}


class NodeToken(Answer):
    """The token is shown once."""

    id: str
    token: str
    expires: float


class KeyRotate(Body):
    """POST /nodes/{id}/key: a new public key, signed by the old one over `rotate:<node id>:<new key>`."""

    public_key: str
    signature: str


# --- people --------------------------------------------------------------------------------------------------------


class UserCreate(Body):
    """POST /users (admin). A login link is answered once."""

    name: str
    role: str = "member"


class UserPatch(Body):
    """PATCH /users/{id} (admin) with If-Match."""

    role: str | None = None
    disabled: bool | None = None


class User(Answer):
    """A person. role: admin | member."""

    id: str
    name: str
    role: str
    disabled: bool
    created: float
    version: int


class UserCreated(Answer):
    """`login` is a one-time login code, to be opened as `<url>/login#<code>`."""

    user: User
    login: str


class UserPage(Answer):
    """GET /users"""

    items: list[User]
    next: str


class TokenCreate(Body):
    """POST /tokens: scopes are rights (`workspace:read`, ... or `*`); lifetime 0 never expires.

    Without a lifetime it is 30 days, or less where the token that asks ends sooner: no token outlives the one that made it.
    """

    name: str
    scopes: list[str] = msgspec.field(default_factory=lambda: ["*"])
    lifetime_seconds: float | None = None


class Token(Answer):
    """An API token, without its secret. `made_by` is the token that made it, which takes it along when it is revoked."""

    id: str
    user_id: str
    name: str
    scopes: list[str]
    created: float
    expires: float | None
    last_used: float | None
    made_by: str | None = None


class TokenCreated(Answer):
    """The secret is shown once."""

    token: Token
    secret: str


class TokenPage(Answer):
    """GET /tokens"""

    items: list[Token]
    next: str


class Login(Body):
    """POST /login: a one-time login code becomes a browser session (cookie) or, with `token_name`, an API token."""

    code: str
    token_name: str = ""


class LoginAnswer(Answer):
    """Who logged in; `secret` only when a token was asked for."""

    user: User
    secret: str = ""


class WhoAmI(Answer):
    """GET /whoami"""

    user: User
    scopes: list[str]
    via: str


class Session(Answer):
    """A browser session."""

    id: str
    user_id: str
    created: float
    expires: float
    last_used: float | None
    current: bool


class SessionPage(Answer):
    """GET /sessions"""

    items: list[Session]
    next: str


class Ticket(Answer):
    """POST /tickets: opens one WebSocket within 40 seconds (`?ticket=`)."""

    ticket: str
    expires: float


# --- watching ------------------------------------------------------------------------------------------------------


class Event(Answer):
    """Something changed; `cursor` resumes after it."""

    cursor: str
    at: float
    kind: str
    subject: str
    data: dict[str, Any]


class EventPage(Answer):
    """GET /events?subject=&after=&limit="""

    items: list[Event]
    next: str


class AuditEntry(Answer):
    """Who did what."""

    id: str
    at: float
    actor: str
    via: str
    action: str
    subject: str
    outcome: str
    details: dict[str, Any]


class AuditPage(Answer):
    """GET /audit?actor=&subject=&action=&limit=&after= (admin)"""

    items: list[AuditEntry]
    next: str


# --- in a workspace ------------------------------------------------------------------------------------------------


class ExecRun(Body):
    """POST /workspaces/{id}/exec: runs and answers with the end; `background` answers at once with the exec id."""

    argv: list[str]
    shell: bool = False
    cwd: str = "."
    environment: dict[str, str] = {}
    timeout: float = 0.0
    background: bool = False
    stdin: str = ""


class ExecAnswer(Answer):
    """Output as text (invalid UTF-8 replaced) and as base64; `clipped` when more is kept than shown."""

    exec_id: str
    state: str
    exit_code: int | None
    signal: int | None
    stdout: str
    stderr: str
    stdout_base64: str
    stderr_base64: str
    clipped: bool
    error: str


class ExecStatus(Answer):
    """GET /workspaces/{id}/execs/{exec_id}: an exec and, when over, its end."""

    exec_id: str
    state: str
    argv: list[str] = []
    exit_code: int | None = None
    signal: int | None = None
    started: float = 0.0
    ended: float | None = None
    output_bytes: int = 0
    truncated: bool = False
    first_cursor: int = 0
    last_cursor: int = 0
    background: bool = False
    error: str = ""


class ExecList(Answer):
    """GET /workspaces/{id}/execs: newest first."""

    items: list[ExecStatus]


class ExecKill(Body):
    """POST /workspaces/{id}/execs/{exec_id}/kill: the whole tree gets the signal; KILL follows a TERM after `grace`."""

    signal: int = 15
    grace: float = 2.0


class FileStat(Answer):
    """GET /workspaces/{id}/files/stat?path=: what is there; links are not followed."""

    path: str
    kind: str
    size: int
    mode: int
    modified: float
    uid: int = 0
    gid: int = 0
    target: str = ""


class FileList(Answer):
    """GET /workspaces/{id}/files/list?path=&depth=: sorted by path; `truncated` when there are more."""

    entries: list[FileStat]
    truncated: bool = False


class FileWritten(Answer):
    """PUT /workspaces/{id}/files?path="""

    path: str
    size: int
    created: bool = False


class FileDeleted(Answer):
    """DELETE /workspaces/{id}/files?path=: `existed` is false when there was nothing."""

    path: str
    existed: bool


class FileMakeDirectory(Body):
    """POST /workspaces/{id}/files/mkdir; already there is success unless `exclusive`."""

    path: str
    parents: bool = False
    exclusive: bool = False


class FileMove(Body):
    """POST /workspaces/{id}/files/move"""

    source: str
    target: str
    overwrite: bool = False
