import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plus, Server } from "lucide-react";
import { useState } from "react";
import type { Node } from "@/api/types";
import { Empty } from "@/components/empty";
import { EnrolNode } from "@/components/enrol-node";
import { Labels } from "@/components/labels";
import { Load } from "@/components/load";
import { Page } from "@/components/page";
import { Problem } from "@/components/problem";
import { NodeState } from "@/components/state";
import { Ago } from "@/components/time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Skeleton } from "@/components/ui/skeleton";
import { nodes as nodesQuery, whoami } from "@/data/queries";

export function NodesPage() {
  const list = useQuery(nodesQuery());
  const admin = useQuery(whoami()).data?.user.role === "admin";
  const [enrolling, setEnrolling] = useState(false);
  const add = admin && (
    <Button look="primary" onClick={() => setEnrolling(true)}>
      <Plus aria-hidden />
      Add a node
    </Button>
  );
  return (
    <Page
      title="Nodes"
      detail="Machines of yours that run workspaces. They dial out; nothing listens on them."
      actions={add}
    >
      {list.isError && !list.data ? (
        <Problem error={list.error} />
      ) : list.isPending ? (
        <output aria-label="Loading" className="grid gap-4 md:grid-cols-2">
          <Skeleton className="h-52 rounded-xl" />
          <Skeleton className="h-52 rounded-xl" />
        </output>
      ) : list.data.length === 0 ? (
        <Card>
          <Empty icon={Server} title="No nodes yet" action={add}>
            {admin
              ? "A node is a machine that runs workspaces. Adding one takes a single command on it."
              : "An administrator can add one."}
          </Empty>
        </Card>
      ) : (
        <ul className="grid gap-4 md:grid-cols-2" aria-label="Nodes">
          {list.data.map((node) => (
            <NodeCard key={node.id} node={node} />
          ))}
        </ul>
      )}
      <EnrolNode open={enrolling} onOpenChange={setEnrolling} />
    </Page>
  );
}

function NodeCard({ node }: { node: Node }) {
  return (
    <li className="relative min-w-0 rounded-xl border bg-card p-4 shadow-xs transition-colors hover:border-input">
      <div className="flex items-start gap-3">
        <div className="min-w-0 flex-1">
          <Link
            to="/nodes/$id"
            params={{ id: node.id }}
            className="block truncate rounded font-semibold text-[15px] after:absolute after:inset-0"
          >
            {node.name}
          </Link>
          <p className="truncate text-muted-foreground text-xs">
            {node.facts ? `${node.facts.hostname} · ${node.facts.os} ${node.facts.arch}` : "Has not connected yet"}
          </p>
        </div>
        <NodeState node={node} />
      </div>
      {node.drivers.length > 0 && (
        <div className="mt-3 flex flex-wrap gap-1.5">
          {node.drivers.map((driver) => (
            <Badge key={driver.name} tone="outline">
              {driver.name}
            </Badge>
          ))}
        </div>
      )}
      {node.health && (
        <div className="mt-4 grid gap-3">
          <Load health={node.health} />
        </div>
      )}
      <div className="mt-4 flex flex-wrap items-center gap-x-3 gap-y-1.5 text-muted-foreground text-xs">
        <span>
          {node.workspaces} {node.workspaces === 1 ? "workspace" : "workspaces"}
          {node.max_workspaces > 0 && ` of ${node.max_workspaces}`}
        </span>
        {node.last_seen !== null && node.status === "offline" && (
          <span>
            last seen <Ago at={node.last_seen} />
          </span>
        )}
        <Labels labels={node.labels} />
      </div>
    </li>
  );
}
