import { cn } from "@/lib/classes";

export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cn("animate-pulse rounded-md bg-muted", className)} />;
}

/** Rows of a list that is on its way. */
export function SkeletonRows({ rows = 4 }: { rows?: number }) {
  return (
    <output aria-label="Loading" className="grid gap-3 p-4">
      {Array.from({ length: rows }, (_, index) => index).map((row) => (
        <Skeleton key={row} className="h-9" />
      ))}
    </output>
  );
}
