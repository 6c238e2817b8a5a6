import { Link } from "@tanstack/react-router";
import { ShieldCheck, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { Workspace } from "@/api/types";
import { Ago } from "@/components/time";
import { Card, CardHeader, Fact, Facts } from "@/components/ui/card";
import { bytes } from "@/lib/format";
import { ISOLATION, PERSISTENCE } from "@/lib/states";

/** What a workspace really has, also where that is less than one might think. */
export function WorkspaceFacts({ workspace }: { workspace: Workspace }) {
  const level = workspace.isolation ? ISOLATION[workspace.isolation] : null;
  return (
    <Card>
      <CardHeader title="What it is" />
      <Facts>
        <Fact name="Node">
          {workspace.node_id ? (
            <Link
              to="/nodes/$id"
              params={{ id: workspace.node_id }}
              className="rounded font-medium hover:text-primary hover:underline"
            >
              {workspace.node_name ?? workspace.node_id}
            </Link>
          ) : (
            <Faint>None chosen yet</Faint>
          )}
        </Fact>
        <Fact name="Driver">{workspace.driver}</Fact>
        <Fact name="Isolation">
          {level ? (
            <>
              <span className="flex items-center gap-1.5">
                {workspace.isolation === "none" ? (
                  <TriangleAlert className="size-3.5 text-warn" aria-hidden />
                ) : (
                  <ShieldCheck className="size-3.5 text-good" aria-hidden />
                )}
                {level.label}
              </span>
              <Faint>{level.means}</Faint>
            </>
          ) : (
            <Faint>Known once it has started</Faint>
          )}
          {workspace.isolation_wanted && <Faint>At least {workspace.isolation_wanted} was asked for.</Faint>}
        </Fact>
        <Fact name="CPU">
          <Limited
            asked={workspace.cpus > 0 ? `${workspace.cpus} ${workspace.cpus === 1 ? "CPU" : "CPUs"}` : ""}
            kept={workspace.limits.includes("cpu")}
            known={level !== null}
          />
        </Fact>
        <Fact name="Memory">
          <Limited
            asked={workspace.memory_bytes > 0 ? bytes(workspace.memory_bytes) : ""}
            kept={workspace.limits.includes("memory")}
            known={level !== null}
          />
        </Fact>
        <Fact name="Processes">
          <Limited
            asked={workspace.processes > 0 ? `${workspace.processes}` : ""}
            kept={workspace.limits.includes("processes")}
            known={level !== null}
          />
        </Fact>
        <Fact name="Persistence">
          {workspace.persistence ? (
            (PERSISTENCE[workspace.persistence] ?? workspace.persistence)
          ) : (
            <Faint>Not known yet</Faint>
          )}
        </Fact>
        <Fact name="Hibernation">
          {workspace.hibernate.length > 0 ? workspace.hibernate.join(", ") : <Faint>This driver has none</Faint>}
        </Fact>
        {workspace.environment_names.length > 0 && (
          <Fact name="Environment">
            <span className="break-all font-mono text-xs">{workspace.environment_names.join(" ")}</span>
          </Fact>
        )}
        {workspace.setup.length > 0 && (
          <Fact name="Setup">
            {workspace.setup.map((line) => (
              <code key={line} className="block break-all font-mono text-xs">
                {line}
              </code>
            ))}
          </Fact>
        )}
        {workspace.guest_restarts > 0 && (
          <Fact name="Guest">
            <span className="text-warn">Restarted {workspace.guest_restarts} times</span>
          </Fact>
        )}
        <Fact name="Created">
          <Ago at={workspace.created} />
        </Fact>
      </Facts>
    </Card>
  );
}

function Faint({ children }: { children: ReactNode }) {
  return <span className="block text-muted-foreground text-xs leading-relaxed">{children}</span>;
}

/** A limit as asked for, and whether the node keeps it. */
function Limited({ asked, kept, known }: { asked: string; kept: boolean; known: boolean }) {
  if (asked === "") return <Faint>No limit was asked for</Faint>;
  if (!known) return asked;
  return kept ? (
    asked
  ) : (
    <>
      {asked}
      <span className="block text-warn text-xs">Not kept: this node cannot limit it</span>
    </>
  );
}
