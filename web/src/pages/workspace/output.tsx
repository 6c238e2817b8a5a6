import { useMutation, useQuery } from "@tanstack/react-query";
import { ArrowDown, LoaderCircle, Square } from "lucide-react";
import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { ExecStatus } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Problem } from "@/components/problem";
import { ExecState } from "@/components/state";
import { Button } from "@/components/ui/button";
import { complain } from "@/components/ui/toast";
import * as api from "@/data/api";
import { over } from "@/data/exec";
import { live } from "@/data/live";
import { client } from "@/data/queries";
import { Follower, type Transcript } from "@/data/transcript";
import { cn } from "@/lib/classes";
import { bytes, commandLine, duration } from "@/lib/format";
import { useNow, useValue } from "@/lib/hooks";
import { type Block, textOf } from "@/lib/scrollback";

interface OutputPanelProps {
  workspaceId: string;
  execId: string;
  /** As the list of commands has it, which may be older than the transcript. */
  listed: ExecStatus | undefined;
}

/** One command: what it is, how it does, and its output as it comes. */
export function OutputPanel({ workspaceId, execId, listed }: OutputPanelProps) {
  const [follower, setFollower] = useState(() => new Follower(workspaceId, execId));
  useEffect(() => {
    const fresh = new Follower(workspaceId, execId);
    setFollower(fresh);
    void fresh.run();
    window.addEventListener("pagehide", fresh.save);
    return () => {
      window.removeEventListener("pagehide", fresh.save);
      fresh.stop();
    };
  }, [workspaceId, execId]);
  const transcript = useValue(follower.value);
  const asked = useQuery({
    queryKey: ["exec", workspaceId, execId],
    queryFn: ({ signal }) => api.exec(workspaceId, execId, signal),
    enabled: listed === undefined,
  });
  const status = transcript.status ?? listed ?? asked.data;
  const ended = transcript.status !== null;
  useEffect(() => {
    if (ended) void client.invalidateQueries({ queryKey: ["execs", workspaceId] });
  }, [ended, workspaceId]);

  return (
    <section
      aria-label="Output"
      className="overflow-hidden rounded-xl border border-black/40 bg-terminal text-terminal-foreground shadow-sm dark:border-border"
    >
      <header className="flex min-h-12 flex-wrap items-center gap-x-3 gap-y-2 border-white/10 border-b px-4 py-2">
        <code className="min-w-0 flex-1 basis-40 truncate font-mono text-[13px]" title={line(status)}>
          <span className="select-none text-terminal-muted">$ </span>
          {line(status)}
        </code>
        {status && <Progress status={status} />}
        {status && !over(status) && <Stop workspaceId={workspaceId} execId={execId} />}
      </header>
      <Screen transcript={transcript} />
      <Foot transcript={transcript} status={status} />
    </section>
  );
}

function line(status: ExecStatus | undefined): string {
  return status ? commandLine(status.argv, true) : "…";
}

function Progress({ status }: { status: ExecStatus }) {
  const running = !over(status);
  const now = useNow(running ? 500 : 60_000);
  const seconds = status.started ? (status.ended ?? now) - status.started : null;
  return (
    <span className="flex items-center gap-2.5">
      {seconds !== null && (
        <span className="text-terminal-muted text-xs tabular-nums">
          {running && seconds < 1 ? "0 s" : duration(running ? Math.floor(seconds) : seconds)}
        </span>
      )}
      <span className="dark" role="status">
        <ExecState status={status} />
      </span>
    </span>
  );
}

const TERM = 15;
const KILL = 9;

/** The first press asks it to end; the second, if it does not, ends it with all it started. */
function Stop({ workspaceId, execId }: { workspaceId: string; execId: string }) {
  const [asked, setAsked] = useState(false);
  const kill = useMutation({
    mutationFn: () => api.killExec(workspaceId, execId, asked ? KILL : TERM),
    onSuccess: () => setAsked(true),
    onError: complain,
  });
  return (
    <button
      type="button"
      disabled={kill.isPending}
      onClick={() => kill.mutate()}
      className="inline-flex h-7 items-center gap-1.5 rounded-md border border-white/20 px-2.5 font-medium text-xs transition-colors hover:bg-white/10 disabled:opacity-50"
    >
      {kill.isPending ? (
        <LoaderCircle className="size-3 animate-spin" aria-hidden />
      ) : (
        <Square className="size-3" aria-hidden />
      )}
      {asked ? "Force stop" : "Stop"}
    </button>
  );
}

const NEAR = 24;

function Screen({ transcript }: { transcript: Transcript }) {
  const { blocks, dropped } = transcript.scrollback;
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);

  useLayoutEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [following, blocks]);

  function toEnd() {
    setFollowing(true);
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }

  return (
    <div className="relative">
      <div
        ref={box}
        role="log"
        aria-label="Output of the command"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by the keyboard
        tabIndex={0}
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          setFollowing(scrollHeight - scrollTop - clientHeight < NEAR);
        }}
        className="max-h-[min(60dvh,38rem)] min-h-24 overflow-auto overscroll-contain px-4 py-3 focus-visible:-outline-offset-2"
      >
        {dropped > 0 && (
          <p className="mb-2 text-terminal-muted text-xs">
            Earlier output ({bytes(dropped)}) is not shown here. <code className="font-mono">stead logs</code> has all
            that is kept.
          </p>
        )}
        {blocks.length === 0 ? (
          <p className="text-[13px] text-terminal-muted">
            {transcript.phase === "ended" ? "It printed nothing." : "Nothing printed yet."}
          </p>
        ) : (
          <pre className="whitespace-pre-wrap break-words font-mono text-[13px] leading-[1.55]">
            {blocks.map((block) => (
              <Lines key={block.id} block={block} />
            ))}
          </pre>
        )}
      </div>
      {!following && (
        <Button size="sm" className="absolute right-4 bottom-3 text-foreground" onClick={toEnd}>
          <ArrowDown aria-hidden />
          Latest
        </Button>
      )}
    </div>
  );
}

/** One block; those that did not change are not drawn again, and those out of sight are not laid out. */
const Lines = memo(function Lines({ block }: { block: Block }) {
  return (
    <div className="[contain-intrinsic-size:auto_64rem] [content-visibility:auto]">
      {block.spans.map((span, index) => (
        <span
          key={index}
          data-channel={span.channel}
          className={cn(span.channel === "stderr" && "text-terminal-error")}
          title={span.channel === "stderr" ? "standard error" : undefined}
        >
          {span.text}
        </span>
      ))}
    </div>
  );
});

function Foot({ transcript, status }: { transcript: Transcript; status: ExecStatus | undefined }) {
  const lost = useValue(live.phase) === "lost" && transcript.phase === "following";
  const hasErrors = transcript.scrollback.blocks.some((block) => block.spans.some((span) => span.channel === "stderr"));
  return (
    <footer className="flex min-h-10 flex-wrap items-center gap-x-4 gap-y-1 border-white/10 border-t px-4 py-1 text-terminal-muted text-xs">
      {(transcript.phase === "waiting" || lost) && (
        <span role="status" className="flex items-center gap-1.5 text-terminal-foreground">
          <LoaderCircle className="size-3 animate-spin" aria-hidden />
          Cut off. The command goes on; its output follows when the link is back.
        </span>
      )}
      {transcript.phase === "failed" && (
        <Problem error={transcript.error} className="dark my-2 w-full text-foreground" />
      )}
      {status?.error && <span className="text-terminal-error">{status.error}</span>}
      {transcript.missed && <span>Earlier output is no longer kept.</span>}
      {status?.truncated && <span>The output was longer than what is kept.</span>}
      {hasErrors && (
        <span className="flex items-center gap-1.5">
          <span className="size-2 rounded-full bg-terminal-error" aria-hidden /> standard error
        </span>
      )}
      <span className="ml-auto flex items-center gap-1">
        <CopyButton
          text={() => textOf(transcript.scrollback)}
          label="Copy the output"
          className="size-7 text-terminal-muted hover:bg-white/10 hover:text-terminal-foreground [&_svg]:size-3.5"
        />
      </span>
    </footer>
  );
}
