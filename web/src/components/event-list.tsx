import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Event } from "@/api/types";
import { Ago } from "@/components/time";
import { cn } from "@/lib/classes";
import { eventName, eventTone, eventWords, facts, worthShowing } from "@/lib/events";
import { shortId, title } from "@/lib/format";

const DOTS = { good: "bg-good", bad: "bg-bad", busy: "bg-busy", quiet: "bg-muted-foreground/50" };

interface EventListProps {
  events: Event[];
  /** Names of what the ids stand for; without it, subjects are not shown. */
  names?: Map<string, string>;
}

/** What happened, newest first. */
export function EventList({ events, names }: EventListProps) {
  return (
    <ol className="divide-y">
      {events.filter(worthShowing).map((event) => (
        <li
          key={event.cursor}
          className="grid grid-cols-[auto_minmax(0,1fr)_auto] items-start gap-x-3 px-4 py-2.5 text-sm"
        >
          <span className={cn("mt-1.5 size-2 rounded-full", DOTS[eventTone(event)])} aria-hidden />
          <div className="min-w-0">
            <p className="break-words">
              {names && (
                <Subject
                  id={event.subject}
                  name={names.get(event.subject) ?? (eventName(event) || shortId(event.subject))}
                />
              )}
              <span className={names ? "text-muted-foreground" : "font-medium"}>
                {names ? eventWords(event) : title(eventWords(event))}
              </span>
            </p>
            {facts(event) && <p className="break-words text-muted-foreground text-xs">{facts(event)}</p>}
          </div>
          <span className="whitespace-nowrap text-muted-foreground text-xs">
            <Ago at={event.at} />
          </span>
        </li>
      ))}
    </ol>
  );
}

function Subject({ id, name }: { id: string; name: string }) {
  const style = "mr-2 rounded font-medium hover:text-primary hover:underline";
  let shown: ReactNode = <span className="mr-2 font-medium">{name}</span>;
  if (id.startsWith("ws_")) {
    shown = (
      <Link to="/workspaces/$id" params={{ id }} className={style}>
        {name}
      </Link>
    );
  } else if (id.startsWith("nd_")) {
    shown = (
      <Link to="/nodes/$id" params={{ id }} className={style}>
        {name}
      </Link>
    );
  }
  return shown;
}
