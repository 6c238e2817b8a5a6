import { describe, expect, it } from "vitest";
import { age, ago, bytes, commandLine, duration, mode, shortId, signalName, until, words } from "@/lib/format";

describe("figures", () => {
  it("writes sizes in binary units", () => {
    expect([0, 512, 1024, 1536, 200 * 1024, 5 * 1024 ** 3, -1].map(bytes)).toEqual([
      "0 B",
      "512 B",
      "1 KiB",
      "1.5 KiB",
      "200 KiB",
      "5 GiB",
      "0 B",
    ]);
  });

  it("writes lengths of time to the precision a person needs", () => {
    expect([0.0844, 1, 3.24, 60, 245, 7380, 90_000].map(duration)).toEqual([
      "84 ms",
      "1 s",
      "3.2 s",
      "1 min",
      "4 min 5 s",
      "2 h 3 min",
      "1 d 1 h",
    ]);
  });

  it("writes ages in one unit, also when clocks differ", () => {
    expect([1003, 998, 940, 400, -9_000, -200_000].map((then) => age(then, 1000))).toEqual([
      "just now",
      "just now",
      "1 min",
      "10 min",
      "2 h",
      "2 d",
    ]);
    expect(ago(940, 1000)).toBe("1 min ago");
    expect(ago(1000, 1000)).toBe("just now");
    expect(until(1600, 1000)).toBe("in 10 min");
    expect(until(999, 1000)).toBe("expired");
  });
});

describe("words", () => {
  it("writes modes as ls does", () => {
    expect(mode(0o100755)).toBe("rwxr-xr-x");
    expect(mode(0o640)).toBe("rw-r-----");
  });

  it("names signals, codes and ids", () => {
    expect(signalName(9)).toBe("SIGKILL");
    expect(signalName(42)).toBe("signal 42");
    expect(words("node_unreachable")).toBe("node unreachable");
    expect(words("createUserLogin")).toBe("create user login");
    expect(shortId("ws_0123456789abcdef")).toBe("abcdef");
  });

  it("quotes argument vectors so that they can be typed again", () => {
    expect(commandLine(["echo", "a b", "it's"], false)).toBe(`echo 'a b' 'it'\\''s'`);
    expect(commandLine(["ls | wc -l"], true)).toBe("ls | wc -l");
  });
});
