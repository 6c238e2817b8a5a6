/** Labels as small words. */
export function Labels({ labels }: { labels: Record<string, string> }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return (
    <ul className="flex flex-wrap gap-1" aria-label="Labels">
      {entries.map(([key, value]) => (
        <li
          key={key}
          className="max-w-full truncate rounded-md bg-muted px-1.5 py-0.5 font-mono text-[11px] text-muted-foreground"
        >
          {value ? `${key}=${value}` : key}
        </li>
      ))}
    </ul>
  );
}
