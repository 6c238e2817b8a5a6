import type { Node } from "@/api/types";
import { Confirm } from "@/components/ui/dialog";
import { say } from "@/components/ui/toast";
import * as api from "@/data/api";
import { client, nodes as nodesQuery, workspaces as workspacesQuery } from "@/data/queries";

interface RemoveNodeProps {
  node: Node;
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onRemoved: () => void;
}

/** With workspaces on it, only who types its name gives them up with it. */
export function RemoveNode({ node, open, onOpenChange, onRemoved }: RemoveNodeProps) {
  const left = node.workspaces;
  const has = left === 1 ? "It has one workspace, which is" : `It has ${left} workspaces, which are`;
  return (
    <Confirm
      open={open}
      onOpenChange={onOpenChange}
      title={`Remove ${node.name}?`}
      action={left > 0 ? "Give up and remove" : "Remove node"}
      {...(left > 0 ? { typed: node.name } : {})}
      onConfirm={async () => {
        await api.removeNode(node.id, left > 0);
        void client.invalidateQueries({ queryKey: nodesQuery().queryKey });
        if (left > 0) void client.invalidateQueries({ queryKey: workspacesQuery().queryKey });
        say(`Removed ${node.name}`);
        onRemoved();
      }}
    >
      <p>Its link is cut and its key is no longer accepted. To come back it must be added anew.</p>
      {left > 0 && (
        <p className="mt-2 text-bad">
          {has} given up with it, files and all.{" "}
          {node.status === "offline"
            ? "Do this for a machine that is gone for good."
            : "The machine is there: delete workspaces first, or what runs in them goes on unseen."}
        </p>
      )}
    </Confirm>
  );
}
