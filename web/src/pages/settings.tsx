import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { KeyRound, Plus } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Session, Token, TokenCreated, User } from "@/api/types";
import { CopyBlock } from "@/components/copy";
import { Empty } from "@/components/empty";
import { DialogForm } from "@/components/form";
import { Page } from "@/components/page";
import { Problem } from "@/components/problem";
import { Ago } from "@/components/time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { Confirm, Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Select } from "@/components/ui/select";
import { SkeletonRows } from "@/components/ui/skeleton";
import { TabPanel, Tabs } from "@/components/ui/tabs";
import { complain, say } from "@/components/ui/toast";
import * as api from "@/data/api";
import { client, sessions as sessionsQuery, tokens as tokensQuery, users as usersQuery, whoami } from "@/data/queries";
import { until } from "@/lib/format";
import { useNow } from "@/lib/hooks";

export function SettingsPage() {
  const navigate = useNavigate();
  const { tab = "tokens" } = useSearch({ from: "/app/settings" });
  const me = useQuery(whoami()).data?.user;
  const admin = me?.role === "admin";
  return (
    <Page title="Settings" detail={me ? `Logged in as ${me.name}, ${me.role}.` : undefined}>
      <Tabs
        value={tab}
        label="Settings"
        tabs={[
          { value: "tokens" as const, label: "API tokens" },
          { value: "sessions" as const, label: "Sessions" },
          ...(admin ? [{ value: "people" as const, label: "People" }] : []),
        ]}
        onChange={(next) =>
          navigate({ to: "/settings", search: next === "tokens" ? {} : { tab: next }, replace: true })
        }
      >
        <TabPanel value="tokens">
          <Tokens />
        </TabPanel>
        <TabPanel value="sessions">
          <Sessions />
        </TabPanel>
        {admin && (
          <TabPanel value="people">
            <People me={me} />
          </TabPanel>
        )}
      </Tabs>
    </Page>
  );
}

function Row({
  name,
  badge,
  detail,
  children,
}: {
  name: ReactNode;
  badge?: ReactNode;
  detail: ReactNode;
  children?: ReactNode;
}) {
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3">
      <div className="min-w-0 flex-1 basis-52">
        <p className="flex flex-wrap items-center gap-2 break-all font-medium text-sm">
          {name} {badge}
        </p>
        <p className="text-muted-foreground text-xs">{detail}</p>
      </div>
      {children}
    </li>
  );
}

const again = (key: string) => client.invalidateQueries({ queryKey: [key] });

// --- tokens --------------------------------------------------------------------------------------------------------

function Tokens() {
  const list = useQuery(tokensQuery());
  const [making, setMaking] = useState(false);
  const [ending, setEnding] = useState<Token | null>(null);
  const now = useNow(60_000);
  const add = (
    <Button size="sm" look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New token
    </Button>
  );
  return (
    <Card>
      <CardHeader title="API tokens" detail="For the command line, the SDK and other programs. Each acts as you.">
        {list.data && list.data.length > 0 && add}
      </CardHeader>
      {list.isError && !list.data ? (
        <Problem error={list.error} className="m-4" />
      ) : list.isPending ? (
        <SkeletonRows rows={2} />
      ) : list.data.length === 0 ? (
        <Empty icon={KeyRound} title="No tokens" action={add}>
          A token lets a program work with your workspaces. It can be limited, and ended at any time.
        </Empty>
      ) : (
        <ul className="divide-y" aria-label="API tokens">
          {list.data.map((token) => (
            <Row
              key={token.id}
              name={token.name}
              badge={
                token.scopes.includes("*") ? (
                  <Badge tone="warn">all rights</Badge>
                ) : (
                  token.scopes.map((scope) => <Badge key={scope}>{scope}</Badge>)
                )
              }
              detail={
                <>
                  {token.expires === null ? "Never expires" : `Expires ${until(token.expires, now)}`} ·{" "}
                  {token.last_used === null ? (
                    "never used"
                  ) : (
                    <>
                      used <Ago at={token.last_used} />
                    </>
                  )}
                  {token.made_by &&
                    ` · made with ${list.data.find((each) => each.id === token.made_by)?.name ?? token.made_by}`}
                </>
              }
            >
              <Button size="sm" className="text-bad" onClick={() => setEnding(token)}>
                Revoke
              </Button>
            </Row>
          ))}
        </ul>
      )}
      <NewToken open={making} onOpenChange={setMaking} />
      <Confirm
        open={ending !== null}
        onOpenChange={(open) => !open && setEnding(null)}
        title={`Revoke ${ending?.name}?`}
        action="Revoke token"
        onConfirm={async () => {
          if (ending) await api.deleteToken(ending.id);
          await again("tokens");
        }}
      >
        Programs that use it are refused at once, and what they have open is cut. Tokens that were made with it end too.
      </Confirm>
    </Card>
  );
}

const LIFETIMES = [
  { value: "604800", label: "One week" },
  { value: "2592000", label: "30 days" },
  { value: "31536000", label: "One year" },
  { value: "0", label: "It never expires" },
];

const SCOPES = [
  { value: "*", label: "Everything you may do" },
  { value: "workspace:read", label: "Look only", detail: "See workspaces, files and output" },
  {
    value: "workspace:read workspace:write workspace:exec",
    label: "Work in workspaces",
    detail: "Also change files and run commands",
  },
];

function NewToken({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const [made, setMade] = useState<TokenCreated | null>(null);
  return (
    <Dialog
      open={open}
      onOpenChange={(next) => {
        onOpenChange(next);
        if (!next) setMade(null);
      }}
      title={made ? "Copy the token now" : "New API token"}
      description={made ? "It is shown this once. Keep it like a password." : undefined}
    >
      {made ? (
        <>
          <DialogBody>
            <CopyBlock text={made.secret} label="Copy the token" />
            <p className="text-muted-foreground text-sm">
              Programs read it from the variable <code className="font-mono">STEAD_TOKEN</code>.
            </p>
          </DialogBody>
          <DialogFooter>
            <Button
              look="primary"
              onClick={() => {
                onOpenChange(false);
                setMade(null);
              }}
            >
              Done
            </Button>
          </DialogFooter>
        </>
      ) : (
        <TokenForm onMade={setMade} onCancel={() => onOpenChange(false)} />
      )}
    </Dialog>
  );
}

function TokenForm({ onMade, onCancel }: { onMade: (made: TokenCreated) => void; onCancel: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState("*");
  const [lifetime, setLifetime] = useState("2592000");
  const make = useMutation({
    mutationFn: () =>
      api.createToken({ name: name.trim(), scopes: scopes.split(" "), lifetime_seconds: Number(lifetime) }),
    onSuccess: (made) => {
      void again("tokens");
      onMade(made);
    },
  });
  return (
    <DialogForm send={make} action="Make token" ready={name.trim() !== ""} onCancel={onCancel}>
      <Field label="Name" hint="What it is for.">
        {(control) => (
          <Input
            {...control}
            value={name}
            onChange={(event) => setName(event.target.value)}
            placeholder="laptop"
            autoFocus
          />
        )}
      </Field>
      <Field label="Rights">
        {(control) => <Select {...control} value={scopes} onChange={setScopes} choices={SCOPES} />}
      </Field>
      <Field label="Lifetime">
        {(control) => <Select {...control} value={lifetime} onChange={setLifetime} choices={LIFETIMES} />}
      </Field>
    </DialogForm>
  );
}

// --- sessions ------------------------------------------------------------------------------------------------------

function Sessions() {
  const list = useQuery(sessionsQuery());
  const now = useNow(60_000);
  const end = useMutation({
    mutationFn: (session: Session) => api.endSession(session.id),
    onError: complain,
    onSettled: () => again("sessions"),
  });
  return (
    <Card>
      <CardHeader title="Sessions" detail="Browsers in which you are logged in." />
      {list.isError && !list.data ? (
        <Problem error={list.error} className="m-4" />
      ) : list.isPending ? (
        <SkeletonRows rows={2} />
      ) : (
        <ul className="divide-y" aria-label="Sessions">
          {list.data.map((session) => (
            <Row
              key={session.id}
              name={
                <>
                  Since <Ago at={session.created} />
                </>
              }
              badge={session.current && <Badge tone="good">this one</Badge>}
              detail={
                <>
                  {session.last_used !== null && (
                    <>
                      used <Ago at={session.last_used} /> ·{" "}
                    </>
                  )}
                  ends {until(session.expires, now)}
                </>
              }
            >
              {!session.current && (
                <Button
                  size="sm"
                  className="text-bad"
                  busy={end.isPending && end.variables.id === session.id}
                  onClick={() => end.mutate(session)}
                >
                  End
                </Button>
              )}
            </Row>
          ))}
        </ul>
      )}
    </Card>
  );
}

// --- people --------------------------------------------------------------------------------------------------------

function People({ me }: { me: User }) {
  const list = useQuery(usersQuery(true));
  const [adding, setAdding] = useState(false);
  const [link, setLink] = useState<{ name: string; code: string } | null>(null);
  const change = useMutation({
    mutationFn: ({ user, body }: { user: User; body: { role?: string; disabled?: boolean } }) =>
      api.patchUser(user, body),
    onError: complain,
    onSettled: () => again("users"),
  });
  const login = useMutation({
    mutationFn: (user: User) => api.newLogin(user.id),
    onSuccess: (made) => setLink({ name: made.user.name, code: made.login }),
    onError: complain,
  });
  return (
    <Card>
      <CardHeader title="People" detail="Members see their own workspaces; administrators see and change everything.">
        <Button size="sm" look="primary" onClick={() => setAdding(true)}>
          <Plus aria-hidden />
          Add a person
        </Button>
      </CardHeader>
      {list.isError && !list.data ? (
        <Problem error={list.error} className="m-4" />
      ) : list.isPending ? (
        <SkeletonRows rows={2} />
      ) : (
        <ul className="divide-y" aria-label="People">
          {list.data.map((user) => (
            <Row
              key={user.id}
              name={user.name}
              badge={
                <>
                  {user.id === me.id && <Badge tone="good">you</Badge>}
                  {user.disabled && <Badge tone="bad">disabled</Badge>}
                </>
              }
              detail={
                <>
                  Added <Ago at={user.created} />
                </>
              }
            >
              <Select
                label={`Role of ${user.name}`}
                className="w-40"
                value={user.role}
                choices={ROLES}
                onChange={(role) => change.mutate({ user, body: { role } })}
              />
              <Button
                size="sm"
                onClick={() => login.mutate(user)}
                busy={login.isPending && login.variables.id === user.id}
              >
                Login link
              </Button>
              {user.id !== me.id && (
                <Button
                  size="sm"
                  className={user.disabled ? "" : "text-bad"}
                  onClick={() => change.mutate({ user, body: { disabled: !user.disabled } })}
                >
                  {user.disabled ? "Enable" : "Disable"}
                </Button>
              )}
            </Row>
          ))}
        </ul>
      )}
      <AddPerson
        open={adding}
        onOpenChange={setAdding}
        onAdded={(name, code) => {
          setAdding(false);
          setLink({ name, code });
        }}
      />
      <LoginLink link={link} onClose={() => setLink(null)} />
    </Card>
  );
}

const ROLES = [
  { value: "member", label: "Member" },
  { value: "admin", label: "Administrator" },
];

interface AddPersonProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  onAdded: (name: string, code: string) => void;
}

function AddPerson({ open, onOpenChange, onAdded }: AddPersonProps) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="Add a person">
      <PersonForm onAdded={onAdded} onCancel={() => onOpenChange(false)} />
    </Dialog>
  );
}

function PersonForm({ onAdded, onCancel }: { onAdded: (name: string, code: string) => void; onCancel: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("member");
  const add = useMutation({
    mutationFn: () => api.createUser({ name: name.trim(), role }),
    onSuccess: (made) => {
      void again("users");
      say(`Added ${made.user.name}`);
      onAdded(made.user.name, made.login);
    },
  });
  return (
    <DialogForm send={add} action="Add" ready={name.trim() !== ""} onCancel={onCancel}>
      <Field label="Name">
        {(control) => (
          <Input
            {...control}
            value={name}
            onChange={(event) => setName(event.target.value)}
            autoFocus
            autoCapitalize="off"
          />
        )}
      </Field>
      <Field label="Role">{(control) => <Select {...control} value={role} onChange={setRole} choices={ROLES} />}</Field>
    </DialogForm>
  );
}

function LoginLink({ link, onClose }: { link: { name: string; code: string } | null; onClose: () => void }) {
  return (
    <Dialog
      open={link !== null}
      onOpenChange={(open) => !open && onClose()}
      title={`Login link for ${link?.name ?? ""}`}
      description="Send it to them. It works once and is shown this once."
    >
      <DialogBody>
        <CopyBlock text={`${window.location.origin}/login#${link?.code ?? ""}`} label="Copy the link" />
      </DialogBody>
      <DialogFooter>
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </DialogFooter>
    </Dialog>
  );
}
