/**
 * One end of one stream, pure: bytes and frames in, bytes and frames out. The same rules as stead.protocol.stream in
 * Python, proven by the same protocol/vectors/streams.json.
 *
 * The owner calls `write`, `end` and `reset`, sends every frame of `nextFrame`, passes what arrives to `frame`; the
 * consumer calls `take`, and `takeEnd` when `atEnd`. After a loss: `suspend`, exchange `received`, `resume`.
 */

import { type Fault, SteadError } from "./errors";
import { carriesBytes, type Frame, FrameKind, PAYLOAD_BYTES, payloadLimit } from "./frames";

/** What a sender may send before it has heard any credit; also what either side keeps. */
export const WINDOW = 256 * 1024;

const NOTHING = new Uint8Array(0);

/** Bytes written and not yet acknowledged. */
class SendBuffer {
  start = 0;
  end = 0;
  private chunks: Uint8Array[] = [];

  get room(): number {
    return WINDOW - (this.end - this.start);
  }

  write(data: Uint8Array): void {
    this.chunks.push(data.slice());
    this.end += data.length;
  }

  peek(offset: number, limit: number): Uint8Array {
    const size = Math.min(limit, this.end - offset);
    const found = new Uint8Array(size);
    let at = this.start;
    for (const chunk of this.chunks) {
      const from = Math.max(0, offset - at);
      const to = Math.min(chunk.length, offset + size - at);
      if (from < to) found.set(chunk.subarray(from, to), at + from - offset);
      at += chunk.length;
    }
    return found;
  }

  release(offset: number): void {
    let count = Math.min(offset, this.end) - this.start;
    while (count > 0) {
      const first = this.chunks[0] as Uint8Array;
      const gone = Math.min(count, first.length);
      if (gone === first.length) this.chunks.shift();
      else this.chunks[0] = first.subarray(gone);
      this.start += gone;
      count -= gone;
    }
  }
}

/** Bytes that arrived and were not taken. */
class ReceiveBuffer {
  received = 0;
  taken = 0;
  private chunks: Uint8Array[] = [];

  get limit(): number {
    return this.taken + WINDOW;
  }

  /** False: something before these bytes is missing, or they did not fit. */
  offer(offset: number, data: Uint8Array): boolean {
    if (offset > this.received) return false;
    const fresh = data.subarray(this.received - offset, Math.max(0, this.limit - offset));
    if (fresh.length > 0) {
      this.chunks.push(fresh);
      this.received += fresh.length;
    }
    return this.received >= offset + data.length;
  }

  take(): Uint8Array {
    const chunk = this.chunks.shift() ?? NOTHING;
    this.taken += chunk.length;
    return chunk;
  }

  clear(): void {
    this.chunks = [];
    this.taken = this.received;
  }
}

export class StreamEnd {
  gap = false;
  fault: SteadError | null = null;
  suspended = false;
  result: Uint8Array = NOTHING;
  endTaken = false;
  private readonly out = new SendBuffer();
  private limit = WINDOW;
  private sent = 0;
  private ending: Uint8Array | null = null;
  private endSent = false;
  private endAcknowledged = false;
  private resetDue = false;
  private readonly in = new ReceiveBuffer();
  private final: number | null = null;
  private told = WINDOW;
  private creditDue = false;

  constructor(
    readonly streamId: string,
    readonly kind: number = FrameKind.data,
  ) {}

  /** How many bytes `write` takes now. */
  get room(): number {
    if (this.ended || this.fault) return 0;
    return Math.max(0, Math.min(this.out.room, this.limit - this.out.end));
  }

  get ended(): boolean {
    return this.ending !== null;
  }

  /** Takes what there is room for and says how much that was. */
  write(data: Uint8Array): number {
    const count = Math.min(data.length, this.room);
    if (count > 0) this.out.write(data.subarray(0, count));
    return count;
  }

  end(result: Uint8Array = NOTHING): void {
    if (result.length > PAYLOAD_BYTES) {
      throw new SteadError("too_large", `the result of a stream has at most ${PAYLOAD_BYTES} bytes`);
    }
    if (!this.ended && !this.fault) this.ending = result;
  }

  /** Over in both directions at once; the other end is told. */
  reset(fault: SteadError): void {
    if (!this.fault && !this.over) {
      this.resetDue = true;
      this.fail(fault);
    }
  }

  /** Over here; the other end is not told. */
  fail(fault: SteadError): void {
    if (!this.fault) {
      this.fault = fault;
      this.in.clear();
    }
  }

  nextFrame(): Frame | null {
    if (this.fault) return this.resetFrame(this.fault);
    if (this.creditDue) return this.creditFrame();
    if (this.suspended) return null;
    if (this.sent < this.out.end) return this.bytesFrame();
    if (this.ending !== null && !this.endSent) {
      this.endSent = true;
      return this.make(FrameKind.end, this.out.end, this.ending);
    }
    return null;
  }

  private make(kind: number, seq: number, payload: Uint8Array): Frame {
    return { kind, streamId: this.streamId, seq: BigInt(seq), payload };
  }

  private resetFrame(fault: SteadError): Frame | null {
    if (!this.resetDue) return null;
    this.resetDue = false;
    return this.make(FrameKind.reset, this.sent, new TextEncoder().encode(JSON.stringify(fault.fault())));
  }

  private creditFrame(): Frame {
    this.creditDue = false;
    this.told = this.in.limit;
    const consumed = this.endTaken && this.final !== null ? this.final + 1 : this.in.taken;
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setBigUint64(0, BigInt(consumed));
    return this.make(FrameKind.credit, this.told, payload);
  }

  private bytesFrame(): Frame {
    const at = this.sent;
    const payload = this.out.peek(at, Math.min(PAYLOAD_BYTES, payloadLimit(this.kind)));
    this.sent = at + payload.length;
    return this.make(this.kind, at, payload);
  }

  get received(): number {
    return this.in.received;
  }

  get waiting(): number {
    return this.in.received - this.in.taken;
  }

  get kept(): number {
    return this.out.end - this.out.start;
  }

  /** Whether all of the other direction has arrived, its end included. */
  get arrived(): boolean {
    return this.final !== null && this.in.received === this.final;
  }

  get atEnd(): boolean {
    return this.arrived && this.in.taken === this.final;
  }

  get over(): boolean {
    if (this.fault) return !this.resetDue;
    return this.arrived && this.endAcknowledged && !this.creditDue;
  }

  /** Everything was said on both sides; only acknowledgements are missing. */
  get complete(): boolean {
    return this.arrived && this.ended;
  }

  frame(frame: Frame): void {
    if (this.fault) return;
    if (carriesBytes(frame.kind)) {
      if (!this.in.offer(Number(frame.seq), frame.payload)) this.gap = true;
    } else if (frame.kind === FrameKind.credit) {
      this.credited(frame);
    } else if (frame.kind === FrameKind.end) {
      this.endArrived(Number(frame.seq), frame.payload);
    } else if (frame.kind === FrameKind.reset) {
      this.fail(faultOf(frame.payload));
    }
  }

  private credited(frame: Frame): void {
    if (frame.payload.length !== 8) return;
    const view = new DataView(frame.payload.buffer, frame.payload.byteOffset, 8);
    const consumed = Number(view.getBigUint64(0));
    if (consumed > this.out.end + (this.ended ? 1 : 0)) return;
    this.limit = Math.max(this.limit, Number(frame.seq));
    this.out.release(consumed);
    this.sent = Math.max(this.sent, Math.min(consumed, this.out.end));
    if (consumed > this.out.end) {
      this.endAcknowledged = true;
      this.endSent = true;
      this.settle();
    }
  }

  private endArrived(seq: number, result: Uint8Array): void {
    if (seq > this.in.received) {
      this.gap = true;
    } else if (seq === this.in.received && this.final === null) {
      this.final = seq;
      this.result = result;
    } else if (this.endTaken) {
      this.creditDue = true;
    }
    this.settle();
  }

  /** Once the other end knows of our end and all of its bytes are here, it need not wait for the consumer. */
  private settle(): void {
    if (this.arrived && this.endAcknowledged) this.takeEnd();
  }

  take(): Uint8Array {
    const data = this.in.take();
    if (this.in.limit - this.told >= WINDOW / 2) this.creditDue = true;
    return data;
  }

  takeEnd(): void {
    if (!this.endTaken) {
      this.endTaken = true;
      this.creditDue = true;
    }
  }

  suspend(): void {
    this.suspended = true;
  }

  /** Goes on from what the other end has. */
  resume(received: number): void {
    this.suspended = false;
    this.gap = false;
    if (received > this.out.end) {
      const missing = [this.out.end, received];
      this.reset(new SteadError("stream_reset", "bytes between two offsets are gone", { missing }));
      return;
    }
    this.out.release(received);
    this.sent = Math.max(received, this.out.start);
    this.endSent = this.endAcknowledged;
    this.creditDue = true;
  }
}

function faultOf(payload: Uint8Array): SteadError {
  try {
    const fault = JSON.parse(new TextDecoder().decode(payload)) as Fault;
    if (typeof fault.code === "string" && typeof fault.message === "string") return SteadError.of(fault);
  } catch {
    // Falls through: a reset that cannot be read is still a reset.
  }
  return new SteadError("stream_reset", "the other end reset the stream");
}
