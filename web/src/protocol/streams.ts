/**
 * The client's end of the wire in the browser: one link to the control plane, kept open, and streams that survive it.
 *
 * ```ts
 * const client = new StreamClient();
 * client.connect(async () => `wss://host/api/v1/link?ticket=${await freshTicket()}`); // called for every attempt
 * const off = client.onEvent((event) => ...);              // what the caller may see, replayed after a reconnect
 * const info = await client.call(workspaceId, "workspace.info", {});
 * const stream = await client.open(workspaceId, "exec", { argv: ["ls"] });
 * for (let chunk = await stream.receive(); chunk; chunk = await stream.receive()) ...   // null at the end
 * stream.result;                                           // the JSON of the other end's end
 * client.close();
 * ```
 *
 * `subscribe` tells of every change of `connected`. Calls fail with SteadError ("unavailable" when the link is lost
 * meanwhile: whether the call had an effect is then unknown). Streams resume by themselves after a reconnect, byte for
 * byte, or fail with the error that says why not; receiving grants credit, so an unread stream costs at most 256 KiB.
 */

import { type Fault, SteadError } from "./errors";
import { decodeFrame, encodeFrame, type Frame, FrameKind } from "./frames";
import { Backoff, Link } from "./link";
import { type AnyMessage, type EventNotice, PROTOCOL, RETRY_CODES } from "./messages";
import { StreamEnd } from "./stream";

const GRACE_SECONDS = 9;
const PING_SECONDS = 10;
const SILENCE_SECONDS = 30;
const HELLO_SECONDS = 10;
const PATIENCE_SECONDS = 600;
const RESUME_SECONDS = 30;

type Listener = () => void;
type Waiter = { resolve: (result: unknown) => void; reject: (error: SteadError) => void; timer: Timer };
type Timer = ReturnType<typeof setTimeout>;

/** What of WebSocket is used; tests may give another one. */
export interface Socket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export interface StreamClientOptions {
  /** What this client calls itself. */
  client?: string;
  /** How to make a socket; the browser's WebSocket by default. */
  socket?: (url: string) => Socket;
  /** How long a stream tries to resume. */
  patienceSeconds?: number;
  /** Listen for events from the start; otherwise with the first `onEvent`. */
  watch?: boolean;
}

export type UrlFactory = () => string | Promise<string>;

/** A stream of this client. */
export class ClientStream {
  /** The result of the opening. */
  opened: unknown = null;
  private readonly end_: StreamEnd;
  private wakeups: Listener[] = [];

  constructor(
    private readonly client: StreamClient,
    readonly id: string,
    readonly workspaceId: string,
    kind: string,
    private readonly halfOpen: boolean,
  ) {
    this.end_ = new StreamEnd(id, kind === "terminal" ? FrameKind.terminalInput : FrameKind.data);
  }

  /** The next bytes; null when the other end is over. */
  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.end_.fault) throw this.end_.fault;
      const data = this.end_.take();
      if (data.length > 0) {
        this.pump();
        return data;
      }
      if (this.end_.atEnd) {
        this.end_.takeEnd();
        if (!this.halfOpen) this.end_.end();
        this.pump();
        return null;
      }
      await this.changed();
    }
  }

  /** Sends all of it, waiting for credit. */
  async send(data: Uint8Array | string): Promise<void> {
    let rest = typeof data === "string" ? new TextEncoder().encode(data) : data;
    while (rest.length > 0) {
      if (this.end_.fault) throw this.end_.fault;
      if (this.end_.ended) throw new SteadError("invalid", "this direction of the stream has ended");
      rest = rest.subarray(this.end_.write(rest));
      this.pump();
      if (rest.length > 0 && this.end_.room === 0) await this.changed();
    }
  }

  /** Ends this direction, with a JSON result for the other end. */
  end(result?: unknown): void {
    this.end_.end(result === undefined ? undefined : new TextEncoder().encode(JSON.stringify(result)));
    this.pump();
  }

  /** Ends both directions at once, unless the stream is over anyway. */
  close(): void {
    if (!this.end_.complete) this.reset(new SteadError("cancelled", "the other end went away"));
  }

  reset(error: SteadError): void {
    this.end_.reset(error);
    this.pump();
    this.wake();
  }

  /** The JSON of the other end's end; null while there is none. */
  get result(): unknown {
    return this.end_.result.length > 0 ? JSON.parse(new TextDecoder().decode(this.end_.result)) : null;
  }

  /** Why the stream was reset, if it was. */
  get fault(): SteadError | null {
    return this.end_.fault;
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => this.wakeups.push(resolve));
  }

  private wake(): void {
    const wakeups = this.wakeups;
    this.wakeups = [];
    for (const wakeup of wakeups) wakeup();
  }

  // --- for StreamClient

  /** @internal */
  resuming = false;
  /** @internal */
  again = false;
  /** @internal */
  opening = true;

  /** @internal */
  pump(): void {
    this.client.pump(this, this.end_);
  }

  /** @internal */
  arrived(frame: Frame): void {
    this.end_.frame(frame);
    if (this.end_.gap) this.client.lost(this, false);
    this.pump();
    this.wake();
  }

  /** @internal */
  suspend(): void {
    this.end_.suspend();
    this.resuming = false;
  }

  /** @internal */
  get received(): number {
    return this.end_.received;
  }

  /** @internal */
  get needsResume(): boolean {
    return this.end_.gap || this.end_.suspended;
  }

  /** @internal */
  resumed(received: number): void {
    this.end_.resume(received);
    this.pump();
    this.wake();
  }

  /** @internal */
  fail(error: SteadError): void {
    if (!this.end_.complete) this.end_.fail(error);
    this.client.forget(this);
    this.wake();
  }

  /** @internal */
  get over(): boolean {
    return this.end_.over;
  }
}

export class StreamClient {
  private readonly options: Required<StreamClientOptions>;
  private readonly bootId = crypto.randomUUID();
  private readonly backoff = new Backoff();
  private readonly streams = new Map<string, ClientStream>();
  private readonly eventListeners = new Set<(event: EventNotice) => void>();
  private readonly listeners = new Set<Listener>();
  private readonly asked = new Map<string, Waiter>();
  private urls: UrlFactory | null = null;
  private socket: Socket | null = null;
  private link = new Link();
  private up = false;
  private upAt = 0;
  private heard = 0;
  private requests = 0;
  private retryAfter = 0;
  private cursor = "";
  private watching = false;
  private attempt = 0;
  private timer: Timer | undefined;
  private ticker: Timer | undefined;
  private closed = false;
  /** Why the last connection ended or was refused. */
  lastError: SteadError | null = null;

  constructor(options: StreamClientOptions = {}) {
    this.options = {
      client: options.client ?? "web",
      socket: options.socket ?? ((url) => new WebSocket(url) as unknown as Socket),
      patienceSeconds: options.patienceSeconds ?? PATIENCE_SECONDS,
      watch: options.watch ?? false,
    };
  }

  /** Connects, and again whenever the link is lost, until `close`. The factory gives a fresh address every time. */
  connect(urls: UrlFactory): void {
    this.urls = urls;
    this.closed = false;
    void this.dial();
  }

  get connected(): boolean {
    return this.up;
  }

  /** Tells of every change of `connected`; answers how to stop. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tells of everything the caller may see that changes; answers how to stop. */
  onEvent(listener: (event: EventNotice) => void): () => void {
    this.eventListeners.add(listener);
    this.watch();
    return () => this.eventListeners.delete(listener);
  }

  /** One toolbox call in a workspace. */
  call(workspaceId: string, method: string, params: unknown = {}, timeoutSeconds = 60): Promise<unknown> {
    return this.ask(
      { type: "call", request_id: "", workspace_id: workspaceId, method, params, timeout: timeoutSeconds },
      timeoutSeconds + GRACE_SECONDS,
    );
  }

  /** Opens a stream in a workspace; waits for a link for at most `timeoutSeconds`. */
  async open(
    workspaceId: string,
    kind: string,
    params: unknown = {},
    { timeoutSeconds = 60, halfOpen = false }: { timeoutSeconds?: number; halfOpen?: boolean } = {},
  ): Promise<ClientStream> {
    const stream = new ClientStream(this, newStreamId(), workspaceId, kind, halfOpen);
    this.streams.set(stream.id, stream);
    const until = now() + timeoutSeconds;
    try {
      await this.openOver(stream, kind, params, until);
    } catch (error) {
      stream.opening = false;
      stream.reset(new SteadError("cancelled", "the opener gave up"));
      stream.fail(asError(error));
      throw error;
    }
    return stream;
  }

  /** Closes the link for good; streams fail. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.drop(new SteadError("cancelled", "closed by this side"));
    for (const stream of [...this.streams.values()]) stream.fail(new SteadError("cancelled", "the client was closed"));
  }

  // --- streams

  private async openOver(stream: ClientStream, kind: string, params: unknown, until: number): Promise<void> {
    for (let again = false; ; again = true) {
      await this.linkUntil(until);
      const attempt = this.attempt;
      try {
        const timeout = Math.max(0.001, until - now());
        const message = { request_id: "", stream_id: stream.id, workspace_id: stream.workspaceId, kind, params, timeout };
        stream.opened = await this.ask({ type: "stream.open", ...message }, timeout + GRACE_SECONDS);
      } catch (error) {
        if ((attempt === this.attempt && this.up) || now() >= until) throw error;
        continue;
      }
      stream.opening = false;
      if (again || stream.again || stream.needsResume) this.lost(stream, false);
      else stream.pump();
      return;
    }
  }

  private async linkUntil(until: number): Promise<void> {
    while (!this.up) {
      const left = until - now();
      if (left <= 0 || this.closed) throw new SteadError("unavailable", "there is no link to the server");
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          off();
          resolve();
        };
        const timer = setTimeout(done, left * 1000);
        const off = this.subscribe(done);
      });
    }
  }

  /** @internal */
  pump(stream: ClientStream, end: StreamEnd): void {
    while (this.up && this.link.room(64 * 1024)) {
      const frame = end.nextFrame();
      if (!frame) break;
      const urgent = this.link.post(frame);
      if (urgent) this.socket?.send(encodeFrame(urgent));
      else this.flush();
    }
    if (stream.over) this.forget(stream);
  }

  private flush(): void {
    for (let frame = this.up ? this.link.next() : null; frame; frame = this.link.next()) {
      this.socket?.send(encodeFrame(frame));
    }
  }

  /** @internal */
  forget(stream: ClientStream): void {
    if (this.streams.get(stream.id) === stream) this.streams.delete(stream.id);
  }

  /** @internal Frames of a stream are missing: it is resumed over this link. */
  lost(stream: ClientStream, told: boolean): void {
    if (stream.opening || stream.resuming) {
      stream.again ||= told;
    } else if (this.up && !stream.fault) {
      stream.suspend();
      stream.resuming = true;
      void this.resume(stream, this.attempt);
    }
  }

  private async resume(stream: ClientStream, attempt: number): Promise<void> {
    const backoff = new Backoff();
    const until = now() + this.options.patienceSeconds;
    while (this.up && attempt === this.attempt && this.streams.has(stream.id)) {
      stream.again = false;
      try {
        const received = await this.askResume(stream);
        if (stream.again) continue;
        stream.resuming = false;
        stream.resumed(received);
        return;
      } catch (reason) {
        const error = asError(reason);
        if (attempt !== this.attempt || !this.up) return;
        if (!RETRY_CODES.has(error.code) || now() > until) {
          stream.fail(error);
          return;
        }
        await sleep(backoff.delay());
      }
    }
  }

  private async askResume(stream: ClientStream): Promise<number> {
    const message = { stream_id: stream.id, workspace_id: stream.workspaceId, received: stream.received };
    const answer = await this.ask({ type: "stream.resume", request_id: "", ...message }, RESUME_SECONDS);
    const received = (answer as { received?: unknown } | null)?.received;
    if (typeof received !== "number") throw new SteadError("malformed", "a resume is answered with the bytes received");
    return received;
  }

  // --- requests

  private ask(message: AnyMessage & { request_id: string }, timeoutSeconds: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.up) {
        reject(new SteadError("unavailable", "there is no link to the server"));
        return;
      }
      this.requests += 1;
      const id = `r${this.requests}`;
      const late = (): void => {
        this.asked.delete(id);
        reject(new SteadError("timeout", `the server did not answer within ${Math.round(timeoutSeconds)} s`));
      };
      this.asked.set(id, { resolve, reject, timer: setTimeout(late, Math.max(0, timeoutSeconds) * 1000) });
      this.tell({ ...message, request_id: id } as AnyMessage);
    });
  }

  private tell(message: AnyMessage): void {
    this.socket?.send(JSON.stringify(message));
  }

  private answered(message: { request_id: string; ok: boolean; result?: unknown; error?: Fault | null }): void {
    const waiter = this.asked.get(message.request_id);
    if (!waiter) return;
    this.asked.delete(message.request_id);
    clearTimeout(waiter.timer);
    if (message.ok) waiter.resolve(message.result ?? null);
    else waiter.reject(SteadError.of(message.error ?? { code: "internal", message: "refused without saying why" }));
  }

  // --- the link

  private async dial(): Promise<void> {
    const attempt = ++this.attempt;
    let url: string;
    try {
      url = await (this.urls as UrlFactory)();
    } catch (error) {
      this.again(asError(error), attempt);
      return;
    }
    if (this.closed || attempt !== this.attempt) return;
    this.link = new Link();
    const socket = this.options.socket(url);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.heard = now();
    const deadline = setTimeout(() => socket.close(), HELLO_SECONDS * 1000);
    socket.onopen = () => this.tell(this.hello());
    socket.onmessage = (event: { data: unknown }) => {
      if (socket !== this.socket) return;
      clearTimeout(deadline);
      this.received(event.data);
    };
    socket.onerror = () => {};
    socket.onclose = (event: { code?: number; reason?: string }) => {
      clearTimeout(deadline);
      if (socket === this.socket) this.drop(new SteadError("unavailable", event.reason || "the link was lost"));
      this.again(this.lastError, attempt);
    };
  }

  private hello(): AnyMessage {
    return { type: "client.hello", protocol: PROTOCOL, client: this.options.client, boot_id: this.bootId };
  }

  private again(error: SteadError | null, attempt: number): void {
    if (this.closed || attempt !== this.attempt) return;
    this.lastError = error;
    const lived = this.upAt > 0 ? now() - this.upAt : 0;
    const wait = this.backoff.delay(lived, this.retryAfter);
    this.upAt = 0;
    this.retryAfter = 0;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.dial(), wait * 1000);
  }

  /** Everything that waits for the link learns that it is gone. */
  private drop(error: SteadError): void {
    const socket = this.socket;
    const wasUp = this.up;
    this.socket = null;
    this.up = false;
    this.watching = false;
    clearInterval(this.ticker);
    this.lastError ??= error;
    const waiters = [...this.asked.values()];
    this.asked.clear();
    for (const waiter of waiters) {
      clearTimeout(waiter.timer);
      waiter.reject(error);
    }
    for (const stream of this.streams.values()) stream.suspend();
    socket?.close();
    if (wasUp) this.changed();
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }

  private received(data: unknown): void {
    this.heard = now();
    if (typeof data === "string") {
      this.text(data);
      return;
    }
    let frame: Frame;
    try {
      frame = decodeFrame(new Uint8Array(data as ArrayBuffer));
    } catch (error) {
      this.lastError = asError(error);
      this.socket?.close(1002, "malformed");
      return;
    }
    const due = this.link.took(frame);
    this.streams.get(frame.streamId)?.arrived(frame);
    if (due !== null) this.tell({ type: "link.credit", taken: due });
  }

  private text(data: string): void {
    let message: AnyMessage;
    try {
      message = JSON.parse(data) as AnyMessage;
    } catch {
      return;
    }
    switch (message?.type) {
      case "ack":
        this.answered(message);
        break;
      case "link.ping":
        this.tell({ type: "ack", request_id: message.request_id, ok: true });
        break;
      case "link.credit":
        this.link.credit(message.taken);
        this.flush();
        for (const stream of [...this.streams.values()]) stream.pump();
        break;
      case "link.welcome":
        this.welcomed();
        break;
      case "link.refused":
        this.lastError = SteadError.of(message.error);
        break;
      case "link.goaway":
        this.retryAfter = message.retry_after ?? 0;
        break;
      case "stream.lost": {
        const stream = this.streams.get(message.stream_id);
        if (stream) this.lost(stream, true);
        break;
      }
      case "event":
        this.event(message);
        break;
    }
  }

  private welcomed(): void {
    this.up = true;
    this.upAt = now();
    this.lastError = null;
    this.ticker = setInterval(() => this.tick(), 1000);
    for (const stream of [...this.streams.values()]) this.lost(stream, false);
    this.watch();
    this.changed();
  }

  private tick(): void {
    const silent = now() - this.heard;
    if (silent >= SILENCE_SECONDS) {
      const attempt = this.attempt;
      this.drop(new SteadError("unavailable", `nothing was heard for ${SILENCE_SECONDS} s`));
      this.again(this.lastError, attempt);
    } else if (silent >= PING_SECONDS && Math.floor(silent) % PING_SECONDS === 0) {
      void this.ask({ type: "link.ping", request_id: "" }, SILENCE_SECONDS).catch(() => {});
    }
  }

  // --- events

  private watch(): void {
    if (!this.up || this.watching || (this.eventListeners.size === 0 && !this.options.watch)) return;
    this.watching = true;
    this.ask({ type: "events.watch", request_id: "", after: this.cursor }, 30).catch((reason) => {
      this.watching = false;
      const error = asError(reason);
      if (this.up && error.code !== "unavailable") this.lastError = error;
    });
  }

  private event(message: EventNotice): void {
    this.cursor = message.cursor;
    for (const listener of [...this.eventListeners]) listener(message);
  }
}

const now = (): number => performance.now() / 1000;

const sleep = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function asError(error: unknown): SteadError {
  if (error instanceof SteadError) return error;
  return new SteadError("unavailable", error instanceof Error ? error.message : String(error));
}

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** `st_` and 26 characters that sort by time. */
export function newStreamId(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  let time = BigInt(Date.now());
  const digits: string[] = [];
  for (let at = 0; at < 10; at++) {
    digits.unshift(ALPHABET[Number(time & 31n)] as string);
    time >>= 5n;
  }
  for (const byte of random) digits.push(ALPHABET[byte & 31] as string);
  return `st_${digits.join("")}`;
}
