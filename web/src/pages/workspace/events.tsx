import { useQuery } from "@tanstack/react-query";
import { History } from "lucide-react";
import type { Workspace } from "@/api/types";
import { Empty } from "@/components/empty";
import { EventList } from "@/components/event-list";
import { Problem } from "@/components/problem";
import { Card } from "@/components/ui/card";
import { SkeletonRows } from "@/components/ui/skeleton";
import { workspaceEvents } from "@/data/queries";

export function EventsTab({ workspace }: { workspace: Workspace }) {
  const query = useQuery(workspaceEvents(workspace.id));
  if (query.isError && !query.data) return <Problem error={query.error} />;
  return (
    <Card>
      {query.data ? (
        query.data.length > 0 ? (
          <EventList events={[...query.data].reverse()} />
        ) : (
          <Empty icon={History} title="Nothing has happened yet">
            Starts, stops and failures of this workspace are listed here.
          </Empty>
        )
      ) : (
        <SkeletonRows />
      )}
    </Card>
  );
}
