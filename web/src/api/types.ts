// Generated from the API's types by `make generate`; do not edit.

/** Who did what. */
export interface AuditEntry {
  id: string;
  at: number;
  actor: string;
  via: string;
  action: string;
  subject: string;
  outcome: string;
  details: Record<string, unknown>;
}

/** GET /audit?actor=&subject=&action=&limit=&after= (admin) */
export interface AuditPage {
  items: AuditEntry[];
  next: string;
}

/** One durable order to a node. */
export interface Command {
  id: string;
  workspace_id: string;
  node_id: string;
  sequence: number;
  kind: CommandKind;
  state: string;
  attempts: number;
  deadline: number;
  created: number;
  sent: number | null;
  acknowledged: number | null;
  ended: number | null;
  error: Fault | null;
}

/** Orders to a node. */
export type CommandKind = "delete" | "restart" | "start" | "stop";

/** GET /commands?workspace=&node=&state=&limit=&after= */
export interface CommandPage {
  items: Command[];
  next: string;
}

/** What the user asked for. */
export type Desired = "deleted" | "running" | "stopped";

/** What a node's driver can give, honestly. */
export interface DriverFacts {
  name: string;
  isolation: string[];
  limits?: string[];
  hibernate?: string[];
  persistence?: string;
  note?: string;
}

/** The one error shape of every route. */
export interface ErrorAnswer {
  error: Fault;
  request_id: string;
}

/** Something changed; `cursor` resumes after it. */
export interface Event {
  cursor: string;
  at: number;
  kind: string;
  subject: string;
  data: Record<string, unknown>;
}

/** GET /events?subject=&after=&limit= */
export interface EventPage {
  items: Event[];
  next: string;
}

/** Output as text (invalid UTF-8 replaced) and as base64; `clipped` when more is kept than shown. */
export interface ExecAnswer {
  exec_id: string;
  state: string;
  exit_code: number | null;
  signal: number | null;
  stdout: string;
  stderr: string;
  stdout_base64: string;
  stderr_base64: string;
  clipped: boolean;
  error: string;
}

/** POST /workspaces/{id}/execs/{exec_id}/kill: the whole tree gets the signal; KILL follows a TERM after `grace`. */
export interface ExecKill {
  signal?: number;
  grace?: number;
}

/** GET /workspaces/{id}/execs: newest first. */
export interface ExecList {
  items: ExecStatus[];
}

/** POST /workspaces/{id}/exec: runs and answers with the end; `background` answers at once with the exec id. */
export interface ExecRun {
  argv: string[];
  shell?: boolean;
  cwd?: string;
  environment?: Record<string, string>;
  timeout?: number;
  background?: boolean;
  stdin?: string;
}

/** GET /workspaces/{id}/execs/{exec_id}: an exec and, when over, its end. */
export interface ExecStatus {
  exec_id: string;
  state: string;
  argv: string[];
  exit_code: number | null;
  signal: number | null;
  started: number;
  ended: number | null;
  output_bytes: number;
  truncated: boolean;
  first_cursor: number;
  last_cursor: number;
  background: boolean;
  error: string;
}

/** What a machine is. */
export interface Facts {
  hostname: string;
  os: string;
  arch: string;
  kernel?: string;
  cpus?: number;
  memory_bytes?: number;
  disk_bytes?: number;
}

/** An error as it crosses a wire or the API. */
export interface Fault {
  code: string;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
}

/** DELETE /workspaces/{id}/files?path=: `existed` is false when there was nothing. */
export interface FileDeleted {
  path: string;
  existed: boolean;
}

/** GET /workspaces/{id}/files/list?path=&depth=: sorted by path; `truncated` when there are more. */
export interface FileList {
  entries: FileStat[];
  truncated: boolean;
}

/** POST /workspaces/{id}/files/mkdir; already there is success unless `exclusive`. */
export interface FileMakeDirectory {
  path: string;
  parents?: boolean;
  exclusive?: boolean;
}

/** POST /workspaces/{id}/files/move */
export interface FileMove {
  source: string;
  target: string;
  overwrite?: boolean;
}

/** GET /workspaces/{id}/files/stat?path=: what is there; links are not followed. */
export interface FileStat {
  path: string;
  kind: string;
  size: number;
  mode: number;
  modified: number;
  uid: number;
  gid: number;
  target: string;
}

/** PUT /workspaces/{id}/files?path= */
export interface FileWritten {
  path: string;
  size: number;
  created: boolean;
}

/** GET /health (no credential): alive, and whether the database answers. */
export interface HealthAnswer {
  status: string;
  database: string;
}

/** How far a workspace is kept apart, weakest first. */
export type Isolation = "container" | "namespaces" | "none" | "vm";

/** POST /nodes/{id}/key: a new public key, signed by the old one over `rotate:<node id>:<new key>`. */
export interface KeyRotate {
  public_key: string;
  signature: string;
}

/** POST /login: a one-time login code becomes a browser session (cookie) or, with `token_name`, an API token. */
export interface Login {
  code: string;
  token_name?: string;
}

/** Who logged in; `secret` only when a token was asked for. */
export interface LoginAnswer {
  user: User;
  secret: string;
}

/** A node. status: pending (not approved), online, draining, offline. */
export interface Node {
  id: string;
  name: string;
  status: string;
  approved: boolean;
  draining: boolean;
  labels: Record<string, string>;
  max_workspaces: number;
  workspaces: number;
  facts: Facts | null;
  drivers: DriverFacts[];
  version: string;
  protocol: string;
  health: NodeHealth | null;
  last_seen: number | null;
  created: number;
  version_number: number;
}

/** POST /nodes/enrol (no credential but the single-use token): the node's name and Ed25519 public key (base64). */
export interface NodeEnrol {
  token: string;
  name: string;
  public_key: string;
  labels?: Record<string, string>;
}

/** The node's id; it may connect once approved. */
export interface NodeEnrolled {
  node_id: string;
  approved: boolean;
}

/** The last figures a node sent. */
export interface NodeHealth {
  at: number;
  cpu_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  disk_used_bytes: number;
  disk_total_bytes: number;
  uptime_seconds: number;
  load1: number;
  workspaces: number;
}

/** GET /nodes?status=&label=k=v&limit=&after= */
export interface NodePage {
  items: Node[];
  next: string;
}

/** PATCH /nodes/{id} with If-Match. */
export interface NodePatch {
  name?: string | null;
  labels?: Record<string, string> | null;
  max_workspaces?: number | null;
  draining?: boolean | null;
  approved?: boolean | null;
}

/** The token is shown once. */
export interface NodeToken {
  id: string;
  token: string;
  expires: number;
}

/** POST /nodes/tokens: a single-use enrolment token. */
export interface NodeTokenCreate {
  lifetime_seconds?: number;
  labels?: Record<string, string>;
}

/** What is. */
export type Observed = "deleted" | "failed" | "pending" | "running" | "starting" | "stopped" | "stopping";

/** A browser session. */
export interface Session {
  id: string;
  user_id: string;
  created: number;
  expires: number;
  last_used: number | null;
  current: boolean;
}

/** GET /sessions */
export interface SessionPage {
  items: Session[];
  next: string;
}

/** One named step of making a workspace. */
export interface Step {
  name: string;
  detail: string;
  started: number;
  seconds: number | null;
}

/** POST /tickets: opens one WebSocket within 40 seconds (`?ticket=`). */
export interface Ticket {
  ticket: string;
  expires: number;
}

/** An API token, without its secret. `made_by` is the token that made it, which takes it along when it is revoked. */
export interface Token {
  id: string;
  user_id: string;
  name: string;
  scopes: string[];
  created: number;
  expires: number | null;
  last_used: number | null;
  made_by: string | null;
}

/** POST /tokens: scopes are rights (`workspace:read`, ... or `*`); lifetime 0 never expires.

    Without a lifetime it is 30 days, or less where the token that asks ends sooner: no token outlives the one that made it. */
export interface TokenCreate {
  name: string;
  scopes?: string[];
  lifetime_seconds?: number | null;
}

/** The secret is shown once. */
export interface TokenCreated {
  token: Token;
  secret: string;
}

/** GET /tokens */
export interface TokenPage {
  items: Token[];
  next: string;
}

/** A person. role: admin | member. */
export interface User {
  id: string;
  name: string;
  role: string;
  disabled: boolean;
  created: number;
  version: number;
}

/** POST /users (admin). A login link is answered once. */
export interface UserCreate {
  name: string;
  role?: string;
}

/** `login` is a one-time login code, to be opened as `<url>/login#<code>`. */
export interface UserCreated {
  user: User;
  login: string;
}

/** GET /users */
export interface UserPage {
  items: User[];
  next: string;
}

/** PATCH /users/{id} (admin) with If-Match. */
export interface UserPatch {
  role?: string | null;
  disabled?: boolean | null;
}

/** GET /version. */
export interface VersionAnswer {
  version: string;
  protocol: string;
  api: string;
}

/** GET /whoami */
export interface WhoAmI {
  user: User;
  scopes: string[];
  via: string;
}

/** A workspace as the control plane knows it. `reachable` is false while its node is silent; the state stays. */
export interface Workspace {
  id: string;
  name: string;
  owner: string;
  node_id: string | null;
  node_name: string | null;
  driver: string;
  desired: Desired;
  state: Observed;
  reachable: boolean;
  generation: number;
  isolation: Isolation | null;
  isolation_wanted: Isolation | null;
  limits: string[];
  persistence: string;
  hibernate: string[];
  cpus: number;
  memory_bytes: number;
  processes: number;
  labels: Record<string, string>;
  environment_names: string[];
  setup: string[];
  steps: Step[];
  guest_restarts: number;
  error: Fault | null;
  created: number;
  updated: number;
  version: number;
}

/** POST /workspaces. Empty `name`: one is made. No `isolation`: the node's best; else at least this, or it fails. */
export interface WorkspaceCreate {
  name?: string;
  driver?: string;
  node?: string;
  labels?: Record<string, string>;
  node_labels?: Record<string, string>;
  isolation?: Isolation | null;
  cpus?: number;
  memory_bytes?: number;
  processes?: number;
  environment?: Record<string, string>;
  setup?: string[];
}

/** GET /workspaces?name=&state=&node=&label=k=v&owner=&limit=&after= */
export interface WorkspacePage {
  items: Workspace[];
  next: string;
}

/** PATCH /workspaces/{id} with If-Match. */
export interface WorkspacePatch {
  name?: string | null;
  labels?: Record<string, string> | null;
}
