import { Select as Base } from "@base-ui/react/select";
import { Check, ChevronsUpDown } from "lucide-react";
import type { ReactNode } from "react";
import { cn } from "@/lib/classes";

export interface Choice<T extends string> {
  value: T;
  label: string;
  detail?: ReactNode;
  disabled?: boolean;
}

interface SelectProps<T extends string> {
  id?: string;
  label?: string;
  value: T;
  choices: Choice<T>[];
  onChange: (value: T) => void;
  className?: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

/** One of a few. */
export function Select<T extends string>({ value, choices, onChange, className, label, ...control }: SelectProps<T>) {
  return (
    <Base.Root
      items={choices}
      value={value}
      onValueChange={(next) => {
        if (next !== null) onChange(next as T);
      }}
    >
      <Base.Trigger
        {...control}
        aria-label={label}
        className={cn(
          "flex h-9 w-full min-w-0 items-center justify-between gap-2 rounded-lg border border-input bg-card px-3 text-left text-sm shadow-xs transition-colors hover:bg-accent/60 focus-visible:border-ring focus-visible:outline-2 focus-visible:outline-offset-0 focus-visible:outline-ring/45",
          className,
        )}
      >
        <span className="truncate">
          <Base.Value />
        </span>
        <Base.Icon className="text-muted-foreground">
          <ChevronsUpDown className="size-3.5" />
        </Base.Icon>
      </Base.Trigger>
      <Base.Portal>
        <Base.Positioner className="z-60 outline-none" sideOffset={4} alignItemWithTrigger={false}>
          <Base.Popup className="max-h-[min(20rem,var(--available-height))] min-w-(--anchor-width) max-w-(--available-width) origin-(--transform-origin) overflow-y-auto rounded-xl border bg-popover p-1 shadow-lg outline-none transition-[transform,opacity] data-[ending-style]:scale-97 data-[starting-style]:scale-97 data-[ending-style]:opacity-0 data-[starting-style]:opacity-0">
            {choices.map((choice) => (
              <Base.Item
                key={choice.value}
                value={choice.value}
                disabled={choice.disabled ?? false}
                className="grid cursor-default select-none grid-cols-[1fr_1rem] items-center gap-3 rounded-lg px-2.5 py-1.5 text-sm outline-none data-[disabled]:opacity-45 data-[highlighted]:bg-accent"
              >
                <span className="min-w-0">
                  <Base.ItemText className="block truncate">{choice.label}</Base.ItemText>
                  {choice.detail && <span className="block text-muted-foreground text-xs">{choice.detail}</span>}
                </span>
                <Base.ItemIndicator>
                  <Check className="size-4 text-primary" />
                </Base.ItemIndicator>
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
