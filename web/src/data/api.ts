/** Every route the app uses, as a function. */

import type {
  AuditPage,
  EventPage,
  ExecAnswer,
  ExecList,
  ExecStatus,
  FileDeleted,
  FileList,
  FileStat,
  FileWritten,
  LoginAnswer,
  Node,
  NodePatch,
  NodeToken,
  NodeTokenCreate,
  Session,
  Ticket,
  Token,
  TokenCreate,
  TokenCreated,
  User,
  UserCreate,
  UserCreated,
  VersionAnswer,
  WhoAmI,
  Workspace,
  WorkspaceCreate,
  WorkspacePatch,
} from "@/api/types";
import type { ExecRequest } from "@/data/exec";
import { API, query, request, send } from "@/data/http";

const PAGE = 200;
/** Lists are read whole up to this many entries; the pages say when there are more. */
export const LIST_MOST = 2000;

interface Page<T> {
  items: T[];
  next: string;
}

/** Reads a paged list to its end, or to `LIST_MOST`. */
async function all<T>(path: string, signal: AbortSignal | undefined, most = LIST_MOST): Promise<T[]> {
  const items: T[] = [];
  let after = "";
  do {
    const mark = path.includes("?") ? "&" : "?";
    const page = await request<Page<T>>(
      "GET",
      `${path}${mark}${query({ limit: PAGE, after }).slice(1)}`,
      options(signal),
    );
    items.push(...page.items);
    after = page.next;
  } while (after !== "" && items.length < most);
  return items;
}

function options(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

const etag = (version: number): string => `"${version}"`;
const at = (id: string): string => encodeURIComponent(id);

// --- people --------------------------------------------------------------------------------------------------------

export const login = (code: string) => request<LoginAnswer>("POST", "/login", { body: { code } });
export const logout = () => request<void>("POST", "/logout");
export const whoami = (signal?: AbortSignal) => request<WhoAmI>("GET", "/whoami", options(signal));
export const version = (signal?: AbortSignal) => request<VersionAnswer>("GET", "/version", options(signal));
export const ticket = () => request<Ticket>("POST", "/tickets");

export const sessions = (signal?: AbortSignal) => all<Session>("/sessions", signal);
export const endSession = (id: string) => request<void>("DELETE", `/sessions/${at(id)}`);
export const tokens = (signal?: AbortSignal) => all<Token>("/tokens", signal);
export const createToken = (body: TokenCreate) => request<TokenCreated>("POST", "/tokens", { body, once: true });
export const deleteToken = (id: string) => request<void>("DELETE", `/tokens/${at(id)}`);

export const users = (signal?: AbortSignal) => all<User>("/users", signal);
export const createUser = (body: UserCreate) => request<UserCreated>("POST", "/users", { body, once: true });
export const patchUser = (user: User, body: { role?: string; disabled?: boolean }) =>
  request<User>("PATCH", `/users/${at(user.id)}`, { body, ifMatch: etag(user.version) });
export const newLogin = (id: string) => request<UserCreated>("POST", `/users/${at(id)}/login`);

// --- workspaces ----------------------------------------------------------------------------------------------------

export const workspaces = (signal?: AbortSignal) => all<Workspace>("/workspaces", signal);
export const workspace = (id: string, signal?: AbortSignal) =>
  request<Workspace>("GET", `/workspaces/${at(id)}`, options(signal));
export const createWorkspace = (body: WorkspaceCreate) =>
  request<Workspace>("POST", "/workspaces", { body, once: true });
export const patchWorkspace = (ws: Workspace, body: WorkspacePatch) =>
  request<Workspace>("PATCH", `/workspaces/${at(ws.id)}`, { body, ifMatch: etag(ws.version) });

export type Order = "start" | "stop" | "restart" | "delete";

/** Start, stop, restart or delete; the workspace as it is now. */
export function order(id: string, what: Order): Promise<Workspace> {
  if (what === "delete") return request<Workspace>("DELETE", `/workspaces/${at(id)}`);
  return request<Workspace>("POST", `/workspaces/${at(id)}/${what}`, { once: true });
}

export const workspaceEvents = (id: string, after: string, signal?: AbortSignal) =>
  request<EventPage>("GET", `/workspaces/${at(id)}/events${query({ after, limit: 500 })}`, options(signal));

// --- in a workspace ------------------------------------------------------------------------------------------------

export const execs = (id: string, signal?: AbortSignal) =>
  request<ExecList>("GET", `/workspaces/${at(id)}/execs`, options(signal));
export const exec = (id: string, execId: string, signal?: AbortSignal) =>
  request<ExecStatus>("GET", `/workspaces/${at(id)}/execs/${at(execId)}`, options(signal));
/** Starts a command that outlives this page; its output is followed apart. */
export const startExec = (id: string, body: ExecRequest) =>
  request<ExecAnswer>("POST", `/workspaces/${at(id)}/exec`, { body: { ...body, background: true }, once: true });
export const killExec = (id: string, execId: string, signal: number) =>
  request<ExecStatus>("POST", `/workspaces/${at(id)}/execs/${at(execId)}/kill`, { body: { signal } });
export const outputPath = (id: string, execId: string, cursor: number) =>
  `/workspaces/${at(id)}/execs/${at(execId)}/output${query({ cursor, follow: true })}`;

const files = (id: string, path: string, verb = "") => `/workspaces/${at(id)}/files${verb}${query({ path })}`;

export const listFiles = (id: string, path: string, signal?: AbortSignal) =>
  request<FileList>("GET", files(id, path, "/list"), options(signal));
export const readFile = (id: string, path: string, signal?: AbortSignal) =>
  send("GET", files(id, path), options(signal)).then((response) => response.arrayBuffer());
export const fileUrl = (id: string, path: string) => API + files(id, path);
export const writeFile = (id: string, path: string, content: Blob) =>
  request<FileWritten>("PUT", files(id, path), { raw: content });
export const deleteFile = (id: string, path: string, recursive: boolean) =>
  request<FileDeleted>("DELETE", `/workspaces/${at(id)}/files${query({ path, recursive: recursive || undefined })}`);
export const makeFolder = (id: string, path: string) =>
  request<FileStat>("POST", `/workspaces/${at(id)}/files/mkdir`, { body: { path } });

// --- nodes ---------------------------------------------------------------------------------------------------------

export const nodes = (signal?: AbortSignal) => all<Node>("/nodes", signal);
export const node = (id: string, signal?: AbortSignal) => request<Node>("GET", `/nodes/${at(id)}`, options(signal));
export const createNodeToken = (body: NodeTokenCreate) =>
  request<NodeToken>("POST", "/nodes/tokens", { body, once: true });
export const nodeOrder = (id: string, what: "approve" | "drain" | "undrain") =>
  request<Node>("POST", `/nodes/${at(id)}/${what}`);
export const patchNode = (it: Node, body: NodePatch) =>
  request<Node>("PATCH", `/nodes/${at(it.id)}`, { body, ifMatch: etag(it.version_number) });
/** With `force` its workspaces are given up with it. */
export const removeNode = (id: string, force: boolean) =>
  request<void>("DELETE", `/nodes/${at(id)}${query({ force: force || undefined })}`);

// --- watching ------------------------------------------------------------------------------------------------------

export const events = (after: string, signal?: AbortSignal) =>
  request<EventPage>("GET", `/events${query({ after, limit: 500 })}`, options(signal));
export const audit = (after: string, signal?: AbortSignal) =>
  request<AuditPage>("GET", `/audit${query({ after, limit: 100 })}`, options(signal));
