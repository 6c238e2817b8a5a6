import { Meter as Base } from "@base-ui/react/meter";
import { cn } from "@/lib/classes";

/** How much of something is used. */
export function Meter({ label, used, total, text }: { label: string; used: number; total: number; text: string }) {
  const share = total > 0 ? Math.min(100, (used / total) * 100) : 0;
  return (
    <Base.Root value={share} aria-valuetext={text} className="grid grid-cols-2 gap-y-1.5 text-[13px]">
      <Base.Label className="text-muted-foreground">{label}</Base.Label>
      <span className="text-right tabular-nums">{text}</span>
      <Base.Track className="col-span-2 h-1.5 overflow-hidden rounded-full bg-muted">
        <Base.Indicator
          className={cn(
            "block rounded-full transition-[width] duration-500",
            share >= 90 ? "bg-bad" : share >= 75 ? "bg-warn" : "bg-primary",
          )}
        />
      </Base.Track>
    </Base.Root>
  );
}
