/**
 * The one binary frame of the wire: `kind u8 | id length u8 | stream id | seq u64 big-endian | payload`.
 *
 * Contract: `encodeFrame`, `decodeFrame` (throws SteadError "malformed" or "too_large"). Proven by
 * protocol/vectors/frames.json together with the Python side.
 */

import { SteadError } from "./errors";

export const PAYLOAD_BYTES = 64 * 1024;
/** The most payload of a data frame of a stream that asked for more; nothing here asks yet, everything takes it. */
export const BULK_BYTES = 256 * 1024;
export const TERMINAL_BYTES = 16 * 1024;
export const ID_BYTES = 64;
export const FRAME_BYTES = 2 + ID_BYTES + 8 + BULK_BYTES;
const SEQ_LIMIT = 1n << 63n;

export const FrameKind = {
  terminalOutput: 0x01,
  terminalInput: 0x02,
  data: 0x03,
  credit: 0x04,
  end: 0x05,
  reset: 0x06,
} as const;

export interface Frame {
  kind: number;
  streamId: string;
  seq: bigint;
  payload: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function carriesBytes(kind: number): boolean {
  return kind === FrameKind.data || isTerminal(kind);
}

function isTerminal(kind: number): boolean {
  return kind === FrameKind.terminalOutput || kind === FrameKind.terminalInput;
}

export function payloadLimit(kind: number): number {
  if (kind === FrameKind.data) return BULK_BYTES;
  return isTerminal(kind) ? TERMINAL_BYTES : PAYLOAD_BYTES;
}

export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const name = encoder.encode(frame.streamId);
  if (name.length === 0 || name.length > ID_BYTES || frame.kind < 0 || frame.kind > 255 || frame.seq < 0n || frame.seq >= SEQ_LIMIT) {
    throw new SteadError("invalid", "a frame has a kind, a stream id of 1 to 64 bytes and a seq below 2^63");
  }
  checkPayload(frame.kind, frame.payload.length);
  const start = 2 + name.length + 8;
  const data = new Uint8Array(start + frame.payload.length);
  data[0] = frame.kind;
  data[1] = name.length;
  data.set(name, 2);
  new DataView(data.buffer).setBigUint64(2 + name.length, frame.seq);
  data.set(frame.payload, start);
  return data;
}

export function decodeFrame(data: Uint8Array): Frame {
  if (data.length > FRAME_BYTES) throw new SteadError("too_large", `a frame has at most ${FRAME_BYTES} bytes`);
  const kind = data[0];
  const length = data[1];
  if (kind === undefined || length === undefined) throw new SteadError("malformed", "the frame ends before its id");
  const start = 2 + length + 8;
  if (length === 0 || length > ID_BYTES || data.length < start) {
    throw new SteadError("malformed", "the frame's id is empty, too long, or cut off");
  }
  checkPayload(kind, data.length - start);
  const seq = new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(2 + length);
  if (seq >= SEQ_LIMIT) throw new SteadError("malformed", "the frame's seq is not below 2^63");
  return { kind, streamId: text(data.subarray(2, 2 + length)), seq, payload: data.subarray(start) };
}

function checkPayload(kind: number, length: number): void {
  if (length > payloadLimit(kind)) {
    throw new SteadError("too_large", `a frame of kind ${kind} has at most ${payloadLimit(kind)} bytes`);
  }
}

function text(name: Uint8Array): string {
  try {
    return decoder.decode(name);
  } catch {
    throw new SteadError("malformed", "the frame's id is not UTF-8");
  }
}
