import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, LoaderCircle } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { Node, NodeToken } from "@/api/types";
import { CopyBlock } from "@/components/copy";
import { DialogForm } from "@/components/form";
import { Button } from "@/components/ui/button";
import { Dialog, DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Select } from "@/components/ui/select";
import * as api from "@/data/api";
import { nodes as nodesQuery } from "@/data/queries";
import { until } from "@/lib/format";
import { useNow } from "@/lib/hooks";
import { parsePairs } from "@/lib/pairs";

interface EnrolNodeProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

/** Makes a single-use token, shows the commands that use it, and waits for the node to appear. */
export function EnrolNode({ open, onOpenChange }: EnrolNodeProps) {
  const [token, setToken] = useState<NodeToken | null>(null);
  useEffect(() => {
    if (!open) setToken(null);
  }, [open]);
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Add a node"
      description={
        token ? "Run this on the machine that is to be the node." : "A node joins with a token that works once."
      }
      className="sm:max-w-xl"
    >
      {token ? (
        <Join token={token} onClose={() => onOpenChange(false)} />
      ) : (
        <Ask onToken={setToken} onCancel={() => onOpenChange(false)} />
      )}
    </Dialog>
  );
}

const LIFETIMES = [
  { value: "3600", label: "One hour" },
  { value: "86400", label: "One day" },
  { value: "604800", label: "One week" },
];

function Ask({ onToken, onCancel }: { onToken: (token: NodeToken) => void; onCancel: () => void }) {
  const [lifetime, setLifetime] = useState("3600");
  const [labels, setLabels] = useState("");
  const parsed = parsePairs(labels, true);
  const make = useMutation({
    mutationFn: () => api.createNodeToken({ lifetime_seconds: Number(lifetime), labels: parsed.values }),
    onSuccess: onToken,
  });
  return (
    <DialogForm send={make} action="Make a token" ready={parsed.problem === ""} onCancel={onCancel}>
      <Field label="The token can be used for">
        {(control) => <Select {...control} value={lifetime} onChange={setLifetime} choices={LIFETIMES} />}
      </Field>
      <Field
        label="Labels of the node"
        hint="key=value, separated by commas. Workspaces can ask for them."
        problem={parsed.problem}
      >
        {(control) => (
          <Input
            {...control}
            value={labels}
            onChange={(event) => setLabels(event.target.value)}
            placeholder="gpu=yes, site=office"
          />
        )}
      </Field>
    </DialogForm>
  );
}

function Join({ token, onClose }: { token: NodeToken; onClose: () => void }) {
  const now = useNow(10_000);
  const list = useQuery({ ...nodesQuery(), refetchInterval: 2_000 });
  const before = useRef<Set<string> | null>(null);
  if (before.current === null && list.data) before.current = new Set(list.data.map((node) => node.id));
  const joined = list.data?.find((node) => before.current && !before.current.has(node.id));
  return (
    <>
      <DialogBody>
        <Step number={1} text="Put the token into a file that only you can read. It is shown this once.">
          <CopyBlock text={`(umask 077; printf %s '${token.token}' > node.token)`} label="Copy the command" />
        </Step>
        <Step number={2} text="Join. The node then runs workspaces as the user who runs this.">
          <CopyBlock
            text={`stead node join ${window.location.origin} --token-file node.token`}
            label="Copy the command"
          />
        </Step>
        <Waiting joined={joined} />
        <p className="text-muted-foreground text-xs">
          The token can be used{" "}
          {until(token.expires, now) === "expired" ? "no more" : `once, and expires ${until(token.expires, now)}`}.
        </p>
      </DialogBody>
      <DialogFooter>
        <Button look={joined ? "primary" : "plain"} onClick={onClose}>
          Done
        </Button>
      </DialogFooter>
    </>
  );
}

function Step({ number, text, children }: { number: number; text: string; children: React.ReactNode }) {
  return (
    <div className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-3 gap-y-2">
      <span className="grid size-5 place-items-center rounded-full bg-primary-soft font-semibold text-primary text-xs">
        {number}
      </span>
      <p className="text-sm">{text}</p>
      <div className="col-start-2">{children}</div>
    </div>
  );
}

function Waiting({ joined }: { joined: Node | undefined }) {
  return (
    <div role="status" className="flex items-center gap-2.5 rounded-xl border bg-muted/40 px-3.5 py-3 text-sm">
      {joined ? (
        <>
          <Check className="size-4 text-good" aria-hidden />
          <span>
            <Link to="/nodes/$id" params={{ id: joined.id }} className="font-medium text-primary hover:underline">
              {joined.name}
            </Link>{" "}
            has joined{joined.approved ? "." : " and waits for approval."}
          </span>
        </>
      ) : (
        <>
          <LoaderCircle className="size-4 animate-spin text-muted-foreground" aria-hidden />
          Waiting for the node…
        </>
      )}
    </div>
  );
}
