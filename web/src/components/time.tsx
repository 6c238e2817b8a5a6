import { age, ago, moment } from "@/lib/format";
import { useNow } from "@/lib/hooks";

/** How long ago; the exact time on pointing. */
export function Ago({ at, short = false }: { at: number; short?: boolean }) {
  const now = useNow();
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={moment(at)} className="tabular-nums">
      {short ? age(at, now) : ago(at, now)}
    </time>
  );
}
