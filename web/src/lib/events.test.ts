import { describe, expect, it } from "vitest";
import type { Event } from "@/api/types";
import { details, eventTone, eventWords, facts, worthShowing } from "@/lib/events";

const event = (kind: string, data: Record<string, unknown>): Event => ({
  cursor: "1",
  at: 0,
  kind,
  subject: "ws_1",
  data,
});

describe("events in words", () => {
  it("says what became of a workspace", () => {
    const running = event("workspace.changed", { name: "a", state: "running", desired: "running", version: 3 });
    expect(eventWords(running)).toBe("is running");
    expect(eventTone(running)).toBe("good");
    expect(facts(running)).toBe("");
    expect(eventWords(event("workspace.changed", { state: "running", desired: "deleted" }))).toBe("is being deleted");
  });

  it("tells errors", () => {
    const failed = event("workspace.changed", { state: "failed", error: { code: "no_node", message: "no node fits" } });
    expect([eventWords(failed), facts(failed), eventTone(failed)]).toEqual(["has failed", "no node fits", "bad"]);
  });

  it("shows the ends of steps only", () => {
    const ended = event("workspace.progress", { step: "install_dependencies", detail: "", seconds: 1.5, done: true });
    expect(eventWords(ended)).toBe("install dependencies took 1.5 s");
    expect([ended, event("workspace.progress", { step: "x", done: false })].map(worthShowing)).toEqual([true, false]);
  });

  it("shows kinds that are not known as they are", () => {
    expect(eventWords(event("node.moved_house", {}))).toBe("moved house");
    expect(details({ name: "x", count: 2 })).toBe("name: x · count: 2");
  });
});
