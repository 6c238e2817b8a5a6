/** What states mean to a person. Pure. */

import type { ExecStatus, Isolation, Node, Workspace } from "@/api/types";
import type { Tone } from "@/components/ui/badge";
import { signalName, title } from "@/lib/format";

export interface Shown {
  label: string;
  tone: Tone;
  /** Something is under way. */
  moving: boolean;
}

/** A workspace's state, with what was asked where that is not reached yet. */
export function workspaceState(ws: Pick<Workspace, "state" | "desired">): Shown {
  if (ws.desired === "deleted" && ws.state !== "deleted") return { label: "Deleting", tone: "busy", moving: true };
  switch (ws.state) {
    case "running":
      return { label: "Running", tone: "good", moving: false };
    case "pending":
    case "starting":
    case "stopping":
      return { label: title(ws.state), tone: "busy", moving: true };
    case "failed":
      return { label: "Failed", tone: "bad", moving: false };
    default:
      return { label: title(ws.state), tone: "quiet", moving: false };
  }
}

export interface Can {
  start: boolean;
  stop: boolean;
  restart: boolean;
  delete: boolean;
  /** Commands and files. */
  use: boolean;
}

/** What can be asked of a workspace now. */
export function can(ws: Workspace): Can {
  const leaving = ws.desired === "deleted" || ws.state === "deleted";
  return {
    start: !leaving && (ws.state === "stopped" || ws.state === "failed"),
    stop:
      !leaving &&
      (ws.state === "running" || ws.state === "starting" || ws.state === "failed") &&
      ws.desired !== "stopped",
    restart: !leaving && ws.state === "running",
    delete: !leaving,
    use: !leaving && ws.state === "running",
  };
}

export function nodeState(node: Pick<Node, "status">): Shown {
  switch (node.status) {
    case "online":
      return { label: "Online", tone: "good", moving: false };
    case "draining":
      return { label: "Draining", tone: "warn", moving: false };
    case "pending":
      return { label: "Waiting for approval", tone: "busy", moving: false };
    default:
      return { label: title(node.status), tone: "bad", moving: false };
  }
}

export const ISOLATION: Record<Isolation, { label: string; means: string }> = {
  none: { label: "None", means: "Plain processes of the node's user. Only the directory is its own." },
  namespaces: { label: "Namespaces", means: "Own mounts, processes and host name. Network and kernel are the node's." },
  container: { label: "Container", means: "A container of its own. The kernel is the node's." },
  vm: { label: "Virtual machine", means: "A machine and kernel of its own." },
};

export const PERSISTENCE: Record<string, string> = {
  disk: "Files stay over stop and restart",
  none: "Nothing stays when it stops",
  memory: "Nothing stays when it stops",
};

/** How a command ended, in a few words. */
export function execState(status: ExecStatus): Shown {
  switch (status.state) {
    case "running":
      return { label: "Running", tone: "busy", moving: true };
    case "exited":
      return status.exit_code === 0
        ? { label: "Exit 0", tone: "good", moving: false }
        : { label: `Exit ${status.exit_code ?? "?"}`, tone: "bad", moving: false };
    case "signalled":
      return { label: signalName(status.signal ?? 0), tone: "bad", moving: false };
    case "timed_out":
      return { label: "Timed out", tone: "warn", moving: false };
    case "cancelled":
      return { label: "Cancelled", tone: "warn", moving: false };
    case "failed":
      return { label: "Could not start", tone: "bad", moving: false };
    default:
      return { label: "End unknown", tone: "warn", moving: false };
  }
}
