import { AlertDialog as BaseAlert } from "@base-ui/react/alert-dialog";
import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type FormEvent, type ReactNode, useId, useState } from "react";
import { Problem } from "@/components/problem";
import { Button, buttonStyle } from "@/components/ui/button";
import { Field, Input } from "@/components/ui/field";
import { cn } from "@/lib/classes";

const BACKDROP =
  "fixed inset-0 z-40 bg-black/35 backdrop-blur-[1px] transition-opacity duration-150 data-[ending-style]:opacity-0 data-[starting-style]:opacity-0 dark:bg-black/60";
const POPUP =
  "fixed inset-x-0 bottom-0 z-50 mx-auto flex max-h-[92dvh] w-full flex-col overflow-hidden rounded-t-2xl border bg-popover shadow-2xl outline-none transition-[transform,opacity] duration-150 data-[ending-style]:translate-y-3 data-[starting-style]:translate-y-3 data-[ending-style]:opacity-0 data-[starting-style]:opacity-0 sm:top-[8dvh] sm:bottom-auto sm:max-h-[84dvh] sm:rounded-2xl";

interface DialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  description?: ReactNode;
  className?: string;
  children: ReactNode;
}

/** A dialog; Escape and a press outside close it. On a phone it comes from below. */
export function Dialog({ open, onOpenChange, title, description, className, children }: DialogProps) {
  return (
    <Base.Root open={open} onOpenChange={onOpenChange}>
      <Base.Portal>
        <Base.Backdrop className={BACKDROP} />
        <Base.Popup className={cn(POPUP, "sm:max-w-lg", className)}>
          <header className="flex items-start gap-4 px-5 pt-5 pb-4">
            <div className="min-w-0 flex-1">
              <Base.Title className="font-semibold text-base">{title}</Base.Title>
              {description && (
                <Base.Description className="mt-1 text-muted-foreground text-sm">{description}</Base.Description>
              )}
            </div>
            <Base.Close
              className={cn(buttonStyle({ look: "ghost", size: "icon-sm" }), "-mt-1 -mr-1")}
              aria-label="Close"
            >
              <X />
            </Base.Close>
          </header>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

/** The scrolling middle of a dialog. */
export function DialogBody({ children, className }: { children: ReactNode; className?: string }) {
  return <div className={cn("grid min-h-0 gap-4 overflow-y-auto px-5 pb-5", className)}>{children}</div>;
}

/** The row of buttons at its end. */
export function DialogFooter({ children }: { children: ReactNode }) {
  return (
    <footer className="flex flex-col-reverse gap-2 border-t bg-muted/40 px-5 py-3.5 sm:flex-row sm:justify-end">
      {children}
    </footer>
  );
}

interface ConfirmProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  children: ReactNode;
  action: string;
  /** Where given, this must be typed before the action can be taken. */
  typed?: string;
  onConfirm: () => Promise<unknown>;
}

/** Asks before something that cannot be undone. Enter in the field, or the button, does it; Escape does not. */
export function Confirm({ open, onOpenChange, ...rest }: ConfirmProps) {
  return (
    <BaseAlert.Root open={open} onOpenChange={onOpenChange}>
      <BaseAlert.Portal>
        <BaseAlert.Backdrop className={BACKDROP} />
        <BaseAlert.Popup className={cn(POPUP, "sm:max-w-md")}>
          <ConfirmForm {...rest} close={() => onOpenChange(false)} />
        </BaseAlert.Popup>
      </BaseAlert.Portal>
    </BaseAlert.Root>
  );
}

function ConfirmForm({
  title,
  children,
  action,
  typed,
  onConfirm,
  close,
}: Omit<ConfirmProps, "open" | "onOpenChange"> & { close: () => void }) {
  const form = useId();
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const ready = typed === undefined || text === typed;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      close();
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  }

  return (
    <>
      <form id={form} onSubmit={submit} className="grid gap-4 overflow-y-auto p-5">
        <div>
          <BaseAlert.Title className="font-semibold text-base">{title}</BaseAlert.Title>
          <BaseAlert.Description render={<div />} className="mt-1.5 text-muted-foreground text-sm">
            {children}
          </BaseAlert.Description>
        </div>
        {typed !== undefined && (
          <Field label={`Type “${typed}” to confirm`}>
            {(control) => (
              <Input {...control} value={text} onChange={(event) => setText(event.target.value)} autoFocus />
            )}
          </Field>
        )}
        {error !== null && <Problem error={error} />}
      </form>
      <DialogFooter>
        <BaseAlert.Close className={buttonStyle()}>Cancel</BaseAlert.Close>
        <Button type="submit" form={form} look="danger" disabled={!ready} busy={busy}>
          {action}
        </Button>
      </DialogFooter>
    </>
  );
}
