import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ChevronRight, CircleCheck, CirclePause, CirclePlay, Pencil, Trash2 } from "lucide-react";
import { type FormEvent, useId, useState } from "react";
import type { DriverFacts, Node } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Labels } from "@/components/labels";
import { Problem } from "@/components/problem";
import { NodeState, WorkspaceState } from "@/components/state";
import { Ago } from "@/components/time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card, CardHeader, Fact, Facts } from "@/components/ui/card";
import { Confirm, Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input, Textarea } from "@/components/ui/field";
import { Meter } from "@/components/ui/meter";
import { Skeleton } from "@/components/ui/skeleton";
import { complain, say } from "@/components/ui/toast";
import * as api from "@/data/api";
import { client, node as nodeQuery, nodes as nodesQuery, whoami, workspaces as workspacesQuery } from "@/data/queries";
import { bytes, duration } from "@/lib/format";
import { useTitle } from "@/lib/hooks";
import { formatPairs, parsePairs } from "@/lib/pairs";

export function NodePage() {
  const { id } = useParams({ from: "/app/nodes/$id" });
  const query = useQuery(nodeQuery(id));
  useTitle(query.data?.name ?? "Node");
  return (
    <div className="mx-auto w-full max-w-6xl px-4 py-5 sm:px-8 sm:py-7">
      <nav aria-label="Breadcrumb" className="mb-2 flex items-center gap-1 text-muted-foreground text-sm">
        <Link to="/nodes" className="rounded hover:text-foreground">
          Nodes
        </Link>
        <ChevronRight className="size-3.5" aria-hidden />
        <span className="truncate">{query.data?.name ?? "…"}</span>
      </nav>
      {query.data ? (
        <Detail node={query.data} />
      ) : query.isError ? (
        <Problem error={query.error} />
      ) : (
        <output aria-label="Loading">
          <Skeleton className="h-72" />
        </output>
      )}
    </div>
  );
}

function Detail({ node }: { node: Node }) {
  const admin = useQuery(whoami()).data?.user.role === "admin";
  return (
    <>
      <header className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-72">
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5">
            <h1 className="min-w-0 break-all font-semibold text-xl tracking-tight">{node.name}</h1>
            <NodeState node={node} />
          </div>
          <div className="mt-1 flex items-center gap-1 text-muted-foreground">
            <code className="truncate font-mono text-xs">{node.id}</code>
            <CopyButton text={node.id} label="Copy the id" className="size-6 [&_svg]:size-3.5" />
          </div>
          <Labels labels={node.labels} />
        </div>
        {admin && <Actions node={node} />}
      </header>
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

function remember(node: Node): void {
  client.setQueryData(nodeQuery(node.id).queryKey, node);
  void client.invalidateQueries({ queryKey: nodesQuery().queryKey });
}

function Actions({ node }: { node: Node }) {
  const navigate = useNavigate();
  const [removing, setRemoving] = useState(false);
  const [editing, setEditing] = useState(false);
  const order = useMutation({
    mutationFn: (what: "approve" | "drain" | "undrain") => api.nodeOrder(node.id, what),
    onSuccess: remember,
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
      <Confirm
        open={removing}
        onOpenChange={setRemoving}
        title={`Remove ${node.name}?`}
        action="Remove node"
        onConfirm={async () => {
          await api.removeNode(node.id);
          void client.invalidateQueries({ queryKey: nodesQuery().queryKey });
          say(`Removed ${node.name}`);
          void navigate({ to: "/nodes" });
        }}
      >
        Its link is cut and its key is no longer accepted. To come back it must be added anew.
        {node.workspaces > 0 && ` It has ${node.workspaces} workspaces: delete them first.`}
      </Confirm>
    </div>
  );
}

function EditNode({ node, open, onOpenChange }: { node: Node; open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title={`Edit ${node.name}`}>
      <EditForm node={node} close={() => onOpenChange(false)} />
    </Dialog>
  );
}

function EditForm({ node, close }: { node: Node; close: () => void }) {
  const form = useId();
  const [read] = useState(node);
  const [name, setName] = useState(node.name);
  const [labels, setLabels] = useState(formatPairs(node.labels));
  const [most, setMost] = useState(node.max_workspaces > 0 ? String(node.max_workspaces) : "");
  const parsed = parsePairs(labels);
  const save = useMutation({
    mutationFn: () =>
      api.patchNode(read, {
        name: name.trim(),
        labels: parsed.values,
        max_workspaces: Math.max(0, Math.round(Number(most) || 0)),
      }),
    onSuccess: (changed) => {
      remember(changed);
      close();
    },
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    if (parsed.problem === "") save.mutate();
  }
  return (
    <>
      <DialogBody>
        <form id={form} onSubmit={submit} className="grid gap-4">
          <Field label="Name">
            {(control) => (
              <Input {...control} value={name} onChange={(event) => setName(event.target.value)} autoFocus />
            )}
          </Field>
          <Field label="Most workspaces" hint="Empty: as many as it can.">
            {(control) => (
              <Input {...control} inputMode="numeric" value={most} onChange={(event) => setMost(event.target.value)} />
            )}
          </Field>
          <Field label="Labels" hint="One key=value a line." problem={parsed.problem}>
            {(control) => (
              <Textarea {...control} rows={3} value={labels} onChange={(event) => setLabels(event.target.value)} />
            )}
          </Field>
          {save.isError && <Problem error={save.error} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <Button onClick={close}>Cancel</Button>
        <Button type="submit" form={form} look="primary" busy={save.isPending}>
          Save
        </Button>
      </DialogFooter>
    </>
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
          <Meter label="CPU" used={health.cpu_percent} total={100} text={`${Math.round(health.cpu_percent)} %`} />
          <Meter
            label="Memory"
            used={health.memory_used_bytes}
            total={health.memory_total_bytes}
            text={`${bytes(health.memory_used_bytes)} of ${bytes(health.memory_total_bytes)}`}
          />
          <Meter
            label="Disk"
            used={health.disk_used_bytes}
            total={health.disk_total_bytes}
            text={`${bytes(health.disk_used_bytes)} of ${bytes(health.disk_total_bytes)}`}
          />
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
