import { cva, type VariantProps } from "class-variance-authority";
import type { ReactNode } from "react";
import { cn } from "@/lib/classes";

const style = cva(
  "inline-flex h-6 max-w-full items-center gap-1.5 whitespace-nowrap rounded-full px-2.5 font-medium text-xs [&_svg]:size-3",
  {
    variants: {
      tone: {
        quiet: "bg-muted text-muted-foreground",
        good: "bg-good-soft text-good",
        busy: "bg-busy-soft text-busy",
        warn: "bg-warn-soft text-warn",
        bad: "bg-bad-soft text-bad",
        outline: "border text-muted-foreground",
      },
    },
    defaultVariants: { tone: "quiet" },
  },
);

export type Tone = NonNullable<VariantProps<typeof style>["tone"]>;

interface BadgeProps {
  tone?: Tone;
  dot?: boolean;
  pulse?: boolean;
  className?: string;
  children: ReactNode;
}

export function Badge({ tone, dot = false, pulse = false, className, children }: BadgeProps) {
  return (
    <span className={cn(style({ tone }), className)}>
      {dot && (
        <span className={cn("size-1.5 shrink-0 rounded-full bg-current", pulse && "animate-pulse")} aria-hidden />
      )}
      {children}
    </span>
  );
}
