import { describe, expect, it } from "vitest";
import type { ExecStatus, Workspace } from "@/api/types";
import { touched } from "@/data/live";
import { filterWorkspaces } from "@/lib/filter";
import { can, execState, nodeState, workspaceState } from "@/lib/states";

function workspace(change: Partial<Workspace>): Workspace {
  return {
    id: "ws_1",
    name: "one",
    owner: "us_1",
    node_id: "nd_1",
    node_name: "laptop",
    driver: "process",
    desired: "running",
    state: "running",
    reachable: true,
    generation: 1,
    isolation: "namespaces",
    isolation_wanted: null,
    limits: [],
    persistence: "disk",
    hibernate: [],
    cpus: 0,
    memory_bytes: 0,
    processes: 0,
    labels: {},
    environment_names: [],
    setup: [],
    steps: [],
    guest_restarts: 0,
    error: null,
    created: 0,
    updated: 0,
    version: 1,
    ...change,
  };
}

const ENDED: ExecStatus = {
  exec_id: "ex_1",
  state: "exited",
  argv: ["true"],
  exit_code: 0,
  signal: null,
  started: 1,
  ended: 2,
  output_bytes: 0,
  truncated: false,
  first_cursor: 0,
  last_cursor: 0,
  background: true,
  error: "",
};

describe("states", () => {
  it("shows what was asked while it is not reached", () => {
    expect(workspaceState(workspace({ desired: "deleted" })).label).toBe("Deleting");
    expect(workspaceState(workspace({ state: "starting" })).moving).toBe(true);
    expect(workspaceState(workspace({ state: "failed" })).tone).toBe("bad");
  });

  it("offers only what can be done", () => {
    expect(can(workspace({}))).toEqual({ start: false, stop: true, restart: true, delete: true, use: true });
    const stopped = workspace({ state: "stopped", desired: "stopped" });
    expect(can(stopped)).toEqual({ start: true, stop: false, restart: false, delete: true, use: false });
    expect(Object.values(can(workspace({ desired: "deleted" }))).some(Boolean)).toBe(false);
  });

  it("tells the ends of commands apart", () => {
    const of = (change: Partial<ExecStatus>) => execState({ ...ENDED, ...change });
    expect(of({ exit_code: 0 })).toMatchObject({ label: "Exit 0", tone: "good" });
    expect(of({ exit_code: 3 })).toMatchObject({ label: "Exit 3", tone: "bad" });
    expect(of({ state: "signalled", signal: 9 }).label).toBe("SIGKILL");
    expect(of({ state: "running" }).moving).toBe(true);
    expect(nodeState({ status: "pending" }).label).toBe("Waiting for approval");
  });

  it("knows which answers an event makes old", () => {
    expect(touched("ws_9")).toContainEqual(["workspace", "ws_9"]);
    expect(touched("nd_9")).toContainEqual(["node", "nd_9"]);
    expect(touched("other")).toEqual([["events"]]);
  });
});

describe("filter", () => {
  const all = [
    workspace({ id: "ws_a", name: "search-api", labels: { team: "search" } }),
    workspace({ id: "ws_b", name: "web", state: "stopped", node_name: "server" }),
    workspace({ id: "ws_c", name: "old", reachable: false }),
  ];
  const names = (text: string, state = "all") => filterWorkspaces(all, text, state).map((each) => each.name);

  it("wants every word somewhere", () => {
    expect(names("")).toHaveLength(3);
    expect(names("SEARCH laptop")).toEqual(["search-api"]);
    expect(names("team=search")).toEqual(["search-api"]);
    expect(names("server nothing")).toEqual([]);
  });

  it("narrows by state", () => {
    expect(names("", "stopped")).toEqual(["web"]);
    expect(names("", "unreachable")).toEqual(["old"]);
  });
});
