import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ChevronRight, CornerDownLeft, Play, SlidersHorizontal, SquareTerminal } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useRef, useState } from "react";
import type { ExecStatus, Workspace } from "@/api/types";
import { Empty } from "@/components/empty";
import { Problem } from "@/components/problem";
import { ExecState } from "@/components/state";
import { Ago } from "@/components/time";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { Field, Input, Textarea } from "@/components/ui/field";
import { Kbd } from "@/components/ui/kbd";
import { SkeletonRows } from "@/components/ui/skeleton";
import * as api from "@/data/api";
import type { ExecRequest } from "@/data/exec";
import { useOrder } from "@/data/orders";
import { client, execs as execsQuery } from "@/data/queries";
import { cn } from "@/lib/classes";
import { commandLine, duration } from "@/lib/format";
import { useShortcut } from "@/lib/hooks";
import { parsePairs } from "@/lib/pairs";
import { can } from "@/lib/states";
import { OutputPanel } from "@/pages/workspace/output";

/** Runs commands and shows those that were run. */
export function RunTab({ workspace }: { workspace: Workspace }) {
  const usable = can(workspace).use;
  const list = useQuery(execsQuery(workspace.id, usable));
  const { exec: chosen } = useSearch({ from: "/app/workspaces/$id" });
  const known = list.data?.items ?? [];
  const shown = chosen ?? known[0]?.exec_id;
  const status = known.find((each) => each.exec_id === shown);
  if (!usable && known.length === 0) return <NotRunning workspace={workspace} />;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-4">
      {usable ? <Prompt workspace={workspace} earlier={lines(known)} /> : <NotRunning workspace={workspace} />}
      {shown !== undefined && <OutputPanel key={shown} workspaceId={workspace.id} execId={shown} listed={status} />}
      {usable && list.isError && !list.data && <Problem error={list.error} />}
      {usable && list.isPending && <SkeletonRows rows={2} />}
      {known.length > 0 && <Earlier workspaceId={workspace.id} execs={known} shown={shown} />}
      {list.data && known.length === 0 && shown === undefined && (
        <Card>
          <Empty icon={SquareTerminal} title="No commands yet">
            Type one above and press Enter. Its output appears here as it comes, and goes on when you close this page.
          </Empty>
        </Card>
      )}
    </div>
  );
}

function NotRunning({ workspace }: { workspace: Workspace }) {
  const order = useOrder(workspace);
  const may = can(workspace);
  const moving = !may.start;
  return (
    <Card>
      <Empty
        icon={SquareTerminal}
        title={moving ? "In a moment" : "This workspace is not running"}
        action={
          may.start && (
            <Button look="primary" busy={order.isPending} onClick={() => order.mutate("start")}>
              <Play aria-hidden />
              Start it
            </Button>
          )
        }
      >
        {moving ? "Commands and files are there once it runs." : "Start it to run commands and see its files."}
      </Empty>
    </Card>
  );
}

interface Options {
  cwd: string;
  timeout: string;
  environment: string;
}

const NO_OPTIONS: Options = { cwd: "", timeout: "", environment: "" };

function toRequest(line: string, options: Options): ExecRequest {
  const request: ExecRequest = { argv: [line], shell: true };
  if (options.cwd.trim()) request.cwd = options.cwd.trim();
  if (Number(options.timeout) > 0) request.timeout = Number(options.timeout);
  const environment = parsePairs(options.environment).values;
  if (Object.keys(environment).length > 0) request.environment = environment;
  return request;
}

/** The different lines that were run, newest first. */
function lines(execs: ExecStatus[]): string[] {
  return [...new Set(execs.map((each) => commandLine(each.argv, true)).filter((line) => line !== ""))];
}

/** Up and down walk through the earlier lines, as in a shell; what was typed is at the bottom. */
function useEarlier(earlier: string[], line: string, setLine: (line: string) => void) {
  const [at, setAt] = useState(-1);
  const typed = useRef("");
  function walk(event: KeyboardEvent) {
    const step = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    const next = at + step;
    if (step === 0 || next < -1 || next >= earlier.length) return;
    event.preventDefault();
    if (at === -1) typed.current = line;
    setAt(next);
    setLine(next === -1 ? typed.current : (earlier[next] ?? ""));
  }
  return { walk, forget: () => setAt(-1) };
}

function Prompt({ workspace, earlier }: { workspace: Workspace; earlier: string[] }) {
  const navigate = useNavigate();
  const input = useRef<HTMLInputElement>(null);
  const [line, setLine] = useState("");
  const [more, setMore] = useState(false);
  const [options, setOptions] = useState(NO_OPTIONS);
  const { walk, forget } = useEarlier(earlier, line, setLine);
  useShortcut("r", () => input.current?.focus());
  const problem = parsePairs(options.environment).problem;
  const start = useMutation({
    mutationFn: () => api.startExec(workspace.id, toRequest(line, options)),
    onSuccess: ({ exec_id }) => {
      setLine("");
      forget();
      void client.invalidateQueries({ queryKey: execsQuery(workspace.id, true).queryKey });
      void navigate({ to: "/workspaces/$id", params: { id: workspace.id }, search: { exec: exec_id }, replace: true });
    },
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    if (line.trim() !== "" && problem === "" && !start.isPending) start.mutate();
  }

  return (
    <form onSubmit={submit} className="grid grid-cols-[minmax(0,1fr)] gap-3">
      <div className="flex items-center gap-1 rounded-xl border border-input bg-card p-1.5 shadow-xs transition-colors focus-within:border-ring focus-within:outline-2 focus-within:outline-ring/45">
        <ChevronRight className="ml-1.5 size-4 shrink-0 text-primary" aria-hidden />
        <input
          ref={input}
          value={line}
          onChange={(event) => {
            forget();
            setLine(event.target.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
            else walk(event);
          }}
          aria-label="Command"
          aria-keyshortcuts="r"
          placeholder="Run a command, such as ls -la"
          className="h-9 min-w-0 flex-1 bg-transparent px-1 font-mono text-base outline-none placeholder:font-sans placeholder:text-muted-foreground/75 sm:text-sm"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
        />
        <Button
          look="ghost"
          size="icon"
          aria-label="Options of the command"
          aria-expanded={more}
          title="Directory, time limit, environment"
          onClick={() => setMore(!more)}
        >
          <SlidersHorizontal />
        </Button>
        <Button type="submit" look="primary" busy={start.isPending} disabled={line.trim() === ""}>
          Run
          <Kbd>
            <CornerDownLeft className="size-3!" />
          </Kbd>
        </Button>
      </div>
      {more && (
        <div className="grid gap-4 rounded-xl border bg-card p-4 sm:grid-cols-2">
          <Field label="Directory" hint="Below the workspace's root.">
            {(control) => (
              <Input
                {...control}
                className="font-mono"
                placeholder="."
                value={options.cwd}
                onChange={(event) => setOptions({ ...options, cwd: event.target.value })}
              />
            )}
          </Field>
          <Field label="Time limit, seconds" hint="Then it is ended with all it started. Empty: none.">
            {(control) => (
              <Input
                {...control}
                inputMode="decimal"
                value={options.timeout}
                onChange={(event) => setOptions({ ...options, timeout: event.target.value })}
              />
            )}
          </Field>
          <Field label="Environment" hint="One NAME=value a line." problem={problem} className="sm:col-span-2">
            {(control) => (
              <Textarea
                {...control}
                rows={2}
                value={options.environment}
                onChange={(event) => setOptions({ ...options, environment: event.target.value })}
              />
            )}
          </Field>
        </div>
      )}
      {start.isError && <Problem error={start.error} />}
    </form>
  );
}

const LISTED = 50;

function Earlier({
  workspaceId,
  execs,
  shown,
}: {
  workspaceId: string;
  execs: ExecStatus[];
  shown: string | undefined;
}) {
  const navigate = useNavigate();
  return (
    <Card>
      <CardHeader
        title="Commands"
        detail={execs.length > LISTED ? `The newest ${LISTED} of ${execs.length}` : undefined}
      />
      <ul className="divide-y">
        {execs.slice(0, LISTED).map((each) => (
          <li key={each.exec_id}>
            <button
              type="button"
              aria-current={each.exec_id === shown}
              onClick={() =>
                navigate({
                  to: "/workspaces/$id",
                  params: { id: workspaceId },
                  search: { exec: each.exec_id },
                  replace: true,
                })
              }
              className={cn(
                "grid w-full grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 px-4 py-2.5 text-left transition-colors hover:bg-accent/60 focus-visible:-outline-offset-2 sm:grid-cols-[minmax(0,1fr)_auto_5rem_5.5rem]",
                each.exec_id === shown && "bg-accent/70",
              )}
            >
              <code className="truncate font-mono text-[13px]">{commandLine(each.argv, true) || each.exec_id}</code>
              <ExecState status={each} />
              <span className="text-muted-foreground text-xs tabular-nums">
                {each.started && each.ended ? duration(each.ended - each.started) : ""}
              </span>
              <span className="justify-self-end text-muted-foreground text-xs">
                {each.started ? <Ago at={each.started} /> : ""}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Card>
  );
}
