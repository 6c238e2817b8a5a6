import { expect, test } from "vitest";
import { type Frame, FrameKind } from "./frames";
import { Backoff, Link, LINK_WINDOW } from "./link";

const frame = (streamId: string, size = 10, kind: number = FrameKind.data): Frame => ({
  kind,
  streamId,
  seq: 0n,
  payload: new Uint8Array(size),
});

function sent(link: Link): string[] {
  const names: string[] = [];
  for (let next = link.next(); next; next = link.next()) names.push(next.streamId);
  return names;
}

test("input goes before bulk, streams take turns, control frames do not wait", () => {
  const link = new Link();
  for (const name of ["a", "a", "b"]) link.post(frame(name));
  link.post(frame("typed", 1, FrameKind.terminalInput));
  const credit = frame("a", 8, FrameKind.credit);
  expect(link.post(credit)).toBe(credit);
  expect(sent(link)).toEqual(["typed", "a", "b", "a"]);
  expect(link.waiting).toBe(0);
});

test("outstanding payload is bounded until the other side has taken it", () => {
  const link = new Link();
  const size = LINK_WINDOW / 16;
  for (let count = 0; count < 15; count++) link.post(frame(`s${count}`, size));
  expect(sent(link)).toHaveLength(12);
  link.post(frame("typed", size, FrameKind.terminalInput));
  expect(sent(link)).toEqual(["typed"]);
  link.credit(LINK_WINDOW * 2);
  expect(sent(link)).toEqual([]);
  link.credit(size * 3);
  expect(sent(link)).toHaveLength(2);
});

test("the queue is bounded", () => {
  const link = new Link();
  let count = 0;
  while (link.room(65_536)) {
    link.post(frame(`s${count}`, 65_536));
    count += 1;
  }
  expect(count).toBe(15);
});

test("the receiver tells after a quarter of the window", () => {
  const link = new Link();
  const told = Array.from({ length: 8 }, () => link.took(frame("a", LINK_WINDOW / 16)));
  expect(told).toEqual([null, null, null, LINK_WINDOW / 4, null, null, null, LINK_WINDOW / 2]);
});

test("waits double up to the limit and start afresh only after a useful connection", () => {
  const backoff = new Backoff(() => 1);
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(() => backoff.delay())).toEqual([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]);
  expect(backoff.delay(4.9)).toBe(30);
  expect(backoff.delay(5, 2)).toBe(2.25);
});
