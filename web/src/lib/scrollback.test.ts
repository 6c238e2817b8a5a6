import { describe, expect, it } from "vitest";
import { append, EMPTY, tail, textOf } from "@/lib/scrollback";

describe("scrollback", () => {
  it("joins text of one channel and tells channels apart", () => {
    let value = append(EMPTY, "stdout", "a");
    value = append(value, "stdout", "b\n");
    value = append(value, "stderr", "bad\n");
    value = append(value, "stdout", "c");
    expect(value.blocks.flatMap((block) => block.spans.map((span) => [span.channel, span.text]))).toEqual([
      ["stdout", "ab\n"],
      ["stderr", "bad\n"],
      ["stdout", "c"],
    ]);
    expect(value.blocks).toHaveLength(1);
  });

  it("does not change what was given to it", () => {
    const before = append(EMPTY, "stdout", "a");
    append(before, "stdout", "b");
    expect(textOf(before)).toBe("a");
    expect(append(before, "stdout", "")).toBe(before);
  });

  it("ends blocks at line ends, and leaves full ones as they are", () => {
    const line = `${"x".repeat(99)}\n`;
    let value = EMPTY;
    for (let count = 0; count < 500; count += 1) value = append(value, "stdout", line);
    const more = append(value, "stdout", line);
    expect(value.blocks.length).toBeGreaterThan(5);
    expect(value.blocks.slice(0, -1).every((block) => block.spans.at(-1)?.text.endsWith("\n"))).toBe(true);
    expect(more.blocks.slice(0, -2)).toEqual(value.blocks.slice(0, -2));
    expect(more.blocks[0]).toBe(value.blocks[0]);
    expect(new Set(more.blocks.map((block) => block.id)).size).toBe(more.blocks.length);
    expect(textOf(value)).toBe(line.repeat(500));
  });

  it("gives the same text however it comes", () => {
    const whole = Array.from({ length: 3000 }, (_, number) => `line ${number}\n`).join("");
    for (const size of [1, 7, 4096, whole.length]) {
      let value = EMPTY;
      for (let at = 0; at < whole.length; at += size) value = append(value, "stdout", whole.slice(at, at + size));
      expect(textOf(value)).toBe(whole);
    }
  });

  it("stays within its bound and says what it dropped", () => {
    const kept = 100_000;
    let value = EMPTY;
    const line = `${"x".repeat(99)}\n`;
    for (let count = 0; count < 5000; count += 1) value = append(value, "stdout", line, kept);
    expect(value.length).toBeLessThanOrEqual(kept);
    expect(textOf(value).length).toBe(value.length);
    expect(value.length + value.dropped).toBe(5000 * 100);
  });

  it("cuts one line without an end into blocks", () => {
    const value = append(EMPTY, "stdout", "y".repeat(300_000), 100_000);
    expect(value.length).toBeLessThanOrEqual(100_000);
    expect(value.blocks.every((block) => block.length <= 16_384)).toBe(true);
  });

  it("keeps the end over a reload", () => {
    let value = append(EMPTY, "stdout", "a\n".repeat(10_000));
    value = append(value, "stderr", "the end");
    const short = tail(value, 9000);
    expect(short.length).toBeLessThanOrEqual(9000);
    expect(textOf(short).endsWith("the end")).toBe(true);
    expect(short.dropped + short.length).toBe(value.length);
  });
});
