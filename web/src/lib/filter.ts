/** Which workspaces a person looks for. Pure. */

import type { Workspace } from "@/api/types";

/** Every word must be found in the name, id, node, driver, isolation or a label. */
export function filterWorkspaces(all: Workspace[], text: string, state: string): Workspace[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((ws) => inState(ws, state) && words.every((word) => haystack(ws).includes(word)));
}

function inState(ws: Workspace, state: string): boolean {
  switch (state) {
    case "all":
      return true;
    case "unreachable":
      return !ws.reachable && ws.node_id !== null;
    case "moving":
      return ["pending", "starting", "stopping"].includes(ws.state);
    default:
      return ws.state === state;
  }
}

function haystack(ws: Workspace): string {
  const labels = Object.entries(ws.labels).map(([key, value]) => `${key}=${value}`);
  return [ws.name, ws.id, ws.node_name, ws.driver, ws.isolation, ws.state, ...labels].join("\n").toLowerCase();
}
