import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { DialogForm } from "@/components/form";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Textarea } from "@/components/ui/field";
import { formatPairs, parsePairs } from "@/lib/pairs";

interface Named {
  name: string;
  labels: Record<string, string>;
}

interface EditProps<Thing extends Named> {
  /** What is edited, as it was read: a change that somebody else made meanwhile is not overwritten. */
  thing: Thing;
  /** Sends the change. */
  save: (read: Thing, change: Named) => Promise<Thing>;
  onSaved: (changed: Thing) => void;
  /** Fields between the name and the labels. */
  children?: ReactNode;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

/** Another name, other labels. Refused when somebody else has changed it meanwhile. */
export function Edit<Thing extends Named>({ open, onOpenChange, ...rest }: EditProps<Thing>) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title={`Edit ${rest.thing.name}`}>
      <EditForm {...rest} close={() => onOpenChange(false)} />
    </Dialog>
  );
}

type EditFormProps<Thing extends Named> = Omit<EditProps<Thing>, "open" | "onOpenChange"> & { close: () => void };

function EditForm<Thing extends Named>({ thing, save, onSaved, children, close }: EditFormProps<Thing>) {
  const [read] = useState(thing);
  const [name, setName] = useState(thing.name);
  const [labels, setLabels] = useState(formatPairs(thing.labels));
  const parsed = parsePairs(labels);
  const send = useMutation({
    mutationFn: () => save(read, { name: name.trim(), labels: parsed.values }),
    onSuccess: (changed) => {
      onSaved(changed);
      close();
    },
  });
  return (
    <DialogForm send={send} action="Save" ready={name.trim() !== "" && parsed.problem === ""} onCancel={close}>
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
      {children}
      <Field label="Labels" hint="One key=value a line." problem={parsed.problem}>
        {(control) => (
          <Textarea {...control} rows={3} value={labels} onChange={(event) => setLabels(event.target.value)} />
        )}
      </Field>
    </DialogForm>
  );
}
