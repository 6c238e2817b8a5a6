import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

/** Where there is nothing yet: what this place is for, and the next step. */
export function Empty({
  icon: Icon,
  title,
  children,
  action,
}: {
  icon: LucideIcon;
  title: string;
  children: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center px-6 py-14 text-center">
      <span className="grid size-12 place-items-center rounded-2xl bg-primary-soft text-primary">
        <Icon className="size-6" aria-hidden />
      </span>
      <h2 className="mt-4 font-semibold">{title}</h2>
      <div className="mt-1.5 max-w-md text-balance text-muted-foreground text-sm">{children}</div>
      {action && <div className="mt-5 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  );
}
