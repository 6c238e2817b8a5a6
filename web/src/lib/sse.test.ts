import { describe, expect, it } from "vitest";
import { EventParser } from "@/lib/sse";

describe("EventParser", () => {
  it("reads events however the text is cut", () => {
    const whole = ': hello\n\nevent: output\nid: 7\ndata: {"a":1}\n\ndata: one\r\ndata: two\r\n\r\n';
    for (const size of [1, 4, 1000]) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < whole.length; at += size) events.push(...parser.push(whole.slice(at, at + size)));
      expect(events).toEqual([
        { event: "output", id: "7", data: '{"a":1}' },
        { event: "message", id: "7", data: "one\ntwo" },
      ]);
    }
  });
});
