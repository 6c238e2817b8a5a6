import { describe, expect, it } from "vitest";
import { append, EMPTY, tail } from "@/lib/scrollback";

const text = (value: typeof EMPTY) => value.spans.map((span) => span.text).join("");

describe("scrollback", () => {
  it("joins text of one channel and tells channels apart", () => {
    let value = append(EMPTY, "stdout", "a");
    value = append(value, "stdout", "b\n");
    value = append(value, "stderr", "bad\n");
    value = append(value, "stdout", "c");
    expect(value.spans.map((span) => [span.channel, span.text])).toEqual([
      ["stdout", "ab\n"],
      ["stderr", "bad\n"],
      ["stdout", "c"],
    ]);
    expect(new Set(value.spans.map((span) => span.id)).size).toBe(3);
  });

  it("does not change what was given to it", () => {
    const before = append(EMPTY, "stdout", "a");
    append(before, "stdout", "b");
    expect(text(before)).toBe("a");
    expect(append(before, "stdout", "")).toBe(before);
  });

  it("stays within its bound and says what it dropped", () => {
    const kept = 100_000;
    let value = EMPTY;
    const line = `${"x".repeat(99)}\n`;
    for (let count = 0; count < 5000; count += 1) value = append(value, "stdout", line, kept);
    expect(value.length).toBeLessThanOrEqual(kept);
    expect(text(value).length).toBe(value.length);
    expect(value.length + value.dropped).toBe(5000 * 100);
  });

  it("cuts one huge piece into spans", () => {
    const value = append(EMPTY, "stdout", "y".repeat(300_000), 100_000);
    expect(value.length).toBeLessThanOrEqual(100_000);
    expect(value.spans.every((span) => span.text.length <= 8192)).toBe(true);
  });

  it("keeps the end over a reload", () => {
    let value = append(EMPTY, "stdout", "a".repeat(20_000));
    value = append(value, "stderr", "the end");
    const short = tail(value, 9000);
    expect(short.length).toBeLessThanOrEqual(9000);
    expect(text(short).endsWith("the end")).toBe(true);
    expect(short.dropped + short.length).toBe(value.length);
  });
});
