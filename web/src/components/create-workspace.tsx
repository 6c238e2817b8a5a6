import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ChevronRight } from "lucide-react";
import { type FormEvent, useEffect, useId, useMemo, useState } from "react";
import type { Isolation, Node, Workspace, WorkspaceCreate } from "@/api/types";
import { FaultNote, Problem } from "@/components/problem";
import { WorkspaceState } from "@/components/state";
import { Steps } from "@/components/steps";
import { Button } from "@/components/ui/button";
import { Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input, Textarea } from "@/components/ui/field";
import { type Choice, Select } from "@/components/ui/select";
import * as api from "@/data/api";
import { remember } from "@/data/orders";
import { nodes as nodesQuery, workspace as workspaceQuery } from "@/data/queries";
import { parseLines, parsePairs } from "@/lib/pairs";
import { ISOLATION } from "@/lib/states";

interface CreateWorkspaceProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

/** Makes a workspace: asks, then shows the steps until it runs. */
export function CreateWorkspace({ open, onOpenChange }: CreateWorkspaceProps) {
  const [made, setMade] = useState<Workspace | null>(null);
  useEffect(() => {
    if (!open) setMade(null);
  }, [open]);
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={made ? `Making ${made.name}` : "New workspace"}
      description={made ? undefined : "An isolated place with files and processes, on a machine of yours."}
    >
      {made ? <Progress made={made} /> : <Form onMade={setMade} onCancel={() => onOpenChange(false)} />}
    </Dialog>
  );
}

interface Draft {
  name: string;
  driver: string;
  node: string;
  isolation: Isolation | "best";
  cpus: string;
  memory: string;
  processes: string;
  labels: string;
  nodeLabels: string;
  environment: string;
  setup: string;
}

const BLANK: Draft = {
  name: "",
  driver: "",
  node: "any",
  isolation: "best",
  cpus: "",
  memory: "",
  processes: "",
  labels: "",
  nodeLabels: "",
  environment: "",
  setup: "",
};

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const GIB = 1024 ** 3;

type Problems = Partial<Record<keyof Draft, string>>;

function check(draft: Draft): Problems {
  const problems: Problems = {};
  if (draft.name !== "" && !NAME.test(draft.name)) {
    problems.name = "Small letters, digits, “.”, “_” and “-”; a letter or digit at both ends.";
  }
  for (const field of ["cpus", "memory", "processes"] as const) {
    const text = draft[field].trim();
    if (text !== "" && !(Number(text) > 0)) problems[field] = "A number above 0.";
  }
  for (const field of ["labels", "nodeLabels", "environment"] as const) {
    const { problem } = parsePairs(draft[field], field !== "environment");
    if (problem) problems[field] = problem;
  }
  return problems;
}

function toBody(draft: Draft, driver: string): WorkspaceCreate {
  const body: WorkspaceCreate = { driver };
  if (draft.name) body.name = draft.name;
  if (draft.node !== "any") body.node = draft.node;
  if (draft.isolation !== "best") body.isolation = draft.isolation;
  if (draft.cpus.trim()) body.cpus = Number(draft.cpus);
  if (draft.memory.trim()) body.memory_bytes = Math.round(Number(draft.memory) * GIB);
  if (draft.processes.trim()) body.processes = Math.round(Number(draft.processes));
  const labels = parsePairs(draft.labels, true).values;
  if (Object.keys(labels).length > 0) body.labels = labels;
  const nodeLabels = parsePairs(draft.nodeLabels, true).values;
  if (Object.keys(nodeLabels).length > 0) body.node_labels = nodeLabels;
  const environment = parsePairs(draft.environment).values;
  if (Object.keys(environment).length > 0) body.environment = environment;
  const setup = parseLines(draft.setup);
  if (setup.length > 0) body.setup = setup;
  return body;
}

function driversOf(nodes: Node[]): string[] {
  const names = new Set(nodes.flatMap((node) => node.drivers.map((driver) => driver.name)));
  return names.size > 0 ? [...names].sort() : ["process"];
}

/** The levels that some node can give with this driver. */
function levelsOf(nodes: Node[], driver: string, node: string): Set<string> {
  const asked = nodes.filter((each) => node === "any" || each.id === node);
  return new Set(
    asked.flatMap((each) => each.drivers.filter((one) => one.name === driver).flatMap((one) => one.isolation)),
  );
}

const LEVELS = Object.keys(ISOLATION) as Isolation[];

/** Whether one of the levels is this or a stronger one; true while none is known. */
function enough(levels: Set<string>, wanted: Isolation): boolean {
  return levels.size === 0 || LEVELS.slice(LEVELS.indexOf(wanted)).some((level) => levels.has(level));
}

function Form({ onMade, onCancel }: { onMade: (made: Workspace) => void; onCancel: () => void }) {
  const form = useId();
  const [draft, setDraft] = useState(BLANK);
  const [more, setMore] = useState(false);
  const [pressed, setPressed] = useState(false);
  const known = useQuery(nodesQuery()).data ?? [];
  const set = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const drivers = driversOf(known);
  const driver = draft.driver || (drivers.includes("process") ? "process" : (drivers[0] ?? "process"));
  const problems = check(draft);
  const create = useMutation({
    mutationFn: () => api.createWorkspace(toBody(draft, driver)),
    onSuccess: (made) => {
      remember(made);
      onMade(made);
    },
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    setPressed(true);
    const wrong = Object.keys(problems) as (keyof Draft)[];
    if (wrong.some((field) => field !== "name" && field !== "labels")) setMore(true);
    if (wrong.length === 0) create.mutate();
  }

  const shown = pressed ? problems : { name: problems.name };
  const levels = levelsOf(known, driver, draft.node);
  const isolation = useMemo<Choice<Isolation | "best">[]>(
    () => [
      { value: "best", label: "Best available", detail: "The most that the node can give" },
      ...LEVELS.map((level) => ({
        value: level,
        label: level === "none" ? "None needed" : `At least ${ISOLATION[level].label.toLowerCase()}`,
        detail: enough(levels, level) ? ISOLATION[level].means : "No node can give this now",
      })),
    ],
    [levels],
  );

  return (
    <>
      <DialogBody>
        <form id={form} onSubmit={submit} className="grid gap-4">
          <Field label="Name" hint="Leave it empty and one is made for you." problem={shown.name}>
            {(control) => (
              <Input
                {...control}
                value={draft.name}
                onChange={(event) => set({ name: event.target.value })}
                placeholder="my-workspace"
                autoFocus
                autoCapitalize="off"
              />
            )}
          </Field>
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label="Node">
              {(control) => (
                <Select
                  {...control}
                  value={draft.node}
                  onChange={(node) => set({ node })}
                  choices={[
                    { value: "any", label: "Any that fits" },
                    ...known.map((node) => ({
                      value: node.id,
                      label: node.name,
                      detail: node.status === "online" ? `${node.workspaces} workspaces` : node.status,
                      disabled: !node.approved,
                    })),
                  ]}
                />
              )}
            </Field>
            <Field label="Driver">
              {(control) => (
                <Select
                  {...control}
                  value={driver}
                  onChange={(next) => set({ driver: next })}
                  choices={drivers.map((name) => ({ value: name, label: name }))}
                />
              )}
            </Field>
          </div>
          <Field label="Isolation" hint={isolation.find((each) => each.value === draft.isolation)?.detail}>
            {(control) => (
              <Select
                {...control}
                value={draft.isolation}
                onChange={(next) => set({ isolation: next })}
                choices={isolation}
              />
            )}
          </Field>
          <Field label="Labels" hint="key=value, separated by commas." problem={shown.labels}>
            {(control) => (
              <Input
                {...control}
                value={draft.labels}
                onChange={(event) => set({ labels: event.target.value })}
                placeholder="team=search, env=dev"
              />
            )}
          </Field>
          <button
            type="button"
            className="flex w-fit items-center gap-1.5 rounded-md font-medium text-muted-foreground text-sm hover:text-foreground"
            aria-expanded={more}
            onClick={() => setMore(!more)}
          >
            <ChevronRight className={`size-4 transition-transform ${more ? "rotate-90" : ""}`} aria-hidden />
            Limits, environment and setup
          </button>
          {more && <More draft={draft} problems={shown} set={set} />}
          {create.isError && <Problem error={create.error} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onCancel}>Cancel</Button>
        <Button type="submit" form={form} look="primary" busy={create.isPending}>
          Create workspace
        </Button>
      </DialogFooter>
    </>
  );
}

function More({ draft, problems, set }: { draft: Draft; problems: Problems; set: (change: Partial<Draft>) => void }) {
  return (
    <div className="grid gap-4">
      <div className="grid grid-cols-2 gap-4 sm:grid-cols-3">
        <Field label="CPUs" problem={problems.cpus}>
          {(control) => (
            <Input
              {...control}
              inputMode="decimal"
              value={draft.cpus}
              onChange={(event) => set({ cpus: event.target.value })}
              placeholder="No limit"
            />
          )}
        </Field>
        <Field label="Memory, GiB" problem={problems.memory}>
          {(control) => (
            <Input
              {...control}
              inputMode="decimal"
              value={draft.memory}
              onChange={(event) => set({ memory: event.target.value })}
              placeholder="No limit"
            />
          )}
        </Field>
        <Field label="Processes" problem={problems.processes}>
          {(control) => (
            <Input
              {...control}
              inputMode="numeric"
              value={draft.processes}
              onChange={(event) => set({ processes: event.target.value })}
              placeholder="No limit"
            />
          )}
        </Field>
      </div>
      <Field
        label="Environment"
        hint="One NAME=value a line. Values are not shown again."
        problem={problems.environment}
      >
        {(control) => (
          <Textarea
            {...control}
            value={draft.environment}
            onChange={(event) => set({ environment: event.target.value })}
            rows={2}
          />
        )}
      </Field>
      <Field label="Setup commands" hint="Run once, in order, before the workspace is ready. One a line.">
        {(control) => (
          <Textarea
            {...control}
            value={draft.setup}
            onChange={(event) => set({ setup: event.target.value })}
            rows={2}
          />
        )}
      </Field>
      <Field label="Only on nodes labelled" hint="key=value, separated by commas." problem={problems.nodeLabels}>
        {(control) => (
          <Input
            {...control}
            value={draft.nodeLabels}
            onChange={(event) => set({ nodeLabels: event.target.value })}
            placeholder="gpu=yes"
          />
        )}
      </Field>
    </div>
  );
}

const LOOK_MS = 500;

function Progress({ made }: { made: Workspace }) {
  const navigate = useNavigate();
  const query = useQuery({ ...workspaceQuery(made.id), refetchInterval: LOOK_MS });
  const now = query.data ?? made;
  const running = now.state === "running";
  const failed = now.state === "failed";
  useEffect(() => {
    if (running) void navigate({ to: "/workspaces/$id", params: { id: made.id } });
  }, [running, made.id, navigate]);
  return (
    <>
      <DialogBody>
        <div className="flex items-center justify-between gap-3">
          <WorkspaceState workspace={now} />
          {now.node_name && <span className="text-muted-foreground text-sm">on {now.node_name}</span>}
        </div>
        {now.steps.length > 0 ? (
          <Steps steps={now.steps} failed={failed} />
        ) : (
          <p className="text-muted-foreground text-sm">Looking for a node that fits…</p>
        )}
        {now.error && <FaultNote fault={now.error} />}
      </DialogBody>
      <DialogFooter>
        <Button
          look={failed ? "plain" : "primary"}
          autoFocus
          onClick={() => navigate({ to: "/workspaces/$id", params: { id: made.id } })}
        >
          Open workspace
        </Button>
      </DialogFooter>
    </>
  );
}
