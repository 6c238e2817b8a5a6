import type { ReactNode } from "react";
import { useTitle } from "@/lib/hooks";

interface PageProps {
  title: string;
  detail?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

/** A page of the shell: its heading, what can be done, and its content. */
export function Page({ title, detail, actions, children }: PageProps) {
  useTitle(title);
  return (
    <div className="mx-auto w-full max-w-6xl px-4 py-6 sm:px-8 sm:py-8">
      <header className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1">
          <h1 className="font-semibold text-xl tracking-tight">{title}</h1>
          {detail && <p className="mt-0.5 text-muted-foreground text-sm">{detail}</p>}
        </div>
        {actions}
      </header>
      {children}
    </div>
  );
}
