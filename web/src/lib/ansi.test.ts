import { describe, expect, it } from "vitest";
import { AnsiStripper } from "@/lib/ansi";

function strip(...pieces: string[]): string {
  const stripper = new AnsiStripper();
  return pieces.map((piece) => stripper.push(piece)).join("") + stripper.end();
}

describe("AnsiStripper", () => {
  it("takes colours, titles and control characters out", () => {
    expect(strip("\u001b[1;31mred\u001b[0m \u001b]0;title\u0007plain\u0008\u0000")).toBe("red plain");
  });

  it("does so also when a sequence is cut", () => {
    const whole = "a\u001b[38;5;12mb\u001b]8;;x\u001b\\c\r\nd";
    for (let at = 0; at <= whole.length; at += 1) expect(strip(whole.slice(0, at), whole.slice(at))).toBe("abc\nd");
  });

  it("makes lines of carriage returns", () => {
    expect(strip("10 %\r20 %\r", "\ndone")).toBe("10 %\n20 %\ndone");
  });
});
