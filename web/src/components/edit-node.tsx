import { useEffect, useState } from "react";
import type { Node } from "@/api/types";
import { Edit } from "@/components/edit";
import { Field, Input } from "@/components/ui/field";
import * as api from "@/data/api";
import { rememberNode } from "@/data/orders";

interface EditNodeProps {
  node: Node;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

export function EditNode({ node, open, onOpenChange }: EditNodeProps) {
  const now = node.max_workspaces > 0 ? String(node.max_workspaces) : "";
  const [most, setMost] = useState(now);
  useEffect(() => {
    if (!open) setMost(now);
  }, [open, now]);
  const count = Math.max(0, Math.round(Number(most) || 0));
  return (
    <Edit
      thing={node}
      save={(read, change) => api.patchNode(read, { ...change, max_workspaces: count })}
      onSaved={rememberNode}
      open={open}
      onOpenChange={onOpenChange}
    >
      <Field label="Most workspaces" hint="Empty: as many as it can.">
        {(control) => (
          <Input {...control} inputMode="numeric" value={most} onChange={(event) => setMost(event.target.value)} />
        )}
      </Field>
    </Edit>
  );
}
