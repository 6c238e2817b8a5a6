import { Toast as Base } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { describe } from "@/components/problem";
import { buttonStyle } from "@/components/ui/button";
import { cn } from "@/lib/classes";

const manager = Base.createToastManager();

/** Says that something was done. */
export function say(title: string, description?: string): void {
  manager.add({ title, ...(description ? { description } : {}), type: "good" });
}

/** Says what went wrong, with what can be done about it. */
export function complain(error: unknown): void {
  const { message, hint } = describe(error);
  manager.add({
    title: message,
    ...(hint ? { description: hint.replaceAll("`", "") } : {}),
    type: "bad",
    timeout: 8000,
    priority: "high",
  });
}

/** Where toasts appear; once, around the whole app. */
export function Toasts() {
  return (
    <Base.Provider toastManager={manager} timeout={4000}>
      <Base.Portal>
        <Base.Viewport className="fixed inset-x-4 bottom-4 z-80 mx-auto flex max-w-sm flex-col gap-2 outline-none sm:right-5 sm:left-auto sm:mx-0 sm:w-sm">
          <List />
        </Base.Viewport>
      </Base.Portal>
    </Base.Provider>
  );
}

function List() {
  const { toasts } = Base.useToastManager();
  return toasts.map((toast) => (
    <Base.Root
      key={toast.id}
      toast={toast}
      className={cn(
        "flex items-start gap-3 rounded-xl border bg-popover p-3.5 shadow-lg transition-[transform,opacity] data-[ending-style]:translate-y-2 data-[starting-style]:translate-y-2 data-[ending-style]:opacity-0 data-[limited]:opacity-0 data-[starting-style]:opacity-0",
        toast.type === "bad" && "border-bad/40",
      )}
    >
      <Base.Content className="flex min-w-0 flex-1 items-start gap-3">
        <span className={cn("mt-1.5 size-2 shrink-0 rounded-full", toast.type === "bad" ? "bg-bad" : "bg-good")} />
        <div className="min-w-0 flex-1">
          <Base.Title className="break-words font-medium text-sm" />
          <Base.Description className="mt-0.5 break-words text-muted-foreground text-[13px]" />
        </div>
      </Base.Content>
      <Base.Close
        aria-label="Dismiss"
        className={cn(buttonStyle({ look: "ghost", size: "icon-sm" }), "-mt-1.5 -mr-1.5 size-7")}
      >
        <X />
      </Base.Close>
    </Base.Root>
  ));
}
