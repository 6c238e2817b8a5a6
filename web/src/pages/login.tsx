import { useMutation } from "@tanstack/react-query";
import { useLocation, useNavigate, useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useCallback, useEffect, useRef, useState } from "react";
import { Logo } from "@/components/logo";
import { Problem } from "@/components/problem";
import { Button } from "@/components/ui/button";
import { Field, Input } from "@/components/ui/field";
import * as api from "@/data/api";
import { client } from "@/data/queries";
import { useTitle } from "@/lib/hooks";
import { codeOf } from "@/lib/login";

/** Logs in by the link that Stead printed (`/login#code`), or by the code typed in. */
export function LoginPage() {
  useTitle("Log in");
  const router = useRouter();
  const navigate = useNavigate();
  const { to, ended } = useSearch({ from: "/login" });
  const hash = useLocation({ select: (location) => location.hash });
  const [code, setCode] = useState("");
  const used = useRef("");
  const login = useMutation({
    mutationFn: (text: string) => api.login(text),
    onSuccess: async () => {
      client.clear();
      if (to?.startsWith("/") && !to.startsWith("//")) router.history.replace(to);
      else await navigate({ to: "/workspaces", replace: true });
    },
  });
  const { mutate } = login;

  const enter = useCallback(
    (text: string) => {
      used.current = text;
      mutate(text);
    },
    [mutate],
  );

  // A code in the address is used once and taken out of it at once, so that it stays in no history.
  useEffect(() => {
    const found = codeOf(hash);
    if (found === "" || found === used.current) return;
    void navigate({ to: "/login", search: (before) => before, hash: "", replace: true });
    enter(found);
  }, [hash, navigate, enter]);

  function submit(event: FormEvent) {
    event.preventDefault();
    const found = codeOf(code);
    if (found !== "") enter(found);
  }

  return (
    <main className="grid min-h-dvh place-items-center bg-[radial-gradient(60rem_30rem_at_50%_-8rem,var(--primary-soft),transparent)] p-4">
      <div className="w-full max-w-sm">
        <div className="mb-6 flex flex-col items-center text-center">
          <Logo className="size-12" />
          <h1 className="mt-4 font-semibold text-xl tracking-tight">Log in to Stead</h1>
          <p className="mt-1 text-balance text-muted-foreground text-sm">
            {login.isPending
              ? "Checking the code…"
              : ended
                ? "Your session has ended. Log in again to go on where you were."
                : "Open the link that Stead printed when it started, or paste it here."}
          </p>
        </div>
        <form onSubmit={submit} className="grid gap-4 rounded-2xl border bg-card p-5 shadow-sm">
          <Field label="Login link or code" hint="It works once, for fifteen minutes.">
            {(control) => (
              <Input
                {...control}
                value={code}
                onChange={(event) => setCode(event.target.value)}
                className="font-mono"
                autoFocus
                autoCapitalize="off"
              />
            )}
          </Field>
          {login.isError && <Problem error={login.error} />}
          <Button type="submit" look="primary" busy={login.isPending} disabled={code.trim() === ""}>
            Log in
          </Button>
        </form>
        <p className="mt-5 text-balance text-center text-muted-foreground text-xs">
          No link at hand? On the machine that runs Stead, <code className="font-mono">stead user login NAME</code>{" "}
          makes a new one. An administrator can make one for you, too.
        </p>
      </div>
    </main>
  );
}
