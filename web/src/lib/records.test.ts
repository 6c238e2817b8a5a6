import { describe, expect, it } from "vitest";
import { type Channel, RecordReader } from "@/lib/records";

function record(channel: Channel, text: string): Uint8Array {
  const data = new TextEncoder().encode(text);
  const whole = new Uint8Array(5 + data.length);
  new DataView(whole.buffer).setUint8(0, channel === "stderr" ? 2 : 1);
  new DataView(whole.buffer).setUint32(1, data.length);
  whole.set(data, 5);
  return whole;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const text = (data: Uint8Array) => new TextDecoder().decode(data);

describe("RecordReader", () => {
  it("gives the same records however the bytes are cut", () => {
    const whole = joined(record("stdout", "one\n"), record("stderr", "two"), record("stdout", ""));
    for (const size of [1, 2, 3, 7, whole.length]) {
      const reader = new RecordReader();
      const pieces = [];
      for (let at = 0; at < whole.length; at += size) pieces.push(...reader.push(whole.slice(at, at + size)));
      expect(pieces.map((piece) => [piece.channel, text(piece.data)])).toEqual([
        ["stdout", "one\n"],
        ["stderr", "two"],
        ["stdout", ""],
      ]);
      expect(reader.cursor).toBe(whole.length);
    }
  });

  it("moves its cursor over whole records only", () => {
    const first = record("stdout", "one");
    const reader = new RecordReader(100);
    reader.push(joined(first, record("stderr", "two").slice(0, 6)));
    expect(reader.cursor).toBe(100 + first.length);
  });
});
