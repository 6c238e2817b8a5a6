import { useQuery } from "@tanstack/react-query";
import { type ErrorComponentProps, Link, Outlet, useNavigate, useRouter } from "@tanstack/react-router";
import {
  Activity,
  Boxes,
  ChevronsUpDown,
  CircleHelp,
  LogOut,
  Monitor,
  Moon,
  Server,
  Settings,
  Sun,
} from "lucide-react";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { Logo } from "@/components/logo";
import { Problem } from "@/components/problem";
import { Button, buttonStyle } from "@/components/ui/button";
import { Dialog, DialogBody } from "@/components/ui/dialog";
import { Kbd } from "@/components/ui/kbd";
import { Menu, MenuHeading, MenuItem, MenuSeparator } from "@/components/ui/menu";
import { complain } from "@/components/ui/toast";
import { Tooltip } from "@/components/ui/tooltip";
import * as api from "@/data/api";
import type { LinkPhase } from "@/data/link";
import { live } from "@/data/live";
import { openLink } from "@/data/open-link";
import { client, version, whoami } from "@/data/queries";
import { cn } from "@/lib/classes";
import { useShortcut, useValue } from "@/lib/hooks";
import { setTheme, theme } from "@/lib/theme";

const PLACES = [
  { to: "/workspaces", label: "Workspaces", icon: Boxes },
  { to: "/nodes", label: "Nodes", icon: Server },
  { to: "/activity", label: "Activity", icon: Activity },
  { to: "/settings", label: "Settings", icon: Settings },
] as const;

/** What is around every page once somebody is logged in. */
export function Shell() {
  const navigate = useNavigate();
  const [helping, setHelping] = useState(false);
  useEffect(() => {
    live.start(openLink, (keys) => {
      if (keys === "everything") void client.invalidateQueries();
      else for (const key of keys) void client.invalidateQueries({ queryKey: [...key] });
    });
    return () => live.stop();
  }, []);
  useShortcut("c", () => navigate({ to: "/workspaces", search: { create: true } }));
  useShortcut("?", () => setHelping(true));

  return (
    <div className="flex min-h-dvh flex-col md:flex-row">
      <a
        href="#content"
        className="sr-only z-90 rounded-lg bg-primary px-3 py-2 text-primary-foreground text-sm focus:not-sr-only focus:fixed! focus:top-3 focus:left-3"
      >
        Skip to content
      </a>
      <aside className="sticky top-0 hidden h-dvh w-58 shrink-0 flex-col border-r bg-sidebar px-3 py-4 md:flex">
        <Link
          to="/workspaces"
          className="mb-5 flex items-center gap-2.5 rounded-lg px-2 font-semibold text-[15px] tracking-tight"
        >
          <Logo />
          Stead
        </Link>
        <nav aria-label="Main" className="grid gap-0.5">
          {PLACES.map((place) => (
            <Link
              key={place.to}
              to={place.to}
              className="flex h-9 items-center gap-2.5 rounded-lg px-2.5 font-medium text-muted-foreground text-sm transition-colors hover:bg-accent hover:text-foreground"
              activeProps={{ className: "bg-accent text-foreground! [&_svg]:text-primary" }}
            >
              <place.icon className="size-4.5" aria-hidden />
              {place.label}
            </Link>
          ))}
        </nav>
        <div className="mt-auto grid gap-2">
          <Connection />
          <div className="flex items-center gap-1">
            <Person onHelp={() => setHelping(true)} wide />
          </div>
        </div>
      </aside>
      <header className="sticky top-0 z-30 flex h-14 items-center gap-2 border-b bg-sidebar/95 px-4 backdrop-blur md:hidden">
        <Link to="/workspaces" className="flex items-center gap-2.5 font-semibold tracking-tight">
          <Logo />
          Stead
        </Link>
        <div className="ml-auto flex items-center gap-1.5">
          <Connection />
          <Person onHelp={() => setHelping(true)} />
        </div>
      </header>
      <main id="content" tabIndex={-1} className="min-w-0 flex-1 pb-20 outline-none md:pb-0">
        <Outage />
        <Outlet />
      </main>
      <nav
        aria-label="Main"
        className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-4 border-t bg-sidebar/95 pb-[env(safe-area-inset-bottom)] backdrop-blur md:hidden"
      >
        {PLACES.map((place) => (
          <Link
            key={place.to}
            to={place.to}
            className="flex flex-col items-center gap-1 py-2 font-medium text-[11px] text-muted-foreground focus-visible:-outline-offset-2"
            activeProps={{ className: "text-primary!" }}
          >
            <place.icon className="size-5" aria-hidden />
            {place.label}
          </Link>
        ))}
      </nav>
      <Keys open={helping} onOpenChange={setHelping} />
    </div>
  );
}

const PHASES: Record<LinkPhase, { label: string; detail: string; dot: string }> = {
  connecting: { label: "Connecting", detail: "Opening the live link.", dot: "bg-busy animate-pulse" },
  live: { label: "Live", detail: "Changes arrive by themselves.", dot: "bg-good" },
  polling: {
    label: "Refreshing",
    detail: "There is no live link, so the page asks for changes every few seconds.",
    dot: "bg-warn",
  },
  lost: {
    label: "Reconnecting",
    detail: "The control plane does not answer. It is tried again by itself.",
    dot: "bg-bad animate-pulse",
  },
};

/** Whether what the page shows is true now. */
function Connection() {
  const shown = PHASES[useValue(live.phase)];
  return (
    <Tooltip text={shown.detail}>
      <button
        type="button"
        className="flex h-8 items-center gap-2 rounded-lg px-2.5 text-muted-foreground text-xs hover:bg-accent"
      >
        <span className={cn("size-2 rounded-full", shown.dot)} aria-hidden />
        <span aria-live="polite">{shown.label}</span>
      </button>
    </Tooltip>
  );
}

/** Said on the page itself while nothing answers, so that old figures are not taken for new ones. */
function Outage() {
  const phase = useValue(live.phase);
  if (phase !== "lost") return null;
  return (
    <div role="status" className="border-warn/30 border-b bg-warn-soft px-4 py-2.5 text-sm sm:px-8">
      <strong className="font-semibold">Reconnecting.</strong> The control plane does not answer; what you see is the
      last known state. Workspaces and their commands go on.
    </div>
  );
}

function Person({ onHelp, wide = false }: { onHelp: () => void; wide?: boolean }) {
  const me = useQuery(whoami()).data?.user;
  const server = useQuery(version()).data;
  const chosen = useValue(theme);
  const navigate = useNavigate();
  const name = me?.name ?? "…";

  async function leave() {
    try {
      await api.logout();
    } catch (error) {
      complain(error);
      return;
    }
    live.stop();
    client.clear();
    await navigate({ to: "/login", replace: true });
  }

  return (
    <Menu
      align={wide ? "start" : "end"}
      trigger={
        <button
          type="button"
          aria-label={`${name}, menu`}
          className={cn(
            "flex items-center gap-2.5 rounded-lg p-1.5 text-left text-sm transition-colors hover:bg-accent data-[popup-open]:bg-accent",
            wide && "w-full",
          )}
        >
          <span className="grid size-7 shrink-0 place-items-center rounded-full bg-primary-soft font-semibold text-primary text-xs uppercase">
            {name.charAt(0)}
          </span>
          {wide && (
            <>
              <span className="min-w-0 flex-1 leading-tight">
                <span className="block truncate font-medium">{name}</span>
                <span className="block truncate text-muted-foreground text-xs">{me?.role}</span>
              </span>
              <ChevronsUpDown className="size-3.5 text-muted-foreground" aria-hidden />
            </>
          )}
        </button>
      }
    >
      <MenuHeading>Colours</MenuHeading>
      <MenuItem icon={<Sun />} onSelect={() => setTheme("light")}>
        <Chosen on={chosen === "light"}>Light</Chosen>
      </MenuItem>
      <MenuItem icon={<Moon />} onSelect={() => setTheme("dark")}>
        <Chosen on={chosen === "dark"}>Dark</Chosen>
      </MenuItem>
      <MenuItem icon={<Monitor />} onSelect={() => setTheme("system")}>
        <Chosen on={chosen === "system"}>As the system</Chosen>
      </MenuItem>
      <MenuSeparator />
      <MenuItem icon={<CircleHelp />} onSelect={onHelp}>
        Keyboard shortcuts
      </MenuItem>
      <MenuItem icon={<LogOut />} onSelect={() => void leave()}>
        Log out
      </MenuItem>
      {server && (
        <>
          <MenuSeparator />
          <MenuHeading>
            Stead {server.version} · protocol {server.protocol}
          </MenuHeading>
        </>
      )}
    </Menu>
  );
}

function Chosen({ on, children }: { on: boolean; children: ReactNode }) {
  return (
    <span className="flex flex-1 items-center justify-between gap-4">
      {children}
      {on && <span className="size-1.5 rounded-full bg-primary" role="img" aria-label="chosen" />}
    </span>
  );
}

const KEYS: [string, string][] = [
  ["c", "Create a workspace"],
  ["/", "Filter the list"],
  ["r", "Type a command (in a workspace)"],
  ["Enter", "Confirm, or run the command"],
  ["Esc", "Close, or leave the field"],
  ["?", "This list"],
];

function Keys({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="Keyboard shortcuts" className="sm:max-w-sm">
      <DialogBody>
        <dl className="divide-y text-sm">
          {KEYS.map(([key, what]) => (
            <div key={key} className="flex items-center justify-between gap-4 py-2">
              <dd>{what}</dd>
              <dt>
                <Kbd className="inline-flex">{key}</Kbd>
              </dt>
            </div>
          ))}
        </dl>
      </DialogBody>
    </Dialog>
  );
}

/** While it is found out who is looking. */
export function Startup() {
  return (
    <output className="grid min-h-dvh place-items-center" aria-label="Loading">
      <Logo className="size-10 animate-pulse" />
    </output>
  );
}

const AGAIN_MS = 2000;

/** When that could not be found out. It is tried again by itself. */
export function Trouble({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const again = useCallback(() => {
    api.whoami().then(
      () => {
        reset();
        void router.invalidate();
      },
      () => {},
    );
  }, [reset, router]);
  useEffect(() => {
    const timer = setInterval(again, AGAIN_MS);
    return () => clearInterval(timer);
  }, [again]);
  return (
    <div className="grid min-h-dvh place-items-center p-4">
      <div className="grid w-full max-w-md gap-5">
        <Logo className="size-10" />
        <Problem error={error}>
          <Button size="sm" onClick={again}>
            Try now
          </Button>
        </Problem>
      </div>
    </div>
  );
}

export function Missing() {
  return (
    <div className="grid min-h-[70dvh] place-items-center p-6 text-center">
      <div>
        <p className="font-semibold text-lg">There is no page here</p>
        <p className="mt-1 text-muted-foreground text-sm">The address may be mistyped, or what it showed is gone.</p>
        <Link to="/workspaces" className={cn(buttonStyle({ look: "primary" }), "mt-5")}>
          To the workspaces
        </Link>
      </div>
    </div>
  );
}
