import { describe, expect, it } from "vitest";
import { formatPairs, parseLines, parsePairs } from "@/lib/pairs";

describe("pairs", () => {
  it("reads lines and commas", () => {
    expect(parsePairs("A=1\n\n B = two = 2 ").values).toEqual({ A: "1", B: "two = 2" });
    expect(parsePairs("team=search, env=dev", true).values).toEqual({ team: "search", env: "dev" });
    expect(parsePairs("A=1,2").values).toEqual({ A: "1,2" });
  });

  it("names the line that is none", () => {
    expect(parsePairs("A=1\nnothing").problem).toContain("nothing");
    expect(parsePairs("=x").problem).not.toBe("");
    expect(parsePairs("A=1").problem).toBe("");
  });

  it("writes what it reads", () => {
    const values = { A: "1", B: "x=y" };
    expect(parsePairs(formatPairs(values)).values).toEqual(values);
    expect(parseLines(" one \n\ntwo")).toEqual(["one", "two"]);
  });
});
