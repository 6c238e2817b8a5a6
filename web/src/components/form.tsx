import type { UseMutationResult } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useId } from "react";
import { Problem } from "@/components/problem";
import { Button } from "@/components/ui/button";
import { DialogBody, DialogFooter } from "@/components/ui/dialog";

interface DialogFormProps<Answer> {
  /** What sending does. While it runs the button is busy; its error is shown below the fields. */
  send: UseMutationResult<Answer, Error, void>;
  action: string;
  /** Whether what stands in the fields can be sent. */
  ready: boolean;
  onCancel: () => void;
  children: ReactNode;
}

/** The fields of a dialog, and the buttons that send or leave them. */
export function DialogForm<Answer>({ send, action, ready, onCancel, children }: DialogFormProps<Answer>) {
  const form = useId();
  function submit(event: FormEvent) {
    event.preventDefault();
    if (ready) send.mutate();
  }
  return (
    <>
      <DialogBody>
        <form id={form} onSubmit={submit} className="grid gap-4">
          {children}
          {send.isError && <Problem error={send.error} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onCancel}>Cancel</Button>
        <Button type="submit" form={form} look="primary" busy={send.isPending} disabled={!ready}>
          {action}
        </Button>
      </DialogFooter>
    </>
  );
}
