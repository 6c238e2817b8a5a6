/** What the app reads, under which key it is kept, and how often it is read again while nothing tells of changes. */

import { QueryClient, queryOptions } from "@tanstack/react-query";
import type { Event } from "@/api/types";
import * as api from "@/data/api";
import { newest } from "@/data/history";
import { ApiError, passes } from "@/data/http";
import { live } from "@/data/live";

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: "always",
      staleTime: 5_000,
      retry: (count, error) => passes(error) && count < 2,
      retryDelay: (count) => 300 * 2 ** count,
      refetchOnWindowFocus: true,
    },
    mutations: { networkMode: "always", retry: false },
  },
});

/** Without a link, lists are read again this often; with one, only to be sure (or for figures that no event tells). */
const every =
  (fast: number, slow = 60_000) =>
  () =>
    live.phase.get() === "live" ? slow : fast;

export const whoami = () =>
  queryOptions({ queryKey: ["whoami"], queryFn: ({ signal }) => api.whoami(signal), staleTime: 60_000 });

export const version = () =>
  queryOptions({ queryKey: ["version"], queryFn: ({ signal }) => api.version(signal), staleTime: 60_000 });

export const workspaces = () =>
  queryOptions({
    queryKey: ["workspaces"],
    queryFn: ({ signal }) => api.workspaces(signal),
    refetchInterval: every(3_000),
  });

export const workspace = (id: string) =>
  queryOptions({
    queryKey: ["workspace", id],
    queryFn: ({ signal }) => api.workspace(id, signal),
    refetchInterval: (query) => {
      const state = query.state.data?.state;
      const moving = state === "pending" || state === "starting" || state === "stopping";
      return moving ? 1_000 : every(3_000)();
    },
  });

export const workspaceEvents = (id: string) =>
  queryOptions({
    queryKey: ["workspace", id, "events"],
    queryFn: ({ signal, queryKey }) =>
      newest((after) => api.workspaceEvents(id, after, signal), client.getQueryData<Event[]>(queryKey) ?? []),
    refetchInterval: every(5_000),
  });

export const execs = (id: string, enabled: boolean) =>
  queryOptions({
    queryKey: ["execs", id],
    queryFn: ({ signal }) => api.execs(id, signal),
    enabled,
    refetchInterval: every(5_000, 15_000),
  });

export const files = (id: string, path: string, enabled: boolean) =>
  queryOptions({
    queryKey: ["files", id, path],
    queryFn: ({ signal }) => api.listFiles(id, path, signal),
    enabled,
    staleTime: 0,
  });

/** What happened, newest last. */
export const events = () =>
  queryOptions({
    queryKey: ["events"],
    queryFn: ({ signal, queryKey }) =>
      newest((after) => api.events(after, signal), client.getQueryData<Event[]>(queryKey) ?? []),
    refetchInterval: every(4_000),
  });

export const nodes = () =>
  queryOptions({
    queryKey: ["nodes"],
    queryFn: ({ signal }) => api.nodes(signal),
    refetchInterval: every(5_000, 15_000),
  });

export const node = (id: string) =>
  queryOptions({
    queryKey: ["node", id],
    queryFn: ({ signal }) => api.node(id, signal),
    refetchInterval: every(5_000, 10_000),
  });

export const sessions = () =>
  queryOptions({ queryKey: ["sessions"], queryFn: ({ signal }) => api.sessions(signal), staleTime: 0 });

export const tokens = () =>
  queryOptions({ queryKey: ["tokens"], queryFn: ({ signal }) => api.tokens(signal), staleTime: 0 });

export const users = (enabled: boolean) =>
  queryOptions({ queryKey: ["users"], queryFn: ({ signal }) => api.users(signal), staleTime: 0, enabled });

export const signedOut = (error: unknown): boolean => error instanceof ApiError && error.status === 401;
