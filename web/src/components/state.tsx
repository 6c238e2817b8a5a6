import { Unplug } from "lucide-react";
import type { ExecStatus, Node, Workspace } from "@/api/types";
import { Badge } from "@/components/ui/badge";
import { Tooltip } from "@/components/ui/tooltip";
import { execState, nodeState, type Shown, workspaceState } from "@/lib/states";

function State({ shown }: { shown: Shown }) {
  return (
    <Badge tone={shown.tone} dot pulse={shown.moving}>
      {shown.label}
    </Badge>
  );
}

/** A workspace's state and, beside it, whether its node can be reached now. */
export function WorkspaceState({ workspace }: { workspace: Workspace }) {
  return (
    <span className="inline-flex flex-wrap items-center gap-1.5">
      <State shown={workspaceState(workspace)} />
      {!workspace.reachable && workspace.node_id !== null && workspace.state !== "deleted" && (
        <Tooltip text="Its node is silent, so this is the last known state. What runs in it goes on.">
          <Badge tone="warn">
            <Unplug aria-hidden />
            Unreachable
          </Badge>
        </Tooltip>
      )}
    </span>
  );
}

export function NodeState({ node }: { node: Node }) {
  return <State shown={nodeState(node)} />;
}

export function ExecState({ status }: { status: ExecStatus }) {
  return <State shown={execState(status)} />;
}
