import { describe, expect, it } from "vitest";
import { codeOf } from "@/lib/login";
import { baseName, joinPath, parentPath, pathParts, readable } from "@/lib/paths";

describe("paths", () => {
  it("goes down and up", () => {
    expect(joinPath(".", "a")).toBe("a");
    expect(joinPath("a/b", "c")).toBe("a/b/c");
    expect(parentPath("a/b/c")).toBe("a/b");
    expect(parentPath("a")).toBe(".");
    expect(baseName("a/b.txt")).toBe("b.txt");
    expect(pathParts("a/b")).toEqual([
      { name: "a", path: "a" },
      { name: "b", path: "a/b" },
    ]);
    expect(pathParts(".")).toEqual([]);
  });

  it("tells text from other content", () => {
    const of = (...numbers: number[]) => Uint8Array.from(numbers).buffer;
    expect(readable(of(0xc3, 0xa9, 10))).toBe("é\n");
    expect(readable(of(0xff, 0xfe))).toBeNull();
    expect(readable(of(65, 0, 66))).toBeNull();
  });
});

describe("login codes", () => {
  it("are found in what people paste", () => {
    expect(codeOf(" abc ")).toBe("abc");
    expect(codeOf("#abc")).toBe("abc");
    expect(codeOf("http://127.0.0.1:7300/login#abc\n")).toBe("abc");
    expect(codeOf("")).toBe("");
  });
});
