/** The live link of the wire, as the app sees it. Browsers open it with a ticket that works once. */

import * as api from "@/data/api";
import { API, ApiError } from "@/data/http";
import type { Link, LinkStream } from "@/data/link";
import { client, signedOut } from "@/data/queries";
import { reachability } from "@/data/reachability";
import { type ClientStream, SteadError, StreamClient } from "@/protocol";

/** Opens the link and keeps it open, over every loss, until `close`. */
export function openLink(): Link {
  const wire = new StreamClient({ client: "web" });
  wire.connect(address);
  return {
    get open() {
      return wire.connected;
    },
    subscribe: (listener) => wire.subscribe(listener),
    onEvent: (listener) => wire.onEvent((notice) => listener({ ...notice, data: notice.data ?? {} })),
    async stream(workspaceId, kind, params) {
      try {
        return adapted(await wire.open(workspaceId, kind, params));
      } catch (error) {
        throw translated(error);
      }
    },
    close: () => wire.close(),
  };
}

/** A fresh address for every attempt; waits while it is known that nothing answers, so that the first answer is used. */
async function address(): Promise<string> {
  await answering();
  try {
    const { ticket } = await api.ticket();
    const base = new URL(`${API}/link`, window.location.href);
    base.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    base.searchParams.set("ticket", ticket);
    return base.href;
  } catch (error) {
    if (signedOut(error)) void client.invalidateQueries();
    throw error;
  }
}

function answering(): Promise<void> {
  return new Promise((resolve) => {
    if (reachability.get() !== false) return resolve();
    const stop = reachability.subscribe(() => {
      if (reachability.get() === false) return;
      stop();
      resolve();
    });
  });
}

function adapted(stream: ClientStream): LinkStream {
  return {
    async read() {
      try {
        return await stream.receive();
      } catch (error) {
        throw translated(error);
      }
    },
    close: () => stream.close(),
    get result() {
      return stream.result;
    },
  };
}

const GONE = new Set(["unavailable", "timeout", "node_unreachable", "workspace_unreachable", "draining", "cancelled"]);

/** Errors of the wire are those of the API; only their class differs. */
function translated(error: unknown): unknown {
  if (!(error instanceof SteadError)) return error;
  const { code, message, hint, details } = error;
  return new ApiError(GONE.has(code) ? 503 : 409, { code, message, hint, details });
}
