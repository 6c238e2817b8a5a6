/**
 * Keeps the page true by itself: one link to the control plane whose events say what to read again; plain polling while
 * there is none; and a probe while nothing answers, so that the page recovers without being touched.
 */

import type { Event } from "@/api/types";
import { API } from "@/data/http";
import type { Link, LinkPhase } from "@/data/link";
import { reachability } from "@/data/reachability";
import { Value } from "@/lib/store";

type OpenLink = () => Link;
type Refresh = (keys: readonly (readonly string[])[] | "everything") => void;

/** Events come in bursts; what they touch is read again once. */
const GATHER_MS = 80;
const PROBE_MS = [250, 500, 1000, 2000, 3000];

/** Which kept answers an event makes old. */
export function touched(subject: string): string[][] {
  if (subject.startsWith("ws_")) {
    return [["workspaces"], ["workspace", subject], ["nodes"], ["events"]];
  }
  if (subject.startsWith("nd_")) return [["nodes"], ["node", subject], ["workspaces"], ["events"]];
  if (subject.startsWith("us_")) return [["users"], ["events"]];
  return [["events"]];
}

class Live {
  readonly phase = new Value<LinkPhase>("connecting");
  private link: Link | null = null;
  private refresh: Refresh = () => {};
  private running = false;
  private probing: ReturnType<typeof setTimeout> | null = null;
  private gathering: ReturnType<typeof setTimeout> | null = null;
  private keys = new Map<string, readonly string[]>();
  private stops: (() => void)[] = [];

  /** Begins once somebody is logged in. */
  start(openLink: OpenLink, refresh: Refresh): void {
    if (this.running) return;
    this.running = true;
    this.refresh = refresh;
    this.link = openLink();
    this.stops = [
      reachability.subscribe(() => this.judge()),
      this.link.subscribe(() => this.judge()),
      this.link.onEvent((event) => this.heard(event)),
    ];
    this.judge();
  }

  /** Ends with the login. */
  stop(): void {
    this.running = false;
    for (const stop of this.stops) stop();
    this.stops = [];
    this.link?.close();
    this.link = null;
    if (this.probing) clearTimeout(this.probing);
    this.probing = null;
    this.phase.set("connecting");
  }

  /** The open link, or null while there is none. */
  get current(): Link | null {
    return this.link?.open ? this.link : null;
  }

  private judge(): void {
    if (!this.running) return;
    const open = this.link?.open ?? false;
    if (open && reachability.get() !== true) {
      reachability.answered();
      return;
    }
    const before = this.phase.get();
    const up = reachability.get();
    const next: LinkPhase = open ? "live" : up === false ? "lost" : up ? "polling" : "connecting";
    this.phase.set(next);
    if (next === "lost") this.probe(0);
    else if (before === "lost" || (next === "live" && before !== "live")) this.refresh("everything");
  }

  private probe(attempt: number): void {
    if (this.probing || !this.running) return;
    const wait = PROBE_MS[Math.min(attempt, PROBE_MS.length - 1)] ?? 3000;
    this.probing = setTimeout(async () => {
      this.probing = null;
      const up = await answers();
      if (!this.running) return;
      if (up) reachability.answered();
      else if (!this.link?.open) this.probe(attempt + 1);
    }, wait);
  }

  private heard(event: Event): void {
    reachability.answered();
    for (const key of touched(event.subject)) this.keys.set(key.join(" "), key);
    this.gathering ??= setTimeout(() => {
      this.gathering = null;
      const keys = [...this.keys.values()];
      this.keys.clear();
      this.refresh(keys);
    }, GATHER_MS);
  }
}

async function answers(): Promise<boolean> {
  try {
    const response = await fetch(`${API}/health`, { cache: "no-store", credentials: "omit" });
    return response.ok;
  } catch {
    return false;
  }
}

export const live = new Live();
