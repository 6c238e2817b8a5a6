import { afterEach, expect, test, vi } from "vitest";
import { SteadError } from "./errors";
import { decodeFrame, encodeFrame, FrameKind } from "./frames";
import type { AnyMessage, EventNotice } from "./messages";
import { StreamEnd } from "./stream";
import { type Socket, StreamClient } from "./streams";

vi.setConfig({ testTimeout: 60_000 });

/** A control plane, node and guest in one: streams of kind "echo" send back what came, "stuck" does nothing. */
class FakeServer {
  sockets: FakeSocket[] = [];
  ends = new Map<string, StreamEnd>();
  opened = 0;
  watched: string[] = [];
  refuse: SteadError | null = null;
  failResumes = 0;
  dropFrames = 0;

  make = (url: string): Socket => {
    const socket = new FakeSocket(this, url);
    this.sockets.push(socket);
    queueMicrotask(() => socket.onopen?.(undefined as never));
    return socket;
  };

  get socket(): FakeSocket {
    return this.sockets.at(-1) as FakeSocket;
  }

  text(socket: FakeSocket, message: AnyMessage): void {
    const answer = (result: unknown): void =>
      socket.deliver(JSON.stringify({ type: "ack", request_id: (message as { request_id: string }).request_id, ...(result as object) }));
    switch (message.type) {
      case "client.hello":
        if (this.refuse) socket.deliver(JSON.stringify({ type: "link.refused", error: this.refuse.fault() }));
        else socket.deliver(JSON.stringify({ type: "link.welcome", protocol: "1.0", boot_id: "b", server_version: "0" }));
        break;
      case "call":
        if (message.method === "hold") return;
        if (message.method === "refuse") answer({ ok: false, error: { code: "refused", message: "not here" } });
        else answer({ ok: true, result: { method: message.method, params: message.params } });
        break;
      case "events.watch":
        this.watched.push(message.after ?? "");
        answer({ ok: true });
        break;
      case "link.ping":
        answer({ ok: true });
        break;
      case "stream.open":
        if (!this.ends.has(message.stream_id)) {
          this.opened += 1;
          this.ends.set(message.stream_id, new StreamEnd(message.stream_id));
        }
        answer({ ok: true, result: { kind: message.kind } });
        break;
      case "stream.resume": {
        const end = this.ends.get(message.stream_id);
        if (this.failResumes > 0) {
          this.failResumes -= 1;
          answer({ ok: false, error: { code: "node_unreachable", message: "not yet" } });
        } else if (!end) {
          answer({ ok: false, error: { code: "stream_unknown", message: "gone" } });
        } else {
          end.resume(message.received);
          answer({ ok: true, result: { received: end.received } });
          this.pump(socket, end);
        }
      }
    }
  }

  frame(socket: FakeSocket, data: Uint8Array): void {
    const frame = decodeFrame(data);
    const end = this.ends.get(frame.streamId);
    if (!end) return;
    if (this.dropFrames > 0 && frame.kind === FrameKind.data) {
      this.dropFrames -= 1;
      return;
    }
    end.frame(frame);
    if (end.gap) socket.deliver(JSON.stringify({ type: "stream.lost", stream_id: frame.streamId }));
    for (let taken = end.take(); taken.length > 0; taken = end.take()) end.write(taken);
    if (end.atEnd) {
      end.takeEnd();
      end.end(new TextEncoder().encode(JSON.stringify({ bytes: end.received })));
    }
    this.pump(socket, end);
  }

  pump(socket: FakeSocket, end: StreamEnd): void {
    for (let frame = end.nextFrame(); frame; frame = end.nextFrame()) socket.deliver(encodeFrame(frame).buffer);
  }
}

class FakeSocket implements Socket {
  binaryType = "";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  closed = false;

  constructor(
    private readonly server: FakeServer,
    readonly url: string,
  ) {}

  send(data: string | Uint8Array<ArrayBuffer>): void {
    const copy = typeof data === "string" ? data : data.slice();
    queueMicrotask(() => {
      if (this.closed) return;
      if (typeof copy === "string") this.server.text(this, JSON.parse(copy) as AnyMessage);
      else this.server.frame(this, copy);
    });
  }

  deliver(data: unknown): void {
    queueMicrotask(() => {
      if (!this.closed) this.onmessage?.({ data } as never);
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" } as never));
  }
}

const clients: StreamClient[] = [];

function connected(server: FakeServer): StreamClient {
  const client = new StreamClient({ socket: server.make });
  clients.push(client);
  client.connect(() => `ws://x/${server.sockets.length}`);
  return client;
}

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function until(probe: () => boolean): Promise<void> {
  const deadline = performance.now() + 50_000;
  while (!probe()) {
    if (performance.now() > deadline) throw new Error("not in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const text = (data: Uint8Array | null): string | null => (data ? new TextDecoder().decode(data) : null);

test("calls are answered, and their errors are typed", async () => {
  const client = connected(new FakeServer());
  await until(() => client.connected);
  expect(await client.call("ws_1", "files.stat", { path: "a" })).toEqual({ method: "files.stat", params: { path: "a" } });
  await expect(client.call("ws_1", "refuse")).rejects.toMatchObject({ code: "refused", message: "not here" });
});

test("a call without a link fails at once, one whose link breaks fails then", async () => {
  const server = new FakeServer();
  const client = connected(server);
  await expect(client.call("ws_1", "x")).rejects.toMatchObject({ code: "unavailable" });
  await until(() => client.connected);
  const held = client.call("ws_1", "hold");
  server.socket.close();
  await expect(held).rejects.toMatchObject({ code: "unavailable" });
});

test("a stream carries bytes, ends, and a result", async () => {
  const server = new FakeServer();
  const stream = await connected(server).open("ws_1", "echo");
  expect(stream.opened).toEqual({ kind: "echo" });
  await stream.send("hello");
  expect(text(await stream.receive())).toBe("hello");
  stream.end();
  expect(await stream.receive()).toBeNull();
  expect(stream.result).toEqual({ bytes: 5 });
});

test("a stream goes on after the link was cut, with everything once", async () => {
  const server = new FakeServer();
  const client = connected(server);
  const stream = await client.open("ws_1", "echo");
  server.failResumes = 1;
  let got = "";
  let sent = "";
  for (let round = 0; round < 3; round++) {
    await stream.send(`${round}:`);
    sent += `${round}:`;
    const before = server.sockets.length;
    server.socket.close();
    await stream.send(`${round};`);
    sent += `${round};`;
    await until(() => server.sockets.length > before && client.connected);
    while (got.length < sent.length) got += text(await stream.receive());
  }
  expect(got).toBe(sent);
  expect(server.opened).toBe(1);
  expect(new Set(server.sockets.map((socket) => socket.url)).size).toBe(server.sockets.length);
});

test("frames that were dropped on the way are sent again", async () => {
  const server = new FakeServer();
  const stream = await connected(server).open("ws_1", "echo");
  server.dropFrames = 1;
  await stream.send("one");
  await stream.send("two");
  let got = "";
  while (got.length < 6) got += text(await stream.receive());
  expect(got).toBe("onetwo");
});

test("a stream that the other side forgot fails with the reason", async () => {
  const server = new FakeServer();
  const stream = await connected(server).open("ws_1", "stuck");
  server.ends.clear();
  server.socket.close();
  await expect(stream.receive()).rejects.toMatchObject({ code: "stream_unknown" });
});

test("closing an unfinished stream resets it", async () => {
  const server = new FakeServer();
  const stream = await connected(server).open("ws_1", "stuck");
  stream.close();
  await until(() => server.ends.get(stream.id)?.fault?.code === "cancelled");
  await expect(stream.receive()).rejects.toMatchObject({ code: "cancelled" });
});

test("events are watched again from the last cursor after a reconnect", async () => {
  const server = new FakeServer();
  const client = connected(server);
  const seen: EventNotice[] = [];
  const off = client.onEvent((event) => seen.push(event));
  await until(() => server.watched.length === 1);
  server.socket.deliver(JSON.stringify({ type: "event", cursor: "c7", at: 1, kind: "k", subject: "s" }));
  await until(() => seen.length === 1);
  server.socket.close();
  await until(() => server.watched.length === 2);
  expect(server.watched).toEqual(["", "c7"]);
  off();
});

test("a refused hello is told and tried again", async () => {
  const server = new FakeServer();
  server.refuse = new SteadError("version_unsupported", "too old");
  const client = connected(server);
  await until(() => client.lastError?.code === "version_unsupported");
  expect(client.connected).toBe(false);
  server.refuse = null;
  server.socket.close();
  await until(() => client.connected);
});

test("nonsense and a malformed frame do not break the client", async () => {
  const server = new FakeServer();
  const client = connected(server);
  await until(() => client.connected);
  server.socket.deliver("nonsense");
  server.socket.deliver('{"type":"from.the.future"}');
  expect(await client.call("ws_1", "still")).toMatchObject({ method: "still" });
  server.socket.deliver(new Uint8Array([3]).buffer);
  await until(() => server.sockets.length === 2 && client.connected);
});

test("a closed client stays closed and its streams fail", async () => {
  const server = new FakeServer();
  const client = connected(server);
  const stream = await client.open("ws_1", "stuck");
  client.close();
  await expect(stream.receive()).rejects.toMatchObject({ code: "cancelled" });
  await expect(client.open("ws_1", "stuck", {}, { timeoutSeconds: 0.05 })).rejects.toMatchObject({ code: "unavailable" });
  expect(server.sockets).toHaveLength(1);
});
