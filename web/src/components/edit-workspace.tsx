import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import type { Workspace } from "@/api/types";
import { Problem } from "@/components/problem";
import { Button } from "@/components/ui/button";
import { Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input, Textarea } from "@/components/ui/field";
import * as api from "@/data/api";
import { remember } from "@/data/orders";
import { formatPairs, parsePairs } from "@/lib/pairs";

interface EditWorkspaceProps {
  workspace: Workspace;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

/** Another name, other labels. Refused when somebody else has changed it meanwhile. */
export function EditWorkspace({ workspace, open, onOpenChange }: EditWorkspaceProps) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title={`Edit ${workspace.name}`}>
      <Form workspace={workspace} close={() => onOpenChange(false)} />
    </Dialog>
  );
}

function Form({ workspace, close }: { workspace: Workspace; close: () => void }) {
  const form = useId();
  const [read] = useState(workspace);
  const [name, setName] = useState(workspace.name);
  const [labels, setLabels] = useState(formatPairs(workspace.labels));
  const parsed = parsePairs(labels);
  const save = useMutation({
    mutationFn: () => api.patchWorkspace(read, { name: name.trim(), labels: parsed.values }),
    onSuccess: (changed) => {
      remember(changed);
      close();
    },
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    if (parsed.problem === "") save.mutate();
  }
  return (
    <>
      <DialogBody>
        <form id={form} onSubmit={submit} className="grid gap-4">
          <Field label="Name">
            {(control) => (
              <Input
                {...control}
                value={name}
                onChange={(event) => setName(event.target.value)}
                autoFocus
                autoCapitalize="off"
              />
            )}
          </Field>
          <Field label="Labels" hint="One key=value a line." problem={parsed.problem}>
            {(control) => (
              <Textarea {...control} rows={3} value={labels} onChange={(event) => setLabels(event.target.value)} />
            )}
          </Field>
          {save.isError && <Problem error={save.error} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" form={form} look="primary" busy={save.isPending} disabled={name.trim() === ""}>
          Save
        </Button>
      </DialogFooter>
    </>
  );
}
