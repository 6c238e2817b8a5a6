/** Events and audit entries in words. Pure. */

import type { Event } from "@/api/types";
import { words } from "@/lib/format";

const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");

/** "workspace.state" with {state: "running"} -> "is running"; kinds not known here are shown as they are. */
export function eventWords(event: Event): string {
  const state = text(event.data.state ?? event.data.status);
  if (state !== "") return `is ${words(state)}`;
  return words(event.kind.split(".").slice(1).join(" ") || event.kind);
}

/** What else an event says, in one line; empty when nothing. */
export function facts(event: Event): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(event.data)) {
    if (key === "state" || key === "status" || key.endsWith("_id") || key === "id" || key === "version") continue;
    if (key === "error" && typeof value === "object" && value !== null && "message" in value)
      parts.push(text(value.message));
    else if (text(value) !== "") parts.push(`${words(key)}: ${text(value)}`);
    else if (value === true) parts.push(words(key));
  }
  return parts.join(" · ");
}

export function eventTone(event: Event): "good" | "bad" | "busy" | "quiet" {
  const state = text(event.data.state ?? event.data.status);
  if (event.data.error || state === "failed" || state === "offline") return "bad";
  if (state === "running" || state === "online" || state === "completed") return "good";
  if (state === "starting" || state === "stopping" || state === "pending" || state === "draining") return "busy";
  return "quiet";
}

/** The last part of details as `key: value`, for the audit list. */
export function details(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([key, value]) => `${words(key)}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" · ");
}
