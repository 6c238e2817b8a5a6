import { useMutation } from "@tanstack/react-query";
import type { Node, Workspace } from "@/api/types";
import { complain, say } from "@/components/ui/toast";
import * as api from "@/data/api";
import {
  client,
  node as nodeQuery,
  nodes as nodesQuery,
  workspace as workspaceQuery,
  workspaces as workspacesQuery,
} from "@/data/queries";

const DONE: Record<api.Order, string> = {
  start: "Starting",
  stop: "Stopping",
  restart: "Restarting",
  delete: "Deleting",
};

/** Puts an answer where the pages look, so that they show it at once. */
export function remember(ws: Workspace): void {
  client.setQueryData(workspaceQuery(ws.id).queryKey, ws);
  client.setQueryData(workspacesQuery().queryKey, (list) => list?.map((each) => (each.id === ws.id ? ws : each)));
  void client.invalidateQueries({ queryKey: workspacesQuery().queryKey });
  void client.invalidateQueries({ queryKey: workspaceQuery(ws.id).queryKey });
}

export function rememberNode(node: Node): void {
  client.setQueryData(nodeQuery(node.id).queryKey, node);
  void client.invalidateQueries({ queryKey: nodesQuery().queryKey });
}

/** Starts, stops, restarts or deletes, and says so. */
export async function giveOrder(ws: Workspace, what: api.Order): Promise<void> {
  const now = await api.order(ws.id, what);
  remember(now ?? ws);
  say(`${DONE[what]} ${ws.name}`);
}

/** The same as a button needs it: one at a time, errors told. */
export function useOrder(ws: Workspace) {
  return useMutation({ mutationFn: (what: api.Order) => giveOrder(ws, what), onError: complain });
}
