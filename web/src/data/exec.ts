/** Commands in a workspace: what their states mean to code. */

import type { ExecRun, ExecStatus } from "@/api/types";

export type ExecRequest = Omit<ExecRun, "background" | "stdin">;

export const over = (status: ExecStatus): boolean => status.state !== "running";
