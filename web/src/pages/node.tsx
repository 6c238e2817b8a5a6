import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { CircleCheck, CirclePause, CirclePlay, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import type { DriverFacts, Node } from "@/api/types";
import { DetailHeader, DetailPage } from "@/components/detail";
import { EditNode } from "@/components/edit-node";
import { Load, Used } from "@/components/load";
import { RemoveNode } from "@/components/remove-node";
import { NodeState, WorkspaceState } from "@/components/state";
import { Ago } from "@/components/time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card, CardHeader, Fact, Facts } from "@/components/ui/card";
import { complain } from "@/components/ui/toast";
import * as api from "@/data/api";
import { rememberNode } from "@/data/orders";
import { node as nodeQuery, whoami, workspaces as workspacesQuery } from "@/data/queries";
import { bytes, duration } from "@/lib/format";

export function NodePage() {
  const { id } = useParams({ from: "/app/nodes/$id" });
  return (
    <DetailPage query={useQuery(nodeQuery(id))} what="node" list={{ to: "/nodes", title: "Nodes" }}>
      {(node) => <Detail node={node} />}
    </DetailPage>
  );
}

function Detail({ node }: { node: Node }) {
  const admin = useQuery(whoami()).data?.user.role === "admin";
  return (
    <>
      <DetailHeader thing={node} state={<NodeState node={node} />}>
        {admin && <Actions node={node} />}
      </DetailHeader>
      {node.status === "pending" && (
        <p className="mb-5 rounded-xl border border-busy/30 bg-busy-soft p-3.5 text-sm">
          This machine has enrolled and waits for approval. Approve it only if you know it: it will be given workspaces.
        </p>
      )}
      <div className="grid gap-5 lg:grid-cols-[minmax(0,1fr)_22rem]">
        <div className="grid min-w-0 content-start gap-5">
          <Health node={node} />
          <Drivers drivers={node.drivers} />
          <Hosted node={node} />
        </div>
        <Machine node={node} />
      </div>
    </>
  );
}

function Actions({ node }: { node: Node }) {
  const navigate = useNavigate();
  const [removing, setRemoving] = useState(false);
  const [editing, setEditing] = useState(false);
  const order = useMutation({
    mutationFn: (what: "approve" | "drain" | "undrain") => api.nodeOrder(node.id, what),
    onSuccess: rememberNode,
    onError: complain,
  });
  const busy = (what: string) => order.isPending && order.variables === what;
  return (
    <div className="flex flex-wrap gap-2">
      {!node.approved && (
        <Button look="primary" busy={busy("approve")} onClick={() => order.mutate("approve")}>
          <CircleCheck aria-hidden />
          Approve
        </Button>
      )}
      {node.approved && !node.draining && (
        <Button
          busy={busy("drain")}
          onClick={() => order.mutate("drain")}
          title="It takes no new workspaces; those it has go on"
        >
          <CirclePause aria-hidden />
          Drain
        </Button>
      )}
      {node.draining && (
        <Button busy={busy("undrain")} onClick={() => order.mutate("undrain")}>
          <CirclePlay aria-hidden />
          Take workspaces again
        </Button>
      )}
      <Button onClick={() => setEditing(true)}>
        <Pencil aria-hidden />
        Edit
      </Button>
      <Button className="text-bad hover:bg-bad-soft" onClick={() => setRemoving(true)}>
        <Trash2 aria-hidden />
        Remove
      </Button>
      <EditNode node={node} open={editing} onOpenChange={setEditing} />
      <RemoveNode
        node={node}
        open={removing}
        onOpenChange={setRemoving}
        onRemoved={() => void navigate({ to: "/nodes" })}
      />
    </div>
  );
}

function Health({ node }: { node: Node }) {
  const health = node.health;
  return (
    <Card>
      <CardHeader
        title="Health"
        detail={
          health ? (
            <>
              As of <Ago at={health.at} />
            </>
          ) : undefined
        }
      >
        {node.status === "offline" && node.last_seen !== null && (
          <span className="text-bad text-xs">
            Silent since <Ago at={node.last_seen} />
          </span>
        )}
      </CardHeader>
      {health ? (
        <div className="grid gap-x-8 gap-y-4 p-4 sm:grid-cols-2">
          <Load health={health} />
          <Used label="Disk" used={health.disk_used_bytes} total={health.disk_total_bytes} />
          <dl className="grid grid-cols-2 gap-y-1.5 text-[13px]">
            <dt className="text-muted-foreground">Load</dt>
            <dd className="text-right tabular-nums">{health.load1.toFixed(2)}</dd>
            <dt className="text-muted-foreground">Up for</dt>
            <dd className="text-right tabular-nums">{duration(health.uptime_seconds)}</dd>
          </dl>
        </div>
      ) : (
        <p className="p-4 text-muted-foreground text-sm">It has sent no figures yet; they come every half a minute.</p>
      )}
    </Card>
  );
}

function Drivers({ drivers }: { drivers: DriverFacts[] }) {
  return (
    <Card>
      <CardHeader title="Drivers" detail="What it can make workspaces with, and what each can really give" />
      {drivers.length === 0 ? (
        <p className="p-4 text-muted-foreground text-sm">Known once it has connected.</p>
      ) : (
        <ul className="divide-y">
          {drivers.map((driver) => (
            <li key={driver.name} className="grid gap-2 px-4 py-3 text-sm">
              <div className="flex flex-wrap items-center gap-2">
                <span className="font-medium">{driver.name}</span>
                {driver.isolation.map((level) => (
                  <Badge key={level} tone={level === "none" ? "quiet" : "good"}>
                    {level}
                  </Badge>
                ))}
              </div>
              <p className="text-muted-foreground text-xs">
                {(driver.limits ?? []).length > 0
                  ? `Limits ${(driver.limits ?? []).join(", ")}.`
                  : "Cannot limit CPU, memory or processes."}
                {driver.note && ` ${driver.note}`}
              </p>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Hosted({ node }: { node: Node }) {
  const list = useQuery(workspacesQuery());
  const here = (list.data ?? []).filter((each) => each.node_id === node.id);
  return (
    <Card>
      <CardHeader title="Workspaces" />
      {here.length === 0 ? (
        <p className="p-4 text-muted-foreground text-sm">None of yours is on this node.</p>
      ) : (
        <ul className="divide-y">
          {here.map((each) => (
            <li key={each.id} className="relative flex items-center gap-3 px-4 py-2.5 hover:bg-accent/50">
              <Link
                to="/workspaces/$id"
                params={{ id: each.id }}
                className="min-w-0 flex-1 truncate rounded font-medium text-sm after:absolute after:inset-0"
              >
                {each.name}
              </Link>
              <WorkspaceState workspace={each} />
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Machine({ node }: { node: Node }) {
  const facts = node.facts;
  return (
    <Card className="self-start">
      <CardHeader title="Machine" />
      <Facts>
        {facts && (
          <>
            <Fact name="Host name">{facts.hostname}</Fact>
            <Fact name="System">
              {facts.os} {facts.arch}
              {facts.kernel && <span className="block text-muted-foreground text-xs">{facts.kernel}</span>}
            </Fact>
            <Fact name="CPUs">{facts.cpus || "–"}</Fact>
            <Fact name="Memory">{facts.memory_bytes ? bytes(facts.memory_bytes) : "–"}</Fact>
            <Fact name="Disk">{facts.disk_bytes ? bytes(facts.disk_bytes) : "–"}</Fact>
          </>
        )}
        <Fact name="Workspaces">
          {node.workspaces}
          {node.max_workspaces > 0 && ` of at most ${node.max_workspaces}`}
        </Fact>
        <Fact name="Version">
          {node.version || "–"}
          {node.protocol && <span className="block text-muted-foreground text-xs">protocol {node.protocol}</span>}
        </Fact>
        <Fact name="Last seen">{node.last_seen === null ? "never" : <Ago at={node.last_seen} />}</Fact>
        <Fact name="Added">
          <Ago at={node.created} />
        </Fact>
      </Facts>
    </Card>
  );
}
