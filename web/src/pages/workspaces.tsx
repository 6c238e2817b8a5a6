import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Boxes, Ellipsis, Play, Plus, RotateCw, Server, Square, Trash2, X } from "lucide-react";
import { useMemo, useState } from "react";
import type { Workspace } from "@/api/types";
import { CreateWorkspace } from "@/components/create-workspace";
import { DeleteWorkspace } from "@/components/delete-workspace";
import { Empty } from "@/components/empty";
import { FilterBox } from "@/components/filter-box";
import { Labels } from "@/components/labels";
import { Page } from "@/components/page";
import { Problem } from "@/components/problem";
import { WorkspaceState } from "@/components/state";
import { Ago } from "@/components/time";
import { Button, buttonStyle } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Kbd } from "@/components/ui/kbd";
import { Menu, MenuItem, MenuSeparator } from "@/components/ui/menu";
import { Select } from "@/components/ui/select";
import { SkeletonRows } from "@/components/ui/skeleton";
import { LIST_MOST } from "@/data/api";
import { useOrder } from "@/data/orders";
import { nodes as nodesQuery, workspaces as workspacesQuery } from "@/data/queries";
import { cn } from "@/lib/classes";
import { filterWorkspaces } from "@/lib/filter";
import { can, ISOLATION } from "@/lib/states";

const STATES = [
  { value: "all", label: "All states" },
  { value: "running", label: "Running" },
  { value: "moving", label: "Changing" },
  { value: "stopped", label: "Stopped" },
  { value: "failed", label: "Failed" },
  { value: "unreachable", label: "Unreachable" },
];

export function WorkspacesPage() {
  const navigate = useNavigate();
  const search = useSearch({ from: "/app/workspaces" });
  const list = useQuery(workspacesQuery());
  const nodes = useQuery(nodesQuery());
  const all = list.data ?? [];
  const shown = useMemo(
    () => filterWorkspaces(list.data ?? [], search.q ?? "", search.state ?? "all"),
    [list.data, search.q, search.state],
  );
  const narrow = (change: { q?: string | undefined; state?: string | undefined }) =>
    navigate({ to: "/workspaces", search: (before) => ({ ...before, ...change }), replace: true });
  const setCreating = (create: boolean) =>
    navigate({ to: "/workspaces", search: ({ create: _, ...before }) => (create ? { ...before, create } : before) });

  return (
    <Page
      title="Workspaces"
      detail={list.data && all.length > 0 ? count(all) : undefined}
      actions={
        <Button look="primary" onClick={() => setCreating(true)} aria-keyshortcuts="c">
          <Plus aria-hidden />
          New workspace
          <Kbd>C</Kbd>
        </Button>
      }
    >
      {all.length > 0 && (
        <div className="mb-4 flex gap-2">
          <FilterBox
            label="Filter workspaces"
            placeholder="Filter by name, node, label…"
            value={search.q ?? ""}
            onChange={(text) => narrow({ q: text || undefined })}
            className="flex-1"
          />
          <Select
            label="State"
            className="w-36 shrink-0"
            value={search.state ?? "all"}
            choices={STATES}
            onChange={(state) => narrow({ state: state === "all" ? undefined : state })}
          />
        </div>
      )}
      {list.isError && !list.data ? (
        <Problem error={list.error} />
      ) : (
        <Card>
          {list.isPending ? (
            <SkeletonRows />
          ) : all.length === 0 ? (
            <Nothing nodes={nodes.data?.length ?? null} onCreate={() => setCreating(true)} />
          ) : shown.length === 0 ? (
            <div className="px-6 py-12 text-center text-sm">
              <p className="font-medium">No workspace matches.</p>
              <Button look="link" className="mt-1" onClick={() => narrow({ q: undefined, state: undefined })}>
                <X aria-hidden /> Clear the filter
              </Button>
            </div>
          ) : (
            <List workspaces={shown} />
          )}
        </Card>
      )}
      {all.length >= LIST_MOST && (
        <p className="mt-3 text-muted-foreground text-sm">
          The newest {LIST_MOST} are shown. The command line lists all.
        </p>
      )}
      <CreateWorkspace open={search.create === true} onOpenChange={setCreating} />
    </Page>
  );
}

function count(all: Workspace[]): string {
  const running = all.filter((each) => each.state === "running").length;
  return `${all.length} in all, ${running} running`;
}

function Nothing({ nodes, onCreate }: { nodes: number | null; onCreate: () => void }) {
  if (nodes === 0) {
    return (
      <Empty
        icon={Server}
        title="First, a node"
        action={
          <Link to="/nodes" className={buttonStyle({ look: "primary" })}>
            Add a node
          </Link>
        }
      >
        Workspaces live on machines of yours. None has joined yet: add one, and it dials out to this control plane by
        itself.
      </Empty>
    );
  }
  return (
    <Empty
      icon={Boxes}
      title="No workspaces yet"
      action={
        <Button look="primary" onClick={onCreate}>
          <Plus aria-hidden />
          Create the first one
        </Button>
      }
    >
      A workspace is an isolated place with files and processes, in which you and your agents work. It takes a moment to
      make.
    </Empty>
  );
}

const COLUMNS = "sm:grid-cols-[minmax(0,2.2fr)_minmax(0,1.5fr)_minmax(0,1fr)_minmax(0,1fr)_4.5rem_2rem]";

function List({ workspaces }: { workspaces: Workspace[] }) {
  return (
    <>
      <div
        aria-hidden
        className={cn("hidden gap-4 border-b px-4 py-2.5 font-medium text-muted-foreground text-xs sm:grid", COLUMNS)}
      >
        <span>Name</span>
        <span>State</span>
        <span>Node</span>
        <span>Isolation</span>
        <span>Age</span>
      </div>
      <ul className="divide-y" aria-label="Workspaces">
        {workspaces.map((workspace) => (
          <Row key={workspace.id} workspace={workspace} />
        ))}
      </ul>
    </>
  );
}

function Row({ workspace }: { workspace: Workspace }) {
  return (
    <li
      className={cn(
        "relative grid grid-cols-[1fr_auto] items-center gap-x-4 gap-y-2 px-4 py-3 transition-colors hover:bg-accent/50",
        COLUMNS,
      )}
    >
      <div className="min-w-0">
        <Link
          to="/workspaces/$id"
          params={{ id: workspace.id }}
          className="block truncate rounded font-medium text-sm after:absolute after:inset-0"
        >
          {workspace.name}
        </Link>
        <Labels labels={workspace.labels} />
      </div>
      <div className="justify-self-end sm:justify-self-start">
        <WorkspaceState workspace={workspace} />
      </div>
      <div className="col-span-2 flex min-w-0 gap-3 text-muted-foreground text-sm sm:contents">
        <span className="truncate">{workspace.node_name ?? "No node yet"}</span>
        <span className="truncate">{workspace.isolation ? ISOLATION[workspace.isolation].label : "–"}</span>
        <span className="ml-auto whitespace-nowrap pr-10 sm:ml-0 sm:pr-0">
          <Ago at={workspace.created} short />
        </span>
      </div>
      <div className="absolute right-3 bottom-2 z-10 sm:static sm:justify-self-end">
        <RowMenu workspace={workspace} />
      </div>
    </li>
  );
}

function RowMenu({ workspace }: { workspace: Workspace }) {
  const [deleting, setDeleting] = useState(false);
  const order = useOrder(workspace);
  const may = can(workspace);
  return (
    <>
      <Menu
        trigger={
          <Button look="ghost" size="icon-sm" aria-label={`Actions for ${workspace.name}`}>
            <Ellipsis />
          </Button>
        }
      >
        <MenuItem icon={<Play />} disabled={!may.start} onSelect={() => order.mutate("start")}>
          Start
        </MenuItem>
        <MenuItem icon={<Square />} disabled={!may.stop} onSelect={() => order.mutate("stop")}>
          Stop
        </MenuItem>
        <MenuItem icon={<RotateCw />} disabled={!may.restart} onSelect={() => order.mutate("restart")}>
          Restart
        </MenuItem>
        <MenuSeparator />
        <MenuItem icon={<Trash2 />} danger disabled={!may.delete} onSelect={() => setDeleting(true)}>
          Delete…
        </MenuItem>
      </Menu>
      <DeleteWorkspace workspace={workspace} open={deleting} onOpenChange={setDeleting} />
    </>
  );
}
