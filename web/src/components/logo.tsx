import { cn } from "@/lib/classes";

export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={cn("size-7 shrink-0", className)} aria-hidden role="presentation">
      <rect width="32" height="32" rx="9" className="fill-[oklch(0.47_0.085_186)]" />
      <path
        d="M8 23V14.2L16 8l8 6.2V23"
        fill="none"
        stroke="white"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
      <path
        d="M13 23v-5.2h6V23"
        fill="none"
        stroke="oklch(0.88 0.09 180)"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}
