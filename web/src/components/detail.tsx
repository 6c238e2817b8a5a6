import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ChevronRight } from "lucide-react";
import type { ReactNode } from "react";
import { CopyButton } from "@/components/copy";
import { Labels } from "@/components/labels";
import { Problem } from "@/components/problem";
import { Skeleton } from "@/components/ui/skeleton";
import { ApiError } from "@/data/http";
import { useTitle } from "@/lib/hooks";

interface DetailPageProps<Thing extends { name: string }> {
  query: UseQueryResult<Thing>;
  /** What it is, as a person calls it. */
  what: string;
  list: { to: "/nodes" | "/workspaces"; title: string };
  children: (thing: Thing) => ReactNode;
}

/** The page of one thing: the way back to the list, and the thing, once it is there. */
export function DetailPage<Thing extends { name: string }>({ query, what, list, children }: DetailPageProps<Thing>) {
  useTitle(query.data?.name ?? `${what.slice(0, 1).toUpperCase()}${what.slice(1)}`);
  return (
    <div className="mx-auto w-full max-w-7xl px-4 py-5 sm:px-8 sm:py-7">
      <nav aria-label="Breadcrumb" className="mb-2 flex items-center gap-1 text-muted-foreground text-sm">
        <Link to={list.to} className="rounded hover:text-foreground">
          {list.title}
        </Link>
        <ChevronRight className="size-3.5" aria-hidden />
        <span className="truncate">{query.data?.name ?? "…"}</span>
      </nav>
      {query.data ? (
        children(query.data)
      ) : query.isError ? (
        <Absent error={query.error} what={what} to={list.to} />
      ) : (
        <output aria-label="Loading" className="grid gap-4">
          <Skeleton className="h-8 w-60" />
          <Skeleton className="h-72" />
        </output>
      )}
    </div>
  );
}

function Absent({ error, what, to }: { error: unknown; what: string; to: "/nodes" | "/workspaces" }) {
  const gone = error instanceof ApiError && error.code === "not_found";
  return (
    <div className="mt-4">
      {gone ? (
        <p className="text-sm">
          This {what} does not exist, or not any more.{" "}
          <Link to={to} className="font-medium text-primary hover:underline">
            See those that do
          </Link>
        </p>
      ) : (
        <Problem error={error} />
      )}
    </div>
  );
}

interface DetailHeaderProps {
  thing: { id: string; name: string; labels: Record<string, string> };
  state: ReactNode;
  /** The buttons: what can be done with it. */
  children?: ReactNode;
}

/** Its name, state, id and labels. */
export function DetailHeader({ thing, state, children }: DetailHeaderProps) {
  return (
    <header className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-3">
      <div className="min-w-0 flex-1 basis-72">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5">
          <h1 className="min-w-0 break-all font-semibold text-xl tracking-tight">{thing.name}</h1>
          {state}
        </div>
        <div className="mt-1 flex items-center gap-1 text-muted-foreground">
          <code className="truncate font-mono text-xs">{thing.id}</code>
          <CopyButton text={thing.id} label="Copy the id" className="size-6 [&_svg]:size-3.5" />
        </div>
        <Labels labels={thing.labels} />
      </div>
      {children}
    </header>
  );
}
