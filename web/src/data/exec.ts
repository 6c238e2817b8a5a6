/** What crosses the API about commands and files in a workspace (the results of the toolbox). */

export type ExecState = "running" | "exited" | "signalled" | "timed_out" | "cancelled" | "failed" | "unknown";

export interface ExecRequest {
  argv: string[];
  shell?: boolean;
  cwd?: string;
  environment?: Record<string, string>;
  timeout?: number;
}

export interface ExecStatus {
  exec_id: string;
  state: ExecState;
  argv?: string[];
  exit_code?: number | null;
  signal?: number | null;
  started?: number;
  ended?: number | null;
  output_bytes?: number;
  truncated?: boolean;
  background?: boolean;
  error?: string;
}

export interface ExecList {
  execs: ExecStatus[];
}

export interface Stat {
  path: string;
  kind: "file" | "directory" | "link" | "other";
  size: number;
  mode: number;
  modified: number;
  target?: string;
}

export interface Listing {
  entries: Stat[];
  truncated?: boolean;
}

export const over = (status: ExecStatus): boolean => status.state !== "running";
export const succeeded = (status: ExecStatus): boolean => status.state === "exited" && status.exit_code === 0;
