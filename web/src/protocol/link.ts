/**
 * One side of a link, pure: what may be sent now and in which order, and what was taken. Text messages and CREDIT and
 * RESET frames go first and never wait; input goes before bulk; streams of a lane take fair turns; at most a mebibyte of
 * payload is outstanding at the other side, of which bulk uses three quarters.
 */

import { type Frame, FrameKind } from "./frames";

export const LINK_WINDOW = 1 << 20;
export const QUEUE_BYTES = 1 << 20;
const OVERHEAD = 96;

const isControl = (kind: number): boolean => kind === FrameKind.credit || kind === FrameKind.reset;

export class Link {
  waiting = 0;
  private readonly input: Frame[][] = [];
  private readonly bulk: Frame[][] = [];
  private sent = 0;
  private credited = 0;
  private taken = 0;
  private told = 0;

  /** Whether a frame with this much payload would be taken. */
  room(size: number): boolean {
    return this.waiting + size + OVERHEAD <= QUEUE_BYTES;
  }

  /** Queues a frame, or gives a control frame back to be sent at once. */
  post(frame: Frame): Frame | null {
    if (isControl(frame.kind)) return frame;
    this.waiting += frame.payload.length + OVERHEAD;
    const lane = frame.kind === FrameKind.terminalInput ? this.input : this.bulk;
    const queue = lane.find((frames) => frames[0]?.streamId === frame.streamId);
    if (queue) queue.push(frame);
    else lane.push([frame]);
    return null;
  }

  /** The next frame to send, or null when there is none or the window is full. */
  next(): Frame | null {
    return this.from(this.input, LINK_WINDOW) ?? this.from(this.bulk, (LINK_WINDOW * 3) / 4);
  }

  private from(lane: Frame[][], window: number): Frame | null {
    const queue = lane[0];
    const frame = queue?.[0];
    if (!queue || !frame || this.sent - this.credited + frame.payload.length > window) return null;
    lane.shift();
    queue.shift();
    if (queue.length > 0) lane.push(queue);
    this.waiting -= frame.payload.length + OVERHEAD;
    this.sent += frame.payload.length;
    return frame;
  }

  /** Counts a frame that arrived; the number for a `link.credit` when one is due. */
  took(frame: Frame): number | null {
    if (!isControl(frame.kind)) this.taken += frame.payload.length;
    if (this.taken - this.told < LINK_WINDOW / 4) return null;
    this.told = this.taken;
    return this.taken;
  }

  /** The other side has taken this much. */
  credit(taken: number): void {
    if (taken > this.credited && taken <= this.sent) this.credited = taken;
  }
}

/** How long to wait before connecting again: full jitter, doubling, a fresh start only after a useful connection. */
export class Backoff {
  private failures = 0;

  constructor(private readonly draw: () => number = Math.random) {}

  /** Seconds to wait, given how long the last connection was useful and what the server asked for. */
  delay(lived = 0, atLeast = 0): number {
    if (lived >= 5) this.failures = 0;
    const ceiling = Math.min(30, 0.25 * 2 ** Math.min(this.failures, 32));
    this.failures += 1;
    return atLeast + ceiling * this.draw();
  }
}
