import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { SteadError } from "./errors";
import { decodeFrame, type Frame } from "./frames";
import { StreamEnd } from "./stream";

const vectors = JSON.parse(readFileSync(new URL("../../../protocol/vectors/streams.json", import.meta.url), "utf-8"));

interface Sent {
  kind: number;
  seq: number;
  bytes: number;
  payload: string;
}

interface Step {
  do: "write" | "frame" | "take" | "take_end" | "end" | "reset" | "suspend" | "resume" | "send";
  hex?: string;
  zeros?: number;
  took?: number;
  bytes?: number;
  first?: string;
  result?: string;
  code?: string;
  message?: string;
  received?: number;
  frames?: Sent[];
  state: Record<string, unknown>;
}

const bytes = (hex = "", zeros = 0): Uint8Array => {
  const found = new Uint8Array(hex.length / 2 + zeros);
  for (let at = 0; at < hex.length / 2; at++) found[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return found;
};

const hex = (data: Uint8Array): string => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function state(end: StreamEnd): Record<string, unknown> {
  return {
    received: end.received,
    waiting: end.waiting,
    kept: end.kept,
    room: end.room,
    gap: end.gap,
    at_end: end.atEnd,
    over: end.over,
    fault: end.fault?.code ?? "",
  };
}

function sends(end: StreamEnd, expected: Sent[]): void {
  const frames: Frame[] = [];
  for (let frame = end.nextFrame(); frame; frame = end.nextFrame()) frames.push(frame);
  const seen = frames.map((frame) => ({ kind: frame.kind, seq: Number(frame.seq) }));
  expect(seen).toEqual(expected.map(({ kind, seq }) => ({ kind, seq })));
  frames.forEach((frame, at) => {
    const known = expected[at] as Sent;
    if (frame.kind !== 6) expect(frame.payload.length).toBe(known.bytes);
    if (known.payload) expect(hex(frame.payload)).toBe(known.payload);
  });
}

function perform(end: StreamEnd, step: Step): void {
  switch (step.do) {
    case "write":
      expect(end.write(bytes(step.hex, step.zeros))).toBe(step.took);
      break;
    case "frame":
      end.frame(decodeFrame(bytes(step.hex, step.zeros)));
      break;
    case "take": {
      const taken = end.take();
      expect([taken.length, hex(taken.subarray(0, 16))]).toEqual([step.bytes, step.first]);
      break;
    }
    case "take_end":
      end.takeEnd();
      break;
    case "end":
      end.end(new TextEncoder().encode(step.result));
      break;
    case "reset":
      end.reset(new SteadError(step.code ?? "", step.message ?? ""));
      break;
    case "suspend":
      end.suspend();
      break;
    case "resume":
      end.resume(step.received ?? 0);
      break;
    case "send":
      sends(end, step.frames ?? []);
  }
}

test.each<{ name: string; steps: Step[] }>(vectors.scripts)("shared vector: $name", ({ steps }) => {
  const end = new StreamEnd("st_1");
  steps.forEach((step, number) => {
    perform(end, step);
    expect(state(end), `step ${number}: ${step.do}`).toEqual(step.state);
  });
});

test("two ends with a network that loses deliver every byte once and in order", () => {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  const source = Uint8Array.from({ length: 700_000 }, (_, at) => (at * 7 + (at >> 8)) & 255);
  const one = new StreamEnd("st_1");
  const other = new StreamEnd("st_1");
  const got: Uint8Array[] = [];
  let written = 0;
  for (let round = 0; round < 2000 && !(one.over && other.over); round++) {
    written += one.write(source.subarray(written, written + Math.floor(random() * 90_000)));
    if (written === source.length) one.end();
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      for (let frame = from.nextFrame(); frame; frame = from.nextFrame()) if (random() > 0.1) to.frame(frame);
    }
    for (let data = other.take(); data.length > 0; data = other.take()) got.push(data);
    if (other.atEnd) {
      other.takeEnd();
      other.end();
    }
    if (one.atEnd) one.takeEnd();
    if (random() < 0.3) {
      one.resume(other.received);
      other.resume(one.received);
    }
    expect(one.kept).toBeLessThanOrEqual(256 * 1024);
    expect(other.waiting).toBeLessThanOrEqual(256 * 1024);
  }
  expect(Buffer.compare(Buffer.concat(got), Buffer.from(source))).toBe(0);
  expect(one.over && other.over).toBe(true);
});
