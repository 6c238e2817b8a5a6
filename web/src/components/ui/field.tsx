import { type ComponentProps, type ReactNode, useId } from "react";
import { cn } from "@/lib/classes";

const BOX =
  "w-full min-w-0 rounded-lg border border-input bg-card px-3 text-base shadow-xs transition-colors placeholder:text-muted-foreground/75 focus-visible:border-ring focus-visible:outline-2 focus-visible:outline-offset-0 focus-visible:outline-ring/45 disabled:opacity-50 aria-invalid:border-bad sm:text-sm";

export function Input({ className, type = "text", ...rest }: ComponentProps<"input">) {
  return <input type={type} className={cn(BOX, "h-9", className)} autoComplete="off" spellCheck={false} {...rest} />;
}

export function Textarea({ className, ...rest }: ComponentProps<"textarea">) {
  return (
    <textarea className={cn(BOX, "min-h-16 py-2 font-mono sm:text-[13px]", className)} spellCheck={false} {...rest} />
  );
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
  problem?: string | undefined;
  className?: string;
  children: (control: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

/** A control with its label, what it means, and what is wrong with it. */
export function Field({ label, hint, problem, className, children }: FieldProps) {
  const id = useId();
  const below = problem || hint;
  return (
    <div className={cn("grid min-w-0 content-start gap-1.5", className)}>
      <label htmlFor={id} className="font-medium text-[13px]">
        {label}
      </label>
      {children({
        id,
        ...(below ? { "aria-describedby": `${id}-below` } : {}),
        ...(problem ? { "aria-invalid": true as const } : {}),
      })}
      {below && (
        <p id={`${id}-below`} className={cn("text-xs", problem ? "text-bad" : "text-muted-foreground")}>
          {below}
        </p>
      )}
    </div>
  );
}
