/** An exec's output as it crosses the wire: `channel u8 (1 stdout, 2 stderr) | length u32 big-endian | bytes`. Pure. */

export type Channel = "stdout" | "stderr";

export interface Piece {
  channel: Channel;
  data: Uint8Array;
}

const HEAD = 5;

/** Takes bytes as they come and gives whole records. `cursor` is where to attach to get what follows. */
export class RecordReader {
  cursor: number;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(cursor = 0) {
    this.cursor = cursor;
  }

  push(chunk: Uint8Array): Piece[] {
    const data = this.rest.length === 0 ? chunk : join(this.rest, chunk);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const pieces: Piece[] = [];
    let at = 0;
    while (data.length - at >= HEAD) {
      const length = view.getUint32(at + 1);
      if (data.length - at < HEAD + length) break;
      pieces.push({
        channel: view.getUint8(at) === 2 ? "stderr" : "stdout",
        data: data.subarray(at + HEAD, at + HEAD + length),
      });
      at += HEAD + length;
    }
    this.rest = data.slice(at);
    this.cursor += at;
    return pieces;
  }
}

function join(one: Uint8Array, two: Uint8Array): Uint8Array {
  const whole = new Uint8Array(one.length + two.length);
  whole.set(one);
  whole.set(two, one.length);
  return whole;
}
