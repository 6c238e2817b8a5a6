/** Follows the output of a command: over the live link where it is open, else by server-sent events. */

import type { ExecStatus } from "@/api/types";
import * as api from "@/data/api";
import { ApiError, send } from "@/data/http";
import type { Link } from "@/data/link";
import { live } from "@/data/live";
import { type Channel, type Piece, RecordReader } from "@/lib/records";
import { EventParser } from "@/lib/sse";

/** Gets every piece once and in order; `cursor` is where to go on after it. */
export type Take = (piece: Piece, cursor: number) => void;

/** Follows to the end and answers how it ended. Throws when it is cut off; call again with the last cursor. */
export async function followOutput(
  workspaceId: string,
  execId: string,
  cursor: number,
  take: Take,
  signal: AbortSignal,
): Promise<ExecStatus> {
  const link = live.current;
  const ended = link
    ? await overLink(link, workspaceId, execId, cursor, take, signal)
    : await overEvents(workspaceId, execId, cursor, take, signal);
  return ended ?? api.exec(workspaceId, execId, signal);
}

async function overLink(
  link: Link,
  workspaceId: string,
  execId: string,
  cursor: number,
  take: Take,
  signal: AbortSignal,
): Promise<ExecStatus | null> {
  const stream = await link.stream(workspaceId, "exec.attach", { exec_id: execId, cursor });
  const stop = () => stream.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const reader = new RecordReader(cursor);
    for (;;) {
      signal.throwIfAborted();
      const chunk = await stream.read();
      if (chunk === null) break;
      for (const piece of reader.push(chunk)) take(piece, reader.cursor);
    }
    return isStatus(stream.result) ? stream.result : null;
  } finally {
    signal.removeEventListener("abort", stop);
    stream.close();
  }
}

async function overEvents(
  workspaceId: string,
  execId: string,
  cursor: number,
  take: Take,
  signal: AbortSignal,
): Promise<ExecStatus | null> {
  const response = await send("GET", api.outputPath(workspaceId, execId, cursor), { signal });
  if (!response.body) throw new ApiError(0, { code: "offline", message: "The output stopped coming." });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError(0, { code: "offline", message: "The output stopped coming." });
    for (const event of parser.push(value)) {
      const data = JSON.parse(event.data) as Record<string, unknown>;
      if (event.event === "output") take(piece(data), Number(data.cursor));
      else if (event.event === "end") {
        void reader.cancel();
        return isStatus(data) ? data : null;
      }
    }
  }
}

function piece(data: Record<string, unknown>): Piece {
  const channel: Channel = data.channel === "stderr" ? "stderr" : "stdout";
  return { channel, data: Uint8Array.from(atob(String(data.data)), (letter) => letter.charCodeAt(0)) };
}

function isStatus(value: unknown): value is ExecStatus {
  return typeof value === "object" && value !== null && "exec_id" in value && "state" in value;
}
