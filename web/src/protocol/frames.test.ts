import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SteadError } from "./errors";
import { decodeFrame, encodeFrame } from "./frames";

const vectors = JSON.parse(readFileSync(new URL("../../../protocol/vectors/frames.json", import.meta.url), "utf-8"));

const bytes = (hex: string, zeros = 0): Uint8Array => {
  const found = new Uint8Array(hex.length / 2 + zeros);
  for (let at = 0; at < hex.length / 2; at++) found[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return found;
};

const hex = (data: Uint8Array): string => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");

describe("frames of the shared vectors", () => {
  test.each<{ name: string; kind: number; stream_id: string; seq: string; payload: string; encoded: string }>(
    vectors.frames,
  )("$name", (vector) => {
    const frame = {
      kind: vector.kind,
      streamId: vector.stream_id,
      seq: BigInt(vector.seq),
      payload: bytes(vector.payload),
    };
    expect(hex(encodeFrame(frame))).toBe(vector.encoded);
    const decoded = decodeFrame(bytes(vector.encoded));
    expect({ ...decoded, payload: hex(decoded.payload) }).toEqual({ ...frame, payload: vector.payload });
  });

  test.each<{ name: string; encoded: string; zeros?: number; code: string }>(vectors.errors)("$name", (vector) => {
    const refused = expect(() => decodeFrame(bytes(vector.encoded, vector.zeros)));
    refused.toThrow(expect.objectContaining({ code: vector.code }) as SteadError);
  });
});

test("fields outside their limits are not encoded", () => {
  const good = { kind: 3, streamId: "s", seq: 0n, payload: new Uint8Array(0) };
  for (const bad of [{ streamId: "" }, { streamId: "x".repeat(65) }, { kind: 256 }, { seq: -1n }, { seq: 1n << 63n }]) {
    expect(() => encodeFrame({ ...good, ...bad })).toThrow(SteadError);
  }
});
