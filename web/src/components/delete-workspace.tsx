import type { Workspace } from "@/api/types";
import { Confirm } from "@/components/ui/dialog";
import { giveOrder } from "@/data/orders";

interface DeleteWorkspaceProps {
  workspace: Workspace;
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onDeleted?: () => void;
}

export function DeleteWorkspace({ workspace, open, onOpenChange, onDeleted }: DeleteWorkspaceProps) {
  return (
    <Confirm
      open={open}
      onOpenChange={onOpenChange}
      title={`Delete ${workspace.name}?`}
      action="Delete workspace"
      onConfirm={async () => {
        await giveOrder(workspace, "delete");
        onDeleted?.();
      }}
    >
      Its files and everything that runs in it are removed
      {workspace.node_name ? ` from ${workspace.node_name}` : ""}. This cannot be undone.
    </Confirm>
  );
}
