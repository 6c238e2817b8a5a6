// The public types of /api/v1. Generated; see openapi.json beside this file.

export type Desired = "running" | "stopped" | "deleted";
export type Observed = "pending" | "starting" | "running" | "stopping" | "stopped" | "failed" | "deleted";
export type Isolation = "none" | "namespaces" | "container" | "vm";
export type CommandKind = "start" | "stop" | "restart" | "delete";

export interface Fault {
  code: string;
  message: string;
  hint?: string;
  details?: Record<string, unknown>;
}

export interface Facts {
  hostname: string;
  os: string;
  arch: string;
  kernel?: string;
  cpus?: number;
  memory_bytes?: number;
  disk_bytes?: number;
}

export interface DriverFacts {
  name: string;
  isolation: string[];
  limits?: string[];
  hibernate?: string[];
  persistence?: string;
  note?: string;
}

export interface ErrorAnswer {
  error: Fault;
  request_id: string;
}

export interface HealthAnswer {
  status: string;
  database: string;
}

export interface VersionAnswer {
  version: string;
  protocol: string;
  api: string;
}

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

export interface WorkspacePatch {
  name?: string | null;
  labels?: Record<string, string> | null;
}

export interface Step {
  name: string;
  detail: string;
  started: number;
  seconds: number | null;
}

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

export interface WorkspacePage {
  items: Workspace[];
  next: string;
}

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

export interface CommandPage {
  items: Command[];
  next: string;
}

export interface NodeEnrol {
  token: string;
  name: string;
  public_key: string;
  labels?: Record<string, string>;
}

export interface NodeEnrolled {
  node_id: string;
  approved: boolean;
}

export interface NodePatch {
  name?: string | null;
  labels?: Record<string, string> | null;
  max_workspaces?: number | null;
  draining?: boolean | null;
  approved?: boolean | null;
}

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

export interface NodePage {
  items: Node[];
  next: string;
}

export interface NodeTokenCreate {
  lifetime_seconds?: number;
  labels?: Record<string, string>;
}

export interface NodeToken {
  id: string;
  token: string;
  expires: number;
}

export interface KeyRotate {
  public_key: string;
  signature: string;
}

export interface UserCreate {
  name: string;
  role?: string;
}

export interface UserPatch {
  role?: string | null;
  disabled?: boolean | null;
}

export interface User {
  id: string;
  name: string;
  role: string;
  disabled: boolean;
  created: number;
  version: number;
}

export interface UserCreated {
  user: User;
  login: string;
}

export interface UserPage {
  items: User[];
  next: string;
}

export interface TokenCreate {
  name: string;
  scopes?: string[];
  lifetime_seconds?: number;
}

export interface Token {
  id: string;
  user_id: string;
  name: string;
  scopes: string[];
  created: number;
  expires: number | null;
  last_used: number | null;
}

export interface TokenCreated {
  token: Token;
  secret: string;
}

export interface TokenPage {
  items: Token[];
  next: string;
}

export interface Login {
  code: string;
  token_name?: string;
}

export interface LoginAnswer {
  user: User;
  secret?: string;
}

export interface WhoAmI {
  user: User;
  scopes: string[];
  via: string;
}

export interface Session {
  id: string;
  user_id: string;
  created: number;
  expires: number;
  last_used: number | null;
  current: boolean;
}

export interface SessionPage {
  items: Session[];
  next: string;
}

export interface Ticket {
  ticket: string;
  expires: number;
}

export interface Event {
  cursor: string;
  at: number;
  kind: string;
  subject: string;
  data: Record<string, unknown>;
}

export interface EventPage {
  items: Event[];
  next: string;
}

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

export interface AuditPage {
  items: AuditEntry[];
  next: string;
}

export interface ExecRun {
  argv: string[];
  shell?: boolean;
  cwd?: string;
  environment?: Record<string, string>;
  timeout?: number;
  background?: boolean;
  stdin?: string;
}

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
