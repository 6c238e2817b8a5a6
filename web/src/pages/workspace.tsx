import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { FolderTree, History, Pencil, Play, RotateCw, Square, SquareTerminal, Trash2 } from "lucide-react";
import { useState } from "react";
import type { Workspace } from "@/api/types";
import { DeleteWorkspace } from "@/components/delete-workspace";
import { DetailHeader, DetailPage } from "@/components/detail";
import { EditWorkspace } from "@/components/edit-workspace";
import { FaultNote } from "@/components/problem";
import { WorkspaceState } from "@/components/state";
import { Steps } from "@/components/steps";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { Confirm } from "@/components/ui/dialog";
import { TabPanel, Tabs } from "@/components/ui/tabs";
import { over } from "@/data/exec";
import { giveOrder, useOrder } from "@/data/orders";
import { execs as execsQuery, workspace as workspaceQuery } from "@/data/queries";
import { can } from "@/lib/states";
import { EventsTab } from "@/pages/workspace/events";
import { WorkspaceFacts } from "@/pages/workspace/facts";
import { FilesTab } from "@/pages/workspace/files";
import { RunTab } from "@/pages/workspace/run";

const TABS = [
  {
    value: "run" as const,
    label: (
      <>
        <SquareTerminal className="size-4" aria-hidden /> Commands
      </>
    ),
  },
  {
    value: "files" as const,
    label: (
      <>
        <FolderTree className="size-4" aria-hidden /> Files
      </>
    ),
  },
  {
    value: "events" as const,
    label: (
      <>
        <History className="size-4" aria-hidden /> Events
      </>
    ),
  },
];

export function WorkspacePage() {
  const { id } = useParams({ from: "/app/workspaces/$id" });
  return (
    <DetailPage query={useQuery(workspaceQuery(id))} what="workspace" list={{ to: "/workspaces", title: "Workspaces" }}>
      {(workspace) => <Detail workspace={workspace} />}
    </DetailPage>
  );
}

function Detail({ workspace }: { workspace: Workspace }) {
  const navigate = useNavigate();
  const search = useSearch({ from: "/app/workspaces/$id" });
  const tab = search.tab ?? "run";
  return (
    <>
      <DetailHeader thing={workspace} state={<WorkspaceState workspace={workspace} />}>
        <Actions workspace={workspace} />
      </DetailHeader>
      {workspace.error && <FaultNote fault={workspace.error} className="mb-5" />}
      <div className="grid gap-6 lg:grid-cols-[minmax(0,1fr)_20rem]">
        <Tabs
          value={tab}
          label="Of this workspace"
          tabs={TABS}
          onChange={(next) =>
            navigate({
              to: "/workspaces/$id",
              params: { id: workspace.id },
              search: next === "run" ? {} : { tab: next },
              replace: true,
            })
          }
        >
          <TabPanel value="run">
            <RunTab workspace={workspace} />
          </TabPanel>
          <TabPanel value="files">
            <FilesTab workspace={workspace} />
          </TabPanel>
          <TabPanel value="events">
            <EventsTab workspace={workspace} />
          </TabPanel>
        </Tabs>
        <aside className="grid content-start gap-4" aria-label="About this workspace">
          <WorkspaceFacts workspace={workspace} />
          {workspace.steps.length > 0 && (
            <Card>
              <CardHeader title="Steps" detail="Of the last start" />
              <div className="p-4">
                <Steps steps={workspace.steps} failed={workspace.state === "failed"} />
              </div>
            </Card>
          )}
        </aside>
      </div>
    </>
  );
}

function Actions({ workspace }: { workspace: Workspace }) {
  const navigate = useNavigate();
  const [deleting, setDeleting] = useState(false);
  const [editing, setEditing] = useState(false);
  const order = useOrder(workspace);
  const may = can(workspace);
  const [ending, setEnding] = useState<"stop" | "restart" | null>(null);
  const running = (useQuery(execsQuery(workspace.id, may.use)).data?.items ?? []).filter((each) => !over(each)).length;
  /** Only what would end a command asks first. */
  const ask = (what: "stop" | "restart") => (running > 0 ? setEnding(what) : order.mutate(what));
  const busy = (what: string) => order.isPending && order.variables === what;
  return (
    <div className="flex flex-wrap gap-2">
      {may.start && (
        <Button look="primary" busy={busy("start")} onClick={() => order.mutate("start")}>
          <Play aria-hidden />
          Start
        </Button>
      )}
      {may.restart && (
        <Button busy={busy("restart")} onClick={() => ask("restart")}>
          <RotateCw aria-hidden />
          Restart
        </Button>
      )}
      {may.stop && (
        <Button busy={busy("stop")} onClick={() => ask("stop")}>
          <Square aria-hidden />
          Stop
        </Button>
      )}
      <Button onClick={() => setEditing(true)}>
        <Pencil aria-hidden />
        <span className="max-sm:sr-only">Edit</span>
      </Button>
      <Button className="text-bad hover:bg-bad-soft" disabled={!may.delete} onClick={() => setDeleting(true)}>
        <Trash2 aria-hidden />
        Delete
      </Button>
      <Confirm
        open={ending !== null}
        onOpenChange={(open) => !open && setEnding(null)}
        title={`${ending === "restart" ? "Restart" : "Stop"} ${workspace.name}?`}
        action={ending === "restart" ? "Restart" : "Stop"}
        onConfirm={async () => {
          if (ending) await giveOrder(workspace, ending);
        }}
      >
        {running === 1 ? "A command is running in it and ends." : `${running} commands are running in it and end.`} Its
        files stay.
      </Confirm>
      <EditWorkspace workspace={workspace} open={editing} onOpenChange={setEditing} />
      <DeleteWorkspace
        workspace={workspace}
        open={deleting}
        onOpenChange={setDeleting}
        onDeleted={() => void navigate({ to: "/workspaces" })}
      />
    </div>
  );
}
