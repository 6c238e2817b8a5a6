import { CircleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Fault } from "@/api/types";
import { ApiError } from "@/data/http";
import { cn } from "@/lib/classes";

interface Described {
  message: string;
  hint: string;
  code: string;
  requestId: string;
}

/** An error in words: what went wrong, and what can be done. */
export function describe(error: unknown): Described {
  if (error instanceof ApiError) {
    return { message: sentence(error.message), hint: error.hint, code: error.code, requestId: error.requestId };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message: sentence(message), hint: "", code: "", requestId: "" };
}

function sentence(text: string): string {
  const trimmed = text.trim();
  const named = /^\S+:/.test(trimmed);
  const first = named ? trimmed : trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

interface ProblemProps {
  error: unknown;
  className?: string;
  children?: ReactNode;
}

/** An error on the page, told to screen readers at once. */
export function Problem({ error, className, children }: ProblemProps) {
  const { message, hint, code, requestId } = describe(error);
  return <Box message={message} hint={hint} code={code} requestId={requestId} className={className} more={children} />;
}

/** The same for a fault that is part of an answer. */
export function FaultNote({ fault, className }: { fault: Fault; className?: string }) {
  return (
    <Box
      message={sentence(fault.message)}
      hint={fault.hint ?? ""}
      code={fault.code}
      requestId=""
      className={className}
    />
  );
}

function Box({
  message,
  hint,
  code,
  requestId,
  className,
  more,
}: Described & { className?: string | undefined; more?: ReactNode }) {
  return (
    <div role="alert" className={cn("flex gap-3 rounded-xl border border-bad/30 bg-bad-soft p-3.5 text-sm", className)}>
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden />
      <div className="min-w-0 flex-1">
        <p className="break-words font-medium">{message}</p>
        {hint && <Hint text={hint} />}
        {(code || requestId) && (
          <p className="mt-1.5 break-all font-mono text-muted-foreground text-xs">
            {[code, requestId].filter(Boolean).join(" · ")}
          </p>
        )}
        {more && <div className="mt-3">{more}</div>}
      </div>
    </div>
  );
}

/** What can be done; what stands between backticks is something to type. */
function Hint({ text }: { text: string }) {
  const parts = text.split("`");
  return (
    <p className="mt-0.5 break-words text-muted-foreground">
      {parts.map((part, index) =>
        index % 2 === 1 ? (
          <code
            key={`${index} ${part}`}
            className="rounded bg-foreground/7 px-1 py-0.5 font-mono text-[0.92em] text-foreground"
          >
            {part}
          </code>
        ) : (
          part
        ),
      )}
    </p>
  );
}
