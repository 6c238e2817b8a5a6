/** The live link to the control plane, as the app sees it: events, and streams into workspaces. */

import type { Event } from "@/api/types";

/**
 * `live`: events arrive by themselves. `polling`: the server answers, but no link is open. `lost`: nothing answers.
 */
export type LinkPhase = "connecting" | "live" | "polling" | "lost";

export interface LinkStream {
  /** The next bytes; null at the end. Reading is what grants the other end more. */
  read(): Promise<Uint8Array | null>;
  /** Ends it early; what runs in the workspace goes on. */
  close(): void;
  /** What the other end said as it ended. */
  readonly result: unknown;
}

export interface Link {
  readonly open: boolean;
  /** Follows changes of `open`; answers how to stop. */
  subscribe(listener: () => void): () => void;
  onEvent(listener: (event: Event) => void): () => void;
  stream(workspaceId: string, kind: string, params: unknown): Promise<LinkStream>;
  close(): void;
}
