import { Check, LoaderCircle, X } from "lucide-react";
import type { Step } from "@/api/types";
import { cn } from "@/lib/classes";
import { duration, title, words } from "@/lib/format";
import { useNow } from "@/lib/hooks";

interface StepsProps {
  steps: Step[];
  /** The last step without an end has failed, and is not under way. */
  failed?: boolean;
}

/** The named steps of making a workspace, with the time each took. */
export function Steps({ steps, failed = false }: StepsProps) {
  const moving = !failed && steps.some((step) => step.seconds === null);
  const now = useNow(moving ? 200 : 60_000);
  return (
    <ol className="grid gap-2.5 text-sm">
      {steps.map((step) => {
        const open = step.seconds === null;
        return (
          <li key={`${step.name} ${step.started}`} className="flex items-start gap-2.5">
            <span
              className={cn(
                "mt-0.5 grid size-4.5 shrink-0 place-items-center rounded-full [&_svg]:size-3",
                open ? (failed ? "bg-bad-soft text-bad" : "bg-busy-soft text-busy") : "bg-good-soft text-good",
              )}
            >
              {open ? (
                failed ? (
                  <X aria-label="Failed" />
                ) : (
                  <LoaderCircle className="animate-spin" aria-label="Under way" />
                )
              ) : (
                <Check aria-label="Done" />
              )}
            </span>
            <span className="min-w-0 flex-1">
              {title(words(step.name))}
              {step.detail && <span className="block break-words text-muted-foreground text-xs">{step.detail}</span>}
            </span>
            <span className="text-muted-foreground text-xs tabular-nums">
              {open ? (failed ? "" : duration(Math.max(0, now - step.started))) : duration(step.seconds ?? 0)}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
