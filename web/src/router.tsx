import { createRootRoute, createRoute, createRouter, Outlet, redirect } from "@tanstack/react-router";
import { Missing, Shell, Startup, Trouble } from "@/components/shell";
import { client, signedOut, whoami } from "@/data/queries";
import { ActivityPage } from "@/pages/activity";
import { LoginPage } from "@/pages/login";
import { NodePage } from "@/pages/node";
import { NodesPage } from "@/pages/nodes";
import { SettingsPage } from "@/pages/settings";
import { WorkspacePage } from "@/pages/workspace";
import { WorkspacesPage } from "@/pages/workspaces";

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | undefined {
  return allowed.find((each) => each === value);
}

/** What is set, so that an address shows only that. */
function compact<T extends Record<string, unknown>>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

const root = createRootRoute({ component: Outlet, notFoundComponent: Missing });

const loginRoute = createRoute({
  getParentRoute: () => root,
  path: "/login",
  component: LoginPage,
  validateSearch: (search) => compact({ to: text(search.to), ended: search.ended === true ? true : undefined }),
});

/** Everything behind a login. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  component: Shell,
  pendingComponent: Startup,
  errorComponent: Trouble,
  beforeLoad: async ({ location }) => {
    try {
      await client.ensureQueryData(whoami());
    } catch (error) {
      if (!signedOut(error)) throw error;
      const to = location.href === "/" || location.href === "/workspaces" ? {} : { to: location.href };
      throw redirect({ to: "/login", search: to, replace: true });
    }
  },
});

const indexRoute = createRoute({
  getParentRoute: () => app,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/workspaces", replace: true });
  },
});

const workspacesRoute = createRoute({
  getParentRoute: () => app,
  path: "/workspaces",
  component: WorkspacesPage,
  validateSearch: (search) =>
    compact({ q: text(search.q), state: text(search.state), create: search.create === true ? true : undefined }),
});

const WORKSPACE_TABS = ["run", "files", "events"] as const;

const workspaceRoute = createRoute({
  getParentRoute: () => app,
  path: "/workspaces/$id",
  component: WorkspacePage,
  validateSearch: (search) =>
    compact({ tab: oneOf(search.tab, WORKSPACE_TABS), exec: text(search.exec), path: text(search.path) }),
});

const nodesRoute = createRoute({ getParentRoute: () => app, path: "/nodes", component: NodesPage });
const nodeRoute = createRoute({ getParentRoute: () => app, path: "/nodes/$id", component: NodePage });

const ACTIVITY_TABS = ["events", "audit"] as const;

const activityRoute = createRoute({
  getParentRoute: () => app,
  path: "/activity",
  component: ActivityPage,
  validateSearch: (search) => compact({ tab: oneOf(search.tab, ACTIVITY_TABS), q: text(search.q) }),
});

const SETTINGS_TABS = ["tokens", "sessions", "people"] as const;

const settingsRoute = createRoute({
  getParentRoute: () => app,
  path: "/settings",
  component: SettingsPage,
  validateSearch: (search) => compact({ tab: oneOf(search.tab, SETTINGS_TABS) }),
});

export const router = createRouter({
  routeTree: root.addChildren([
    loginRoute,
    app.addChildren([indexRoute, workspacesRoute, workspaceRoute, nodesRoute, nodeRoute, activityRoute, settingsRoute]),
  ]),
  defaultPreload: false,
  defaultNotFoundComponent: Missing,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
