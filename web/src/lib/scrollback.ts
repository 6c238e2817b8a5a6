/**
 * The output of a command as shown: a bounded list of blocks of lines, each a few spans of one channel. Blocks are what is
 * drawn apart, so that more output costs no more the longer it gets. Pure: `append` gives a new value.
 */

import type { Channel } from "@/lib/records";

export interface Span {
  channel: Channel;
  text: string;
}

export interface Block {
  id: number;
  spans: Span[];
  length: number;
}

export interface Scrollback {
  blocks: Block[];
  /** Characters kept. */
  length: number;
  /** Characters dropped from the front to stay within the bound. */
  dropped: number;
  next: number;
}

/** About 10,000 lines; more would make the page heavy, not the reader wiser. */
const KEPT = 1 << 20;
/** A block ends at the first line end past this, */
const BLOCK = 4096;
/** or here, where there is no line end. */
const LONGEST_BLOCK = 16_384;

export const EMPTY: Scrollback = { blocks: [], length: 0, dropped: 0, next: 0 };

/** Adds text at the end, and drops whole blocks from the front past the bound. */
export function append(before: Scrollback, channel: Channel, text: string, kept = KEPT): Scrollback {
  if (text === "") return before;
  const blocks = before.blocks.slice();
  let next = before.next;
  let rest = text;
  while (rest !== "") {
    let last = blocks.at(-1);
    if (!last || full(last)) {
      last = { id: next, spans: [], length: 0 };
      next += 1;
      blocks.push(last);
    }
    const taken = rest.slice(0, room(last, rest));
    blocks[blocks.length - 1] = extended(last, channel, taken);
    rest = rest.slice(taken.length);
  }
  return trim({ blocks, length: before.length + text.length, dropped: before.dropped, next }, kept);
}

function full(block: Block): boolean {
  return block.length >= LONGEST_BLOCK || (block.length >= BLOCK && (block.spans.at(-1)?.text.endsWith("\n") ?? false));
}

/** How much of the text goes into this block: to the first line end past `BLOCK`, at most to `LONGEST_BLOCK`. */
function room(block: Block, text: string): number {
  const end = text.indexOf("\n", Math.max(0, BLOCK - block.length - 1));
  const most = LONGEST_BLOCK - block.length;
  return end < 0 ? Math.min(text.length, most) : Math.min(end + 1, most);
}

function extended(block: Block, channel: Channel, text: string): Block {
  const last = block.spans.at(-1);
  const spans =
    last?.channel === channel
      ? [...block.spans.slice(0, -1), { channel, text: last.text + text }]
      : [...block.spans, { channel, text }];
  return { id: block.id, spans, length: block.length + text.length };
}

function trim(value: Scrollback, kept: number): Scrollback {
  let { length, dropped } = value;
  let first = 0;
  while (length > kept && first < value.blocks.length - 1) {
    const size = value.blocks[first]?.length ?? 0;
    length -= size;
    dropped += size;
    first += 1;
  }
  return first === 0 ? value : { ...value, blocks: value.blocks.slice(first), length, dropped };
}

/** What may be kept over a reload of the page: the last `limit` characters. */
export function tail(value: Scrollback, limit: number): Scrollback {
  return trim(value, limit);
}

/** All that is kept, as one text. */
export function textOf(value: Scrollback): string {
  return value.blocks.map((block) => block.spans.map((span) => span.text).join("")).join("");
}
