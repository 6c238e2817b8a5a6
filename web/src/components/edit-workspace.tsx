import type { Workspace } from "@/api/types";
import { Edit } from "@/components/edit";
import * as api from "@/data/api";
import { remember } from "@/data/orders";

interface EditWorkspaceProps {
  workspace: Workspace;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

export function EditWorkspace({ workspace, ...dialog }: EditWorkspaceProps) {
  return <Edit {...dialog} thing={workspace} save={api.patchWorkspace} onSaved={remember} />;
}
