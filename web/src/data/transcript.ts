/**
 * One command's output as the page shows it: follows it through cut links and reloads, keeps it bounded, and tells its
 * viewers at most 25 times a second.
 */

import type { ExecStatus } from "@/api/types";
import { over } from "@/data/exec";
import { ApiError, passes } from "@/data/http";
import { followOutput } from "@/data/output";
import { AnsiStripper } from "@/lib/ansi";
import type { Channel, Piece } from "@/lib/records";
import { append, EMPTY, type Scrollback, tail } from "@/lib/scrollback";
import { Value } from "@/lib/store";

export interface Transcript {
  scrollback: Scrollback;
  /** Known once it has ended. */
  status: ExecStatus | null;
  /** `waiting`: cut off, and tried again by itself. */
  phase: "following" | "waiting" | "ended" | "failed";
  /** Some of it was no longer kept when it was asked for. */
  missed: boolean;
  error: unknown;
}

const SHOW_MS = 40;
const SAVE_MS = 1500;
/** Kept in the browser's tab over a reload, so that following goes on from the cursor instead of from the start. */
const SAVED_CHARS = 128 * 1024;
const RETRY_MS = [200, 500, 1000, 2000, 3000];

class Text {
  private readonly decoder = new TextDecoder();
  private readonly ansi = new AnsiStripper();

  push(data: Uint8Array): string {
    return this.ansi.push(this.decoder.decode(data, { stream: true }));
  }

  end(): string {
    return this.ansi.push(this.decoder.decode()) + this.ansi.end();
  }
}

interface Saved {
  cursor: number;
  scrollback: Scrollback;
}

export class Follower {
  readonly value: Value<Transcript>;
  private readonly stopping = new AbortController();
  private readonly texts: Record<Channel, Text> = { stdout: new Text(), stderr: new Text() };
  private scrollback: Scrollback;
  private cursor: number;
  private showing: ReturnType<typeof setTimeout> | null = null;
  private savedAt = 0;

  constructor(
    private readonly workspaceId: string,
    private readonly execId: string,
  ) {
    const saved = restore(execId);
    this.cursor = saved?.cursor ?? 0;
    this.scrollback = saved?.scrollback ?? EMPTY;
    this.value = new Value<Transcript>({
      scrollback: this.scrollback,
      status: null,
      phase: "following",
      missed: false,
      error: null,
    });
  }

  /** Follows until it ends or `stop`; what is cut off is taken up again. */
  async run(): Promise<void> {
    let attempt = 0;
    while (!this.stopping.signal.aborted) {
      const before = this.cursor;
      try {
        const status = await followOutput(this.workspaceId, this.execId, this.cursor, this.take, this.stopping.signal);
        if (over(status)) return this.end(status);
        attempt = 0;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        const first = keptFrom(error, this.cursor);
        if (first !== null) {
          this.cursor = first;
          this.tell({ missed: true });
          continue;
        }
        if (!worthTrying(error)) return this.fail(error);
        if (this.cursor > before) attempt = 0;
      }
      this.tell({ phase: "waiting" });
      await pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 3000, this.stopping.signal);
      attempt += 1;
    }
  }

  /** The page no longer looks; the command goes on. */
  stop(): void {
    this.stopping.abort();
    if (this.showing) clearTimeout(this.showing);
    this.save();
  }

  readonly save = (): void => {
    keep(this.execId, { cursor: this.cursor, scrollback: tail(this.scrollback, SAVED_CHARS) });
  };

  private readonly take = (piece: Piece, cursor: number): void => {
    this.cursor = cursor;
    this.scrollback = append(this.scrollback, piece.channel, this.texts[piece.channel].push(piece.data));
    this.showing ??= setTimeout(() => this.show(), SHOW_MS);
  };

  private show(): void {
    this.showing = null;
    this.tell({ scrollback: this.scrollback, phase: "following" });
    if (Date.now() - this.savedAt > SAVE_MS) {
      this.savedAt = Date.now();
      this.save();
    }
  }

  private end(status: ExecStatus): void {
    for (const channel of ["stdout", "stderr"] as const) {
      this.scrollback = append(this.scrollback, channel, this.texts[channel].end());
    }
    this.tell({ scrollback: this.scrollback, status, phase: "ended" });
    this.save();
  }

  private fail(error: unknown): void {
    this.tell({ scrollback: this.scrollback, phase: "failed", error });
  }

  private tell(change: Partial<Transcript>): void {
    this.value.set({ ...this.value.get(), ...change });
  }
}

/** Where output begins, if the error says that what was asked for is no longer kept. */
export function keptFrom(error: unknown, cursor: number): number | null {
  if (!(error instanceof ApiError) || error.code !== "range_unsatisfiable") return null;
  const first = error.details.first_cursor;
  return typeof first === "number" && first > cursor ? first : null;
}

/** A link that breaks is tried again; an answer that says no is not. */
function worthTrying(error: unknown): boolean {
  if (!(error instanceof ApiError)) return true;
  return passes(error) || error.status === 504 || ["stream_unknown", "stream_reset", "cancelled"].includes(error.code);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}

const PREFIX = "stead.transcript.";
const key = (execId: string): string => PREFIX + execId;

/** Keeps it in this tab. Where there is no room, the outputs kept before make some. */
function keep(execId: string, saved: Saved): void {
  const text = JSON.stringify(saved);
  if (put(key(execId), text)) return;
  for (const name of storedNames()) sessionStorage.removeItem(name);
  put(key(execId), text);
}

/** False where the browser keeps nothing, or no more; following then starts from the beginning after a reload. */
function put(name: string, text: string): boolean {
  try {
    sessionStorage.setItem(name, text);
    return true;
  } catch {
    return false;
  }
}

function storedNames(): string[] {
  try {
    return Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX));
  } catch {
    return [];
  }
}

function restore(execId: string): Saved | null {
  try {
    return JSON.parse(sessionStorage.getItem(key(execId)) ?? "null") as Saved | null;
  } catch {
    return null;
  }
}
