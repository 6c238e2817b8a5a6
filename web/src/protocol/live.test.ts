/** Against a real server in Python: run by tests/integration/wire/test_typescript.py, which says where it listens. */

import { expect, test } from "vitest";
import { StreamClient } from "./streams";

const url = process.env.STEAD_LIVE_URL ?? "";

const pattern = Uint8Array.from({ length: 1 << 16 }, (_, at) => (at * 13 + (at >> 8)) & 255);

async function linked(client: StreamClient): Promise<void> {
  while (!client.connected) await new Promise((resolve) => setTimeout(resolve, 5));
}

test.skipIf(!url)("calls, events, and a stream that survives every cut", { timeout: 60_000 }, async () => {
  const client = new StreamClient({ client: "live-test" });
  client.connect(() => url);
  const events: string[] = [];
  client.onEvent((event) => events.push(event.subject));
  const stream = await client.open("ws_1", "echo", { any: true });
  expect(stream.opened).toEqual({ kind: "echo" });

  const rounds = 40;
  const writing = (async () => {
    for (let round = 0; round < rounds; round++) await stream.send(pattern);
    stream.end();
  })();
  let got = 0;
  let cuts = 0;
  for (let chunk = await stream.receive(); chunk; chunk = await stream.receive()) {
    for (let at = 0; at < chunk.length; at++) {
      if (chunk[at] !== pattern[(got + at) % pattern.length]) throw new Error(`byte ${got + at} is wrong`);
    }
    got += chunk.length;
    if (got > 600_000 * (cuts + 1)) {
      cuts += 1;
      await linked(client);
      await client.call("ws_1", "cut").catch(() => {});
    }
  }
  await writing;
  expect(got).toBe(rounds * pattern.length);
  expect(cuts).toBe(4);
  expect(stream.result).toEqual({ bytes: got });

  await linked(client);
  expect(await client.call("ws_1", "echo", { text: "é" })).toEqual({ text: "é" });
  await expect(client.call("ws_1", "refuse")).rejects.toMatchObject({ code: "refused", details: { why: "test" } });
  const reset = await client.open("ws_1", "reset");
  await expect(reset.receive()).rejects.toMatchObject({ code: "refused" });
  expect(events.length).toBeGreaterThan(0);
  client.close();
});
