import type { ComponentProps, ReactNode } from "react";
import { cn } from "@/lib/classes";

export function Card({ className, ...rest }: ComponentProps<"section">) {
  return <section className={cn("min-w-0 rounded-xl border bg-card shadow-xs", className)} {...rest} />;
}

export function CardHeader({
  title,
  children,
  detail,
}: {
  title: ReactNode;
  detail?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <header className="flex min-h-13 flex-wrap items-center gap-x-3 gap-y-2 border-b px-4 py-2.5">
      <div className="min-w-0 flex-1">
        <h2 className="font-semibold text-sm">{title}</h2>
        {detail && <p className="text-muted-foreground text-xs">{detail}</p>}
      </div>
      {children}
    </header>
  );
}

/** Names and what they are, one a row. */
export function Facts({ children }: { children: ReactNode }) {
  return <dl className="divide-y text-sm">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="grid grid-cols-[7.5rem_1fr] gap-3 px-4 py-2.5">
      <dt className="text-muted-foreground">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </div>
  );
}
