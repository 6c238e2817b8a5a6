import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Activity, ScrollText } from "lucide-react";
import { useMemo } from "react";
import type { AuditEntry, Event } from "@/api/types";
import { Empty } from "@/components/empty";
import { EventList } from "@/components/event-list";
import { FilterBox } from "@/components/filter-box";
import { Page } from "@/components/page";
import { Problem } from "@/components/problem";
import { Ago } from "@/components/time";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { SkeletonRows } from "@/components/ui/skeleton";
import { TabPanel, Tabs } from "@/components/ui/tabs";
import * as api from "@/data/api";
import {
  events as eventsQuery,
  nodes as nodesQuery,
  users as usersQuery,
  whoami,
  workspaces as workspacesQuery,
} from "@/data/queries";
import { details, eventName, eventWords, facts } from "@/lib/events";
import { shortId, words } from "@/lib/format";

export function ActivityPage() {
  const navigate = useNavigate();
  const { tab = "events" } = useSearch({ from: "/app/activity" });
  const admin = useQuery(whoami()).data?.user.role === "admin";
  return (
    <Page title="Activity" detail="What happened, newest first.">
      {admin ? (
        <Tabs
          value={tab}
          label="Kinds of activity"
          tabs={[
            { value: "events", label: "Events" },
            { value: "audit", label: "Audit log" },
          ]}
          onChange={(next) =>
            navigate({ to: "/activity", search: next === "events" ? {} : { tab: next }, replace: true })
          }
        >
          <TabPanel value="events">
            <Events />
          </TabPanel>
          <TabPanel value="audit">
            <Audit />
          </TabPanel>
        </Tabs>
      ) : (
        <Events />
      )}
    </Page>
  );
}

/** Every word must be in the name or in what happened. */
function matching(events: Event[], names: Map<string, string>, text: string): Event[] {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return events;
  return events.filter((event) => {
    const said = `${names.get(event.subject) ?? eventName(event)} ${eventWords(event)} ${facts(event)}`.toLowerCase();
    return wanted.every((word) => said.includes(word));
  });
}

function Events() {
  const navigate = useNavigate();
  const { q = "" } = useSearch({ from: "/app/activity" });
  const narrow = (text: string) => navigate({ to: "/activity", search: text ? { q: text } : {}, replace: true });
  const query = useQuery(eventsQuery());
  const workspaces = useQuery(workspacesQuery()).data;
  const nodes = useQuery(nodesQuery()).data;
  const names = useMemo(
    () => new Map([...(workspaces ?? []), ...(nodes ?? [])].map((each) => [each.id, each.name])),
    [workspaces, nodes],
  );
  if (query.isError && !query.data) return <Problem error={query.error} />;
  return (
    <Card>
      {query.data && query.data.length > 0 && (
        <div className="border-b p-3">
          <FilterBox label="Filter events" value={q} onChange={narrow} placeholder="Filter by name or what happened…" />
        </div>
      )}
      {!query.data ? (
        <SkeletonRows />
      ) : query.data.length === 0 ? (
        <Empty icon={Activity} title="Nothing has happened yet">
          Workspaces that start, stop or fail and nodes that come and go appear here as it happens.
        </Empty>
      ) : (
        <EventList events={matching([...query.data].reverse(), names, q)} names={names} />
      )}
    </Card>
  );
}

function Audit() {
  const query = useQuery({
    queryKey: ["audit"],
    queryFn: ({ signal }) => api.audit("", signal),
    refetchInterval: 10_000,
    staleTime: 0,
  });
  const people = useQuery(usersQuery(true)).data;
  const workspaces = useQuery(workspacesQuery()).data;
  const nodes = useQuery(nodesQuery()).data;
  const names = useMemo(
    () => new Map([...(people ?? []), ...(workspaces ?? []), ...(nodes ?? [])].map((each) => [each.id, each.name])),
    [people, workspaces, nodes],
  );
  if (query.isError && !query.data) return <Problem error={query.error} />;
  return (
    <Card>
      {!query.data ? (
        <SkeletonRows />
      ) : query.data.items.length === 0 ? (
        <Empty icon={ScrollText} title="The audit log is empty">
          Every change and every stream that somebody opens is written here.
        </Empty>
      ) : (
        <ol className="divide-y">
          {query.data.items.map((entry) => (
            <AuditRow key={entry.id} entry={entry} names={names} />
          ))}
        </ol>
      )}
    </Card>
  );
}

function AuditRow({ entry, names }: { entry: AuditEntry; names: Map<string, string> }) {
  const good = entry.outcome === "ok";
  const more = details(entry.details);
  const subject =
    names.get(entry.subject) ?? (/^[a-z]{2}_/.test(entry.subject) ? shortId(entry.subject) : entry.subject);
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_auto] items-start gap-x-4 gap-y-1 px-4 py-2.5 text-sm">
      <div className="min-w-0">
        <p className="break-words">
          <span className="font-medium">{(names.get(entry.actor) ?? entry.actor) || "Nobody logged in"}</span>{" "}
          <span className="text-muted-foreground">{words(entry.action)}</span>{" "}
          {subject && (
            <span className="font-medium" title={entry.subject}>
              {subject}
            </span>
          )}
        </p>
        <p className="break-words text-muted-foreground text-xs">
          {[entry.via && `by ${entry.via.split(":")[0]}`, more].filter(Boolean).join(" · ")}
        </p>
      </div>
      <div className="grid justify-items-end gap-1">
        <span className="text-muted-foreground text-xs">
          <Ago at={entry.at} />
        </span>
        {!good && <Badge tone="bad">{words(entry.outcome)}</Badge>}
      </div>
    </li>
  );
}
