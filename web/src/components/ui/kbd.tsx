import type { ReactNode } from "react";
import { cn } from "@/lib/classes";

/** A key, where there is a keyboard. */
export function Kbd({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <kbd
      className={cn(
        "hidden h-5 min-w-5 items-center justify-center rounded border border-current/25 px-1 font-medium font-sans text-[11px] opacity-70 sm:inline-flex",
        className,
      )}
    >
      {children}
    </kbd>
  );
}
