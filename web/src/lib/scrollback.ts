/** The output of a command as shown: a bounded list of spans of one channel each. Pure: `append` gives a new value. */

import type { Channel } from "@/lib/records";

export interface Span {
  id: number;
  channel: Channel;
  text: string;
}

export interface Scrollback {
  spans: Span[];
  /** Characters kept. */
  length: number;
  /** Characters dropped from the front to stay within the bound. */
  dropped: number;
  next: number;
}

/** About 10,000 lines; more would make the page heavy, not the reader wiser. */
export const KEPT = 1 << 20;
const SPAN = 8192;

export const EMPTY: Scrollback = { spans: [], length: 0, dropped: 0, next: 0 };

/** Adds text; joins it to the last span while that is small, and drops whole spans from the front past the bound. */
export function append(before: Scrollback, channel: Channel, text: string, kept = KEPT): Scrollback {
  if (text === "") return before;
  const spans = before.spans.slice();
  let next = before.next;
  let rest = text;
  const last = spans.at(-1);
  if (last && last.channel === channel && last.text.length < SPAN) {
    const room = SPAN - last.text.length;
    spans[spans.length - 1] = { ...last, text: last.text + rest.slice(0, room) };
    rest = rest.slice(room);
  }
  for (let at = 0; at < rest.length; at += SPAN) {
    spans.push({ id: next, channel, text: rest.slice(at, at + SPAN) });
    next += 1;
  }
  return trim({ spans, length: before.length + text.length, dropped: before.dropped, next }, kept);
}

function trim(value: Scrollback, kept: number): Scrollback {
  let { length, dropped } = value;
  let first = 0;
  while (length > kept && first < value.spans.length - 1) {
    const size = value.spans[first]?.text.length ?? 0;
    length -= size;
    dropped += size;
    first += 1;
  }
  return first === 0 ? value : { ...value, spans: value.spans.slice(first), length, dropped };
}

/** What may be kept over a reload of the page: the last `limit` characters. */
export function tail(value: Scrollback, limit: number): Scrollback {
  return trim(value, limit);
}
