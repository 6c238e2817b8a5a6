/** Events and audit entries in words. Pure. */

import type { Event } from "@/api/types";
import { duration, words } from "@/lib/format";

const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");

const SAID: Record<string, string> = {
  "workspace.created": "was created",
  "workspace.deleted": "was deleted",
  "node.enrolled": "enrolled",
  "node.online": "came online",
  "node.offline": "went silent",
  "node.changed": "was changed",
  "node.removed": "was removed",
  "node.refused": "was refused",
  "node.key_rotated": "has a new key",
  "node.reaped": "removed what belongs to no workspace",
  "node.reaping_paused": "knows workspaces that nobody knows; they are left alone",
};

const STATES: Record<string, string> = {
  pending: "waits for a node",
  starting: "is starting",
  running: "is running",
  stopping: "is stopping",
  stopped: "has stopped",
  failed: "has failed",
  deleted: "was deleted",
};

/** What happened, as the end of a sentence that begins with a name. Kinds not known here are shown as they are. */
export function eventWords(event: Event): string {
  if (event.kind === "workspace.progress") {
    const step = words(text(event.data.step));
    const seconds = event.data.seconds;
    return event.data.done && typeof seconds === "number" ? `${step} took ${duration(seconds)}` : `${step} began`;
  }
  const said = SAID[event.kind];
  if (said) return said;
  const state = text(event.data.state);
  if (event.kind === "workspace.changed" && state !== "") {
    if (event.data.desired === "deleted" && state !== "deleted") return "is being deleted";
    return STATES[state] ?? `is ${words(state)}`;
  }
  return words(event.kind.split(".").slice(1).join(" ") || event.kind);
}

/** The name of what it is about, where the event says it. */
export const eventName = (event: Event): string => text(event.data.name);

const TOLD = new Set([
  "name",
  "state",
  "desired",
  "node_id",
  "workspace_id",
  "version",
  "command",
  "step",
  "seconds",
  "done",
]);

/** What else an event says, in one line; empty when nothing. */
export function facts(event: Event): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(event.data)) {
    if (TOLD.has(key) || key.endsWith("_id")) continue;
    if (typeof value === "object" && value !== null && "message" in value) parts.push(text(value.message));
    else if (key === "detail" || key === "message") parts.push(text(value));
    else if (text(value) !== "") parts.push(`${words(key)}: ${text(value)}`);
    else if (value === true) parts.push(words(key));
  }
  return parts.filter(Boolean).join(" · ");
}

export function eventTone(event: Event): "good" | "bad" | "busy" | "quiet" {
  const state = text(event.data.state);
  if (event.data.error || state === "failed" || event.kind === "node.offline" || event.kind === "node.refused")
    return "bad";
  if (state === "running" || event.kind === "node.online") return "good";
  if (state === "starting" || state === "stopping" || state === "pending") return "busy";
  return "quiet";
}

/** The beginnings of steps say nothing that their ends do not say better. */
export const worthShowing = (event: Event): boolean => event.kind !== "workspace.progress" || event.data.done === true;

/** The details of an audit entry in one line. */
export function details(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([key, value]) => `${words(key)}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" · ");
}
