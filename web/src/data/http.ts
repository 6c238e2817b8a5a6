/** One place that speaks HTTP: JSON in and out, errors of the one table, and whether the server answers at all. */

import type { ErrorAnswer, Fault } from "@/api/types";
import { reachability } from "@/data/reachability";
import { freshKey } from "@/lib/random";

export const API = "/api/v1";

/** An error of the table as the API answered it, or `offline` when nothing answered. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly details: Record<string, unknown>;
  readonly requestId: string;

  constructor(status: number, fault: Fault, requestId = "") {
    super(fault.message);
    this.name = "ApiError";
    this.status = status;
    this.code = fault.code;
    this.hint = fault.hint ?? "";
    this.details = fault.details ?? {};
    this.requestId = requestId;
  }
}

/** A read is tried again by itself; whether a change was received is not known. */
function offline(method: Method): Fault {
  const hint =
    method === "GET"
      ? "It is tried again by itself. Workspaces keep running meanwhile."
      : "It may not have been received. Do it again once the connection is back; it will not be done twice.";
  return { code: "offline", message: "The control plane does not answer.", hint };
}

export interface Options {
  body?: unknown;
  /** Sent as it is instead of JSON. */
  raw?: Blob;
  /** Has one effect, also when it is sent again because no answer came. */
  once?: boolean;
  /** The version that was read, for changes where two people can meet. */
  ifMatch?: string;
  signal?: AbortSignal;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The same key for the same request until it has been answered, so that a person may press again. */
class OnceKey {
  private static readonly unsettled = new Map<string, string>();
  private readonly what: string;
  readonly value: string;

  constructor(method: Method, path: string, body: unknown) {
    this.what = `${method} ${path} ${JSON.stringify(body)}`;
    this.value = OnceKey.unsettled.get(this.what) ?? freshKey();
    OnceKey.unsettled.set(this.what, this.value);
  }

  settle(): void {
    OnceKey.unsettled.delete(this.what);
  }
}

/** Sends one request; throws `ApiError` for everything but success. */
export async function send(method: Method, path: string, options: Options = {}): Promise<Response> {
  const headers = new Headers({ Accept: "application/json" });
  if (options.raw) headers.set("Content-Type", "application/octet-stream");
  else if (options.body !== undefined) headers.set("Content-Type", "application/json");
  const key = options.once ? new OnceKey(method, path, options.body) : null;
  if (key) headers.set("Idempotency-Key", key.value);
  if (options.ifMatch) headers.set("If-Match", options.ifMatch);
  let response: Response;
  try {
    response = await fetch(API + path, {
      method,
      headers,
      body: options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body)),
      credentials: "same-origin",
      cache: "no-store",
      signal: options.signal ?? null,
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    reachability.failed();
    throw new ApiError(0, offline(method));
  }
  if (standIn(response)) {
    reachability.failed();
    throw new ApiError(0, offline(method));
  }
  reachability.answered();
  const error = response.ok ? null : await failure(response);
  if (error === null || error.status < 500) key?.settle();
  if (error !== null) throw error;
  return response;
}

/** Sends one request and gives the JSON of its answer. */
export async function request<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, options);
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** True when a proxy answers because the control plane does not. */
function standIn(response: Response): boolean {
  const json = response.headers.get("Content-Type")?.includes("json") ?? false;
  return response.status >= 502 && response.status <= 504 && !json;
}

async function failure(response: Response): Promise<ApiError> {
  const requestId = response.headers.get("X-Request-Id") ?? "";
  try {
    const answer = (await response.json()) as ErrorAnswer;
    return new ApiError(response.status, answer.error, answer.request_id || requestId);
  } catch {
    const fault = { code: "internal", message: `The server answered ${response.status} ${response.statusText}.` };
    return new ApiError(response.status, fault, requestId);
  }
}

/** True for errors that may go away by themselves. */
export function passes(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === 502 || error.status === 503);
}

/** `?a=b` of what is set. */
export function query(values: Record<string, string | number | boolean | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}
